"""PIPNet's checkpoints, compared with the release's network written again in NumPy."""

import functools

import keras
import numpy as np
import pytest
import torch_twins as twins

from kfacealign import checkpoints
from kfacealign.checkpoints import pipnet
from kfacealign.codecs.pixel_in_pixel import nearest_neighbors
from kfacealign.models import backbones
from kfacealign.models import pipnet as models

POINTS, NEIGHBORS, WIDTH = 19, 4, 8
MEAN_SHAPE = np.random.default_rng(3).uniform(0.1, 0.9, (POINTS, 2))
OPTIONS = {"scheme": "aflw19", "neighbors": NEIGHBORS, "mean_shape": MEAN_SHAPE, "backbone_width": WIDTH / 64}


@pytest.fixture(scope="module", autouse=True)
def backbones_are_built_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "make_backbone", functools.cache(backbones.backbone))
        yield


def twin(variant, size, stride):
    """Pixels, a state dict, and what the release's network makes of them."""
    state = twins.StateDict(1)
    images = np.random.default_rng(2).integers(0, 256, (2, size, size, 3))
    return images, state, twins.pipnet(state, images, variant, WIDTH, POINTS, NEIGHBORS, stride)


@pytest.fixture(scope="module")
def small():
    return twin("resnet18", 64, 32)


def outputs_of(model, images):
    features = model.network(images.astype("float32"), training=False)["features"]
    dense = model.head.dense(features)
    names = ("score", "x", "y", "neighbor_x", "neighbor_y")
    return [np.moveaxis(keras.ops.convert_to_numpy(dense[name]), -1, 1) for name in names]


@pytest.mark.parametrize(
    ("variant", "size", "stride"),
    [("resnet18", 64, 32), ("resnet18", 64, 16), ("resnet18", 128, 64), ("resnet18", 128, 128), ("resnet50", 64, 32)],
)
def test_outputs_and_landmarks_are_the_releases(variant, size, stride):
    images, state, expected = twin(variant, size, stride)
    model, unused = checkpoints.convert("pipnet", variant, state, source="x.pth", stride=stride, input_size=size, **OPTIONS)
    assert {name.rpartition(".")[2] for name in unused} == {"num_batches_tracked"}
    for ours, theirs in zip(outputs_of(model, images), expected, strict=True):
        assert theirs.std() > 0.05
        np.testing.assert_allclose(ours, theirs, atol=1e-4)
    landmarks, scores = model.decode(model(images.astype("float32"), training=False))
    wanted = twins.pipnet_landmarks(expected, MEAN_SHAPE, NEIGHBORS)
    np.testing.assert_allclose(size * keras.ops.convert_to_numpy(landmarks), size * wanted, atol=1e-3)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scores), expected[0].max(axis=(2, 3)), atol=1e-4)


def test_every_tensor_and_every_weight_is_used_once(small):
    _, state, _ = small
    model = pipnet.build("resnet18", input_size=64, **OPTIONS)
    table = pipnet.targets(model)
    assert set(table) == {name for name in state if not name.endswith("num_batches_tracked")}
    assert sorted(target.variable.path for target in table.values()) == sorted(weight.path for weight in model.network.weights)


def test_a_saved_model_merges_votes_as_before(small, tmp_path):
    images, state, _ = small
    model, _ = checkpoints.convert("pipnet", "resnet18", state, source="x.pth", input_size=64, **OPTIONS)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras", compile=False)
    ours, theirs = (m.decode(m(images.astype("float32"), training=False))[0] for m in (model, loaded))
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(ours), keras.ops.convert_to_numpy(theirs))
    plain = models.PIPNet(**{**model.get_config(), "repeated_votes": False})
    assert np.ptp(plain.codec.votes[1][:, 0]) > 0 == np.ptp(loaded.codec.votes[1][:, 0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.1.bn2.running_var"), "1 tensor missing: layer3.1.bn2.running_var$"),
        (lambda state: state.update({"fc.weight": np.zeros((3, 3))}), "1 tensor unknown: fc.weight$"),
        (
            lambda state: state.update({"nb_x_layer.bias": np.zeros(9)}),
            r"1 tensor of another shape: nb_x_layer.bias \(9,\) in place of \(76,\)$",
        ),
    ],
)
def test_what_does_not_fit_is_named(small, change, message):
    state = dict(small[1])
    change(state)
    with pytest.raises(ValueError, match="^x.pth does not fit pipnet resnet18 with these options: " + message):
        checkpoints.convert("pipnet", "resnet18", state, source="x.pth", input_size=64, **OPTIONS)


def test_another_variants_file(small):
    with pytest.raises(ValueError, match=r"tensors missing: layer1\.0\.conv3\.weight.*and \d+ more; .*of another shape"):
        checkpoints.convert("pipnet", "resnet50", small[1], source="x.pth", input_size=64, **OPTIONS)


def test_a_refused_file_leaves_the_model_as_it_was(small):
    model = pipnet.build("resnet18", input_size=64, **OPTIONS)
    before = [keras.ops.convert_to_numpy(weight) for weight in model.network.weights]
    with pytest.raises(ValueError, match="1 tensor missing"):
        checkpoints.fill(pipnet.targets(model), {name: value for name, value in small[1].items() if name != "y_layer.bias"}, "x")
    for weight, value in zip(model.network.weights, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), value)


# === The mean face ===


def test_a_mean_face_is_read(tmp_path):
    path = tmp_path / "meanface.txt"
    path.write_text(" ".join(map(str, MEAN_SHAPE.ravel())) + "\n")
    np.testing.assert_array_equal(pipnet.read_meanface(path, POINTS), MEAN_SHAPE)
    for text, message in (("0.5 0.5", "38 numbers, this file has 2"), ("x0 y0", "is text, x0 y0")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            pipnet.read_meanface(path, POINTS)
    with pytest.raises(FileNotFoundError, match="no such mean face"):
        pipnet.read_meanface(tmp_path / "none.txt", POINTS)


def test_without_a_mean_face_the_user_is_told():
    assert "--meanface" in checkpoints.caution("pipnet", {})
    for model, options in (("hih", {}), ("pipnet", {"mean_shape": MEAN_SHAPE}), ("pipnet", {"neighbors": 0})):
        assert checkpoints.caution(model, options) is None


def test_the_order_of_neighbours_is_the_releases():
    """They are ordered by squared distance, without the landmark itself."""
    squared = ((MEAN_SHAPE[:, None] - MEAN_SHAPE) ** 2).sum(axis=-1)
    np.testing.assert_array_equal(nearest_neighbors(MEAN_SHAPE, 10), np.argsort(squared, axis=1)[:, 1:11])
