"""PIPNet end to end on tiny networks, and its sizes."""

import checks
import keras
import numpy as np
import pytest
from keras import ops

from kfacealign import deploy, models, schemes
from kfacealign.layers.pixel_in_pixel import features_at_cells
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.pipnet import neighbor_table

SIZE = 64


def small(**kwargs):
    arguments = {"scheme": "cofw29", "backbone": "resnet18", "backbone_width": 0.125, "input_size": SIZE, "neighbors": 4}
    keras.utils.set_random_seed(0)
    return models.PIPNet(**{**arguments, **kwargs})


def loud(model):
    """Head weights that make the winning cells and the offsets differ between images."""
    for seed, variable in enumerate(model.head.trainable_variables):
        variable.assign(keras.random.normal(variable.shape, seed=seed))
    return model


@pytest.fixture(scope="module")
def model():
    return loud(small(stride=16))


@pytest.fixture(scope="module")
def crops():
    return np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 3)).astype("float32")


@pytest.mark.parametrize("stride,side", [(16, 8), (32, 4), (64, 2), (128, 1)])
def test_strides(stride, side):
    model = small(stride=stride, input_size=128)
    assert model.network.output["score"].shape == (None, side, side, 29)
    assert model.codec.size == side
    assert model.codec.offset_weight == {16: 0.02, 32: 0.1, 64: 0.125, 128: 0.25}[stride]
    if stride > 32:
        kernel = model.network.get_layer("down_1_conv").kernel
        assert tuple(kernel.shape) == (3, 3, 64, 512)
    if stride == 16:
        assert tuple(model.network.get_layer("up_conv").kernel.shape) == (4, 4, 512, 64)


def test_landmarks_are_those_of_the_dense_maps(model, crops):
    landmarks, scores = model.align(crops, verbose=0)
    outputs = model.network(crops, training=False)
    dense = {name: ops.convert_to_numpy(maps) for name, maps in model.head.dense(outputs["features"]).items()}
    votes = [[[] for _ in range(29)] for _ in crops]
    for b in range(len(crops)):
        for k in range(29):
            row, column = np.unravel_index(dense["score"][b, :, :, k].argmax(), (4, 4))
            assert scores[b, k] == pytest.approx(dense["score"][b, row, column, k], rel=1e-4)
            votes[b][k].append((column + dense["x"][b, row, column, k], row + dense["y"][b, row, column, k]))
            for j, other in enumerate(model.codec.table[k]):
                x, y = (dense[name][b, row, column, 4 * k + j] for name in ("neighbor_x", "neighbor_y"))
                votes[b][other].append((column + x, row + y))
    expected = np.array([[np.mean(votes[b][k], axis=0) for k in range(29)] for b in range(len(crops))]) / 4
    np.testing.assert_allclose(landmarks, expected, rtol=1e-4, atol=1e-3)


def test_gradients_are_those_of_the_dense_maps(model):
    """One step of training, gathered and dense, on the kernels of the head."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes gradients with tf.GradientTape; the numbers it compares are keras.ops on every backend")
    import tensorflow as tf

    rng = np.random.default_rng(1)
    features = ops.array(rng.normal(size=(2, 4, 4, 512)), dtype="float32")
    cells = ops.array(rng.integers(0, 4, (2, 29, 2)), dtype="float32")
    branch = model.head.neighbor_x
    with tf.GradientTape(persistent=True) as tape:
        gathered = tf.reduce_sum(tf.square(model.head.at_cells(features_at_cells(features, cells))["neighbor_x"]))
        maps = tf.reshape(branch(features), (2, 16, 29, 4))
        place = tf.cast(cells[..., 1] * 4 + cells[..., 0], "int32")
        dense = tf.reduce_sum(tf.square(tf.gather(tf.transpose(maps, (0, 2, 1, 3)), place, axis=2, batch_dims=2)))
    np.testing.assert_allclose(gathered, dense, rtol=1e-4)
    for weight in (branch.kernel.value, branch.bias.value):
        expected = tape.gradient(dense, weight).numpy()
        np.testing.assert_allclose(tape.gradient(gathered, weight), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_saving(model, crops, tmp_path):
    copy = checks.aligner(model, crops, tmp_path)
    np.testing.assert_array_equal(copy.align(crops, verbose=0)[0], model.align(crops, verbose=0)[0])


def batch(count=3):
    rng = np.random.default_rng(2)
    images = rng.uniform(0, 255, (count, SIZE, SIZE, 3)).astype("float32")
    landmarks = schemes.get("cofw29").mean_shape[None] + rng.normal(0, 0.02, (count, 29, 2)).astype("float32")
    return images, {"landmarks": landmarks, "weights": np.ones((count, 29), "float32")}


def test_the_head_learns_a_batch_by_heart():
    # Four images: at 8 channels TensorFlow 2.21's CPU kernel for the gradient of a convolution crashes with three.
    model, (images, labels) = small(stride=32, input_size=SIZE), batch(4)
    model.compile(keras.optimizers.Adam(3e-3), run_eagerly=True)
    history = model.fit(images, labels, epochs=15, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert set(history) == {"loss", "score_loss", "offset_loss", "neighbor_loss", "nme"}


@pytest.mark.parametrize("task", [1, 2, 3])
def test_tasks_use_the_shared_score_head_on_pooled_features(model, task):
    images, labels = batch()
    labels = {name: ops.array(value) for name, value in {**labels, "unlabelled": np.array([0, 1, 1], "float32")}.items()}
    outputs = model(images)
    model.task = task
    terms = model.loss_terms(labels, outputs)
    features = ops.convert_to_numpy(outputs["features"])
    pooled = features.reshape(3, 2, 2, 2, 2, -1).max(axis=(2, 4))
    coarse = {1: pooled.max(axis=(1, 2), keepdims=True), 2: pooled}.get(task)
    labelled = slice(0, 1) if task < 3 else slice(0, 3)
    score = ops.convert_to_numpy(outputs["score"])[labelled]
    target = ops.convert_to_numpy(model.codec.encode(labels["landmarks"])["score"])[labelled]
    squared = [(score - target) ** 2]
    if coarse is not None:
        name = {1: "score_4", 2: "score_2"}[task]
        target = ops.convert_to_numpy(model.codec.encode(labels["landmarks"])[name])[1:]
        squared.append((ops.convert_to_numpy(model.head.score(coarse[1:])) - target) ** 2)
    expected = sum(part.sum() for part in squared) / sum(part.size for part in squared)
    model.task = 3
    np.testing.assert_allclose(terms["score_loss"], expected, rtol=1e-4)


def test_unlabelled_samples_stay_out_of_the_metric(model):
    images, labels = batch()
    moved = {**labels, "landmarks": labels["landmarks"] + np.array([0.0, 0.0, 5.0], "float32")[:, None, None]}
    found = []
    for case in (labels, moved):
        model.nme.reset_state()
        case = {**case, "unlabelled": np.array([0, 0, 1], "float32")}
        model.compute_metrics(None, case, model(images))
        found.append(float(model.nme.result()))
    assert found[0] == found[1]


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TFLite files are written by TensorFlow")
def test_exports_agree_and_need_no_foreign_operations(model, crops, tmp_path):
    expected, scores = model.align(crops, verbose=0)
    aligner = deploy.load(deploy.export(model, tmp_path / "m.tflite"))
    found, found_scores = aligner.align(crops)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_allclose(found_scores, scores, rtol=1e-3)
    quantized = deploy.export(model, tmp_path / "q.tflite", precision="int8", calibration=crops)
    operators = deploy.flatbuffer.operators(quantized.read_bytes())
    assert {kind for name, kind in operators if name == "CONV_2D"} == {"INT8"}
    found, _ = deploy.load(quantized).align(crops)
    spread = np.ptp(expected)
    assert np.median(np.abs(found - expected)) < 0.1 * spread


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"stride": 8}, "stride is one of 16, 32, 64, 128, not 8"),
        ({"stride": 64, "input_size": 96}, "multiple of 64 at stride 64, got 96"),
        ({"neighbors": 29}, "0 to 28 neighbours, not 29"),
        ({"neighbors": [[1], [99]]}, r"\(29, C\) table of indices below 29"),
        ({"backbone": "vgg16"}, "vgg16"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        small(**arguments)


def test_a_scheme_without_a_mean_shape_can_bring_one():
    class Scheme:
        name, num_points, mean_shape = "mine", 3, None

    with pytest.raises(ValueError, match="mine has no mean shape of 3 points"):
        neighbor_table(Scheme, 1)
    assert neighbor_table(Scheme, 1, mean_shape=[[0, 0], [1, 0], [5, 0]]).tolist() == [[1], [0], [1]]
    assert neighbor_table(Scheme, 0).shape == (3, 0)


def test_tasks_need_a_map_that_can_be_halved_twice(model):
    with pytest.raises(ValueError, match="its side is 2 cells"):
        small(stride=32).task = 1
    with pytest.raises(ValueError, match="task is 1, 2 or 3"):
        model.task = 4


def test_full_size_by_default():
    model = models.PIPNet("ibug68", neighbors=10)
    assert model.input_size == 256 and model.network.output["score"].shape == (None, 8, 8, 68)
    assert round(trainable_parameters(model) / 1e6, 1) == 12.0
