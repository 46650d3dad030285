"""FAN, and the hourglass with the heads that HIH's appendix compares it with."""

import runpy
from pathlib import Path

import checks
import keras
import numpy as np
import pytest

from kfacealign.codecs import Heatmap
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.decoders import with_decoder
from kfacealign.codecs.offsets import OffsetMap, OffsetValue
from kfacealign.models.complexity import multiply_adds, trainable_parameters
from kfacealign.models.fan import FAN
from kfacealign.models.hourglass import Hourglass

ROOT = Path(__file__).parents[2]
SMALL = {"scheme": "aflw19", "input_size": 64, "width": 16}
BUILD = {
    "continuous": lambda **kwargs: FAN(stacks=2, **SMALL, **kwargs),
    "corrected": lambda **kwargs: FAN(stacks=1, encoding="round", correction="dynamic", **SMALL, **kwargs),
    "value": lambda **kwargs: Hourglass(offset="value", offset_width=8, offset_size=4, **SMALL, **kwargs),
    "map": lambda **kwargs: Hourglass(offset="map", offset_width=8, **SMALL, **kwargs),
}


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3)).astype("uint8")
    return images, {"landmarks": rng.uniform(0.2, 0.8, (4, 19, 2)).astype("float32"), "weights": np.ones((4, 19), "float32")}


@pytest.fixture(scope="module")
def small():
    keras.utils.set_random_seed(0)
    return {name: build() for name, build in BUILD.items()}


def test_the_recipe_crops_faces_as_large_as_the_papers():
    """Sec. 5.1: a face of 220 px in a crop of 256 px."""
    paper = runpy.run_path(str(ROOT / "recipes" / "subpixel.py"))["PAPER"]
    assert paper["input_size"] / paper["enlarge"] == pytest.approx(220)
    assert FAN(stacks=1, **SMALL).enlarge == pytest.approx(paper["enlarge"])


def test_parameters_of_the_public_release():
    """A stem of 476,288; 5,773,380 each stack; 83,456 each link between two."""
    model = FAN("ibug68", stacks=4)
    assert trainable_parameters(model) == 476_288 + 4 * 5_773_380 + 3 * 83_456 == 23_820_176
    assert {name: maps.shape for name, maps in model.network.output.items()} == {
        f"heatmap_{stack}": (None, 64, 64, 68) for stack in (1, 2, 3, 4)
    }
    assert min(layer.output.shape[1] for layer in model.network.layers if layer.output.shape[1]) == 4  # Sec. 5.1


@pytest.mark.parametrize(("offset", "operations"), [("value", 6.918e9), ("map", 6.818e9)])
def test_heads_cost_what_table_6_says(offset, operations):
    """6.91 and 6.85 G."""
    assert multiply_adds(Hourglass("ibug68", offset=offset).network) == pytest.approx(operations, rel=1e-3)


def test_codecs_are_those_of_the_arguments(small):
    assert {name: type(model.codec) for name, model in small.items()} == {
        "continuous": ContinuousHeatmap,
        "corrected": OffsetValue,
        "value": OffsetValue,
        "map": OffsetMap,
    }
    assert small["corrected"].codec.ground_truth == "dynamic" and small["corrected"].codec.quantize == "round"
    assert small["value"].codec.quantize == "floor" and small["value"].codec.ground_truth == "static"
    assert (
        FAN(encoding="floor", decoder="dark", **SMALL).codec.get_config()
        == Heatmap(16, 2.0, decoder="dark", quantize="floor", window=7).get_config()
    )


def test_the_weight_of_the_correction_is_kept():
    model = FAN(stacks=1, encoding="round", correction="static", offset_weight=0.25, **SMALL)
    assert (model.codec.alpha, FAN.from_config(model.get_config()).codec.alpha) == (0.25, 0.25)
    older = {name: value for name, value in model.get_config().items() if name != "offset_weight"}
    assert FAN.from_config(older).codec.alpha == 0.1  # files of before have no weight of their own


@pytest.mark.parametrize("name", BUILD)
def test_training_moves_every_weight(small, batch, name):
    images, labels = batch
    model = small[name]
    # At the small initial weights of HIH's hourglass some gradients are 1e-11; the rate makes them show.
    model.compile(keras.optimizers.SGD(1e8 if isinstance(model, Hourglass) else 1e4), run_eagerly=True)
    before, whole = [keras.ops.convert_to_numpy(weight) for weight in model.trainable_weights], model.network.get_weights()
    result = model.train_on_batch(images, labels, return_dict=True)
    assert all(np.isfinite(value) for value in result.values())
    unused = [w for layer in model.network.layers if type(layer).__name__ == "IdentitySkip" for w in layer.trainable_weights]
    pairs = zip(model.trainable_weights, before, strict=True)
    still = {w.path for w, b in pairs if (keras.ops.convert_to_numpy(w) == b).all()}
    assert still == {weight.path for weight in unused}
    model.network.set_weights(whole)


def test_warm_up_has_its_own_loss(small, batch):
    model = small["continuous"]
    outputs = model(batch[0])
    assert set(model.loss_terms(batch[1], outputs)) == {"heatmap_loss"}
    model.warmup = True
    assert set(model.loss_terms(batch[1], outputs)) == {"heatmap_loss", "coordinate_loss"}
    model.warmup = False


@pytest.mark.parametrize("name", ["corrected", "value", "map"])
def test_it_is_a_good_aligner(small, batch, tmp_path, name):
    checks.aligner(small[name], batch[0], tmp_path)


def test_another_decoder_is_saved(tmp_path):
    model = FAN(stacks=1, **SMALL)
    model.codec = with_decoder(model.codec, "local", window=5)
    assert FAN.from_config(model.get_config()).codec.get_config() == model.codec.get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 100}, "multiple of 64"),
        ({"width": 24}, "multiple of 16"),
        ({"encoding": "ceil"}, "encoding is one of continuous, round, floor"),
        ({"correction": "static"}, "a correction is of quantised positions"),
        ({"correction": "both", "encoding": "round"}, "correction is 'static', 'dynamic' or None"),
        ({"decoder": "mean"}, "decoder is one of"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FAN(**{**SMALL, **arguments})
    with pytest.raises(ValueError, match="offset is 'value', 'map' or None"):
        Hourglass(offset="values", **SMALL)
