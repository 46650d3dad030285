"""HIH's checkpoints, compared with the release's network written again in NumPy."""

import keras
import numpy as np
import pytest
import torch_twins as twins

from kfacealign import checkpoints
from kfacealign.checkpoints import hih
from kfacealign.models import HIH

POINTS, WIDTH, HEAD, SIZE = 19, 16, 8, 64
OPTIONS = {"scheme": "aflw19", "input_size": SIZE, "width": WIDTH, "decimal_size": 2, "decimal_width": HEAD}


@pytest.fixture(scope="module", params=["tiny", "small"])
def imported(request):
    """The imported model, its state dict, pixels, and what the release's network makes of them."""
    state = twins.StateDict(1)
    images = np.random.default_rng(2).integers(0, 256, (2, SIZE, SIZE, 3))
    expected = twins.hih(state, images, hih.VARIANTS[request.param], WIDTH, POINTS, HEAD)
    model, unused = checkpoints.convert("hih", request.param, state, source="WFLW.pth", **OPTIONS)
    assert {name.rpartition(".")[2] for name in unused} == {"num_batches_tracked"}
    return model, state, images, expected


def outputs_of(model, images):
    outputs = model.network(images.astype("float32"), training=False)
    return {name: np.moveaxis(keras.ops.convert_to_numpy(maps), -1, 1) for name, maps in outputs.items()}


def test_outputs_and_landmarks_are_the_releases(imported):
    model, _, images, (maps, decimal) = imported
    ours = outputs_of(model, images)
    assert set(ours) == {"decimal", *(f"heatmap_{stack}" for stack in range(1, len(maps) + 1))}
    for name, theirs in {"decimal": decimal, **{f"heatmap_{stack}": part for stack, part in enumerate(maps, start=1)}}.items():
        assert theirs.std() > 0.05
        np.testing.assert_allclose(ours[name], theirs, atol=1e-4)
    landmarks, _ = model.decode(model.network(images.astype("float32"), training=False))
    # The release answers with the corner of a map that is nowhere positive; trained maps have a peak.
    peak = (maps[-1].max(axis=(2, 3)) > 0) & (decimal.max(axis=(2, 3)) > 0)
    assert peak.sum() >= 30
    wanted = twins.hih_landmarks(maps, decimal)
    np.testing.assert_allclose(SIZE * keras.ops.convert_to_numpy(landmarks)[peak], SIZE * wanted[peak], atol=1e-3)


def test_every_tensor_and_every_weight_is_used_once(imported):
    model, state, _, _ = imported
    table = hih.targets(model)
    assert set(table) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert sorted(target.variable.path for target in table.values()) == sorted(weight.path for weight in model.network.weights)


def test_projections_that_are_never_run_are_kept(imported):
    model, state, _, _ = imported
    kernel = model.network.get_layer("stack1_centre_skip").kernel
    theirs = state["hg0.res_center.skip_layer.conv.weight"]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(kernel)[0, 0], theirs[:, :, 0, 0].T)


def test_padding_is_the_mean_colour(imported):
    """The release pads normalised pixels with zeros, so a picture of the mean colour has no border."""
    model, _, _, _ = imported
    mean = np.broadcast_to(255 * twins.MEAN, (1, SIZE, SIZE, 3)).astype("float32")
    first = keras.Model(model.network.input, model.network.get_layer("stem_1_conv").output)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(first(mean)), 0.0, atol=1e-5)


def test_the_normalisation_is_a_choice(imported):
    assert imported[0].get_config()["normalization"] == "imagenet"
    with pytest.raises(ValueError, match="normalization is one of unit, imagenet, not 'raw'"):
        HIH(**OPTIONS, normalization="raw")


def test_what_does_not_fit_is_named(imported):
    model, state, _, _ = imported
    changed = {**state, "hg9.res1_1.conv1.conv.weight": np.zeros(3)}
    del changed["offset_head.head.1.bias"]
    message = "1 tensor missing: offset_head.head.1.bias; 1 tensor unknown: hg9.res1_1.conv1.conv.weight$"
    with pytest.raises(ValueError, match=message):
        checkpoints.fill(hih.targets(model), changed, "WFLW.pth does not fit")


def test_another_variants_file(imported):
    """The tensors of a stack that the checkpoint lacks are missing; those of a stack too many are unknown."""
    model, state, _, _ = imported
    fewer = {name: value for name, value in state.items() if not name.startswith("hg0")}
    more = {**state, **{name.replace("hg0", "hg7"): value for name, value in state.items() if name.startswith("hg0")}}
    for changed, fault in ((fewer, "missing: hg0.res4_1.conv1.conv.weight, .* more$"), (more, "unknown: hg7.* more$")):
        with pytest.raises(ValueError, match=f"^WFLW.pth does not fit with these options: 297 tensors {fault}"):
            checkpoints.fill(hih.targets(model), changed, "WFLW.pth does not fit")


def test_another_architectures_file(imported):
    with pytest.raises(ValueError, match=r"^WFLW.pth is a checkpoint of hih, not of fan: import it as model hih$"):
        checkpoints.convert("fan", "2dfan", imported[1], source="WFLW.pth")
