"""2D-FAN's checkpoint, compared with the release's network written again in NumPy."""

import keras
import numpy as np
import pytest
import torch_twins as twins

from kfacealign import checkpoints
from kfacealign.checkpoints import fan

POINTS, WIDTH, SIZE = 19, 16, 64
OPTIONS = {"scheme": "aflw19", "input_size": SIZE, "width": WIDTH}


@pytest.fixture(scope="module")
def imported():
    """The imported model, its state dict, pixels, and what the release's network makes of them."""
    state = twins.StateDict(1)
    images = np.random.default_rng(2).integers(0, 256, (4, SIZE, SIZE, 3))
    expected = twins.fan(state, images, 4, WIDTH, POINTS)
    model, unused = checkpoints.convert("fan", "2dfan", state, source="2DFAN4.pth", **OPTIONS)
    assert {name.rpartition(".")[2] for name in unused} == {"num_batches_tracked"}
    return model, state, images, expected


def test_outputs_and_landmarks_are_the_releases(imported):
    model, _, images, maps = imported
    outputs = model.network(images.astype("float32"), training=False)
    for stack, theirs in enumerate(maps, start=1):
        assert theirs.std() > 0.05
        ours = np.moveaxis(keras.ops.convert_to_numpy(outputs[f"heatmap_{stack}"]), -1, 1)
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    landmarks = keras.ops.convert_to_numpy(model.decode(outputs)[0])
    wanted, inside = twins.fan_landmarks(maps)
    assert inside.sum() >= 15
    np.testing.assert_allclose(SIZE * landmarks[inside], SIZE * wanted[inside], atol=1e-3)
    # On the border the release stays at the cell's centre; ours moves along the border.
    assert np.abs(landmarks - wanted).max() <= 0.25 / (SIZE // 4) + 1e-6


def test_every_tensor_and_every_weight_is_used_once(imported):
    model, state, _, _ = imported
    table = fan.targets(model)
    assert set(table) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert sorted(target.variable.path for target in table.values()) == sorted(weight.path for weight in model.network.weights)


def test_the_model_is_read_as_the_release_is(imported):
    model, _, _, _ = imported
    assert (model.stacks, model.decoder, model.codec.cell_centre) == (4, "shift", 0.5)
    assert model.enlarge == pytest.approx(2.05, abs=2e-3)


def test_what_does_not_fit_is_named(imported):
    model, state, _, _ = imported
    changed = {**state, "l3.weight": np.zeros((68, WIDTH, 1, 1)), "l3.bias": np.zeros(68)}
    shapes = r"l3.weight \(68, 16, 1, 1\) in place of \(19, 16, 1, 1\), l3.bias \(68,\) in place of \(19,\)$"
    with pytest.raises(ValueError, match="2 tensors of another shape: " + shapes):
        checkpoints.fill(fan.targets(model), changed, "2DFAN4.pth does not fit")


@pytest.mark.parametrize(
    ("model", "variant", "message"),
    [
        ("lotr", "m", "the model is one of pipnet, hih, fan, not 'lotr'"),
        ("hih", None, "the variant of hih is one of tiny, small, base, not None"),
        ("fan", "3dfan", "the variant of fan is one of 2dfan, not '3dfan'"),
    ],
)
def test_there_is_no_such_model(model, variant, message):
    with pytest.raises(ValueError, match=message):
        checkpoints.import_weights(model, variant, "no.pth")
