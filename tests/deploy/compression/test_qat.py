"""Quantisation-aware training: emulated eight bits, their gradients, and the file that computes in eight bits."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import crops, eagerly, labels, tiny_pipnet

pytest.importorskip("tf_keras", reason="quantisation-aware training is an extra")

from kfacealign import deploy
from kfacealign.deploy import flatbuffer
from kfacealign.deploy.compression.qat import QuantizedAligner
from kfacealign.deploy.compression.tf_keras_twin import plain, tf_keras


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A tiny PIPNet, its twin after a few steps of training, and what was measured on the way."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        source = tiny_pipnet(monkeypatch)
        model = QuantizedAligner(source)
        before = weights_of_norms(model)
        with eagerly():
            model.observe(crops(8))
            observed = weights_of_norms(model)
            untrained = model.trained_aligner()
            fresh = model.align(crops(4, 1), verbose=0)
        model.compile(keras.optimizers.Adam(1e-3))
        model.optimizer.build(model.trainable_variables)  # or the graph of a step would be traced a second time
        kernel = first_kernel(model).numpy()
        results = [model.train_on_batch(crops(4, 1), labels(4, 1), return_dict=True) for _ in range(12)]
        after = weights_of_norms(model)
        gradients = gradients_of(model)
        with eagerly():
            rounded = model.align(crops(8, 2), verbose=0)
        folder = tmp_path_factory.mktemp("qat")
        path = model.export(folder / "m.tflite", licence="MIT")
        model.save(folder / "m.keras")
        yield SimpleNamespace(**locals())


def gradients_of(model):
    with tf.GradientTape() as tape:
        outputs = model(crops(4, 1), training=True)
        loss = model.compute_loss(y=labels(4, 1), y_pred=outputs)
    return tape.gradient(loss, [variable.value for variable in model.trainable_variables])


def first_kernel(model):
    """The variable of the first convolution, which its wrapper holds."""
    wrapper = next(layer for layer in model.twins["network"].model.layers if plain(layer).name == "first")
    return wrapper._weight_vars[0][0]


def weights_of_norms(model):
    """Name -> array of the batch normalisations' scales, shifts, means and variances."""
    layers = map(plain, model.twins["network"].model.layers)
    norms = [layer for layer in layers if isinstance(layer, tf_keras.layers.BatchNormalization)]
    return {variable.name: variable.numpy() for layer in norms for variable in layer.weights}


# === The twin ===


def test_what_is_rounded_stays_close_to_what_was_not(trained):
    with eagerly():
        landmarks, scores = trained.source.align(crops(4, 1), verbose=0)
    np.testing.assert_allclose(trained.fresh[1], scores, atol=0.1 * np.ptp(scores))
    rounded = trained.fresh[0]
    assert not np.array_equal(rounded, landmarks)
    assert np.median(np.abs(rounded - landmarks)) < 0.05 * np.ptp(landmarks)


def test_ranges_are_of_what_was_seen(trained):
    layers = {plain(layer).name: layer for layer in trained.model.twins["network"].model.layers}
    bounds = layers["first_relu"]._output_quantizer_vars
    assert float(bounds["min_var"]) == 0 and 0 < float(bounds["max_var"]) <= 6


def test_a_convolution_is_rounded_with_what_is_merged_into_it(trained):
    layers = {plain(layer).name: layer for layer in trained.model.twins["network"].model.layers}
    rounded = {name for name, layer in layers.items() if getattr(layer, "_output_quantizers", None)}
    assert {"first_relu", "depthwise_relu", "branch_norm", "sum", "swish", "squeeze", "excite", "gated", "last_relu"} <= rounded
    assert not {"first", "first_norm", "depthwise", "depthwise_norm", "branch", "pad", "pool", "squeeze_conv"} & rounded


# === Training ===


def test_training_lowers_the_loss_of_the_method(trained):
    losses = [result["loss"] for result in trained.results]
    assert np.isfinite(losses).all() and losses[-1] < losses[0]
    assert {"score_loss", "offset_loss", "neighbor_loss", "nme"} <= set(trained.results[0])


def test_the_gradient_reaches_the_first_convolution_and_the_offsets(trained):
    assert not np.array_equal(first_kernel(trained.model), trained.kernel)
    assert len(trained.gradients) == len(trained.source.trainable_variables) - 4  # x and y are one layer, the neighbours too
    assert all(gradient is not None and np.isfinite(gradient).all() for gradient in trained.gradients)
    shapes = [gradient.shape for gradient in trained.gradients if np.abs(gradient).max() > 0]
    assert {(3, 3, 3, 16), (3, 3, 16, 1), (1, 1, 16, 19), (1, 1, 16, 19 * 2), (1, 1, 16, 19 * 6)} <= set(map(tuple, shapes))


def test_batch_normalisations_keep_their_statistics(trained):
    assert len(trained.before) == 16
    for name, before in trained.before.items():
        np.testing.assert_array_equal(trained.observed[name], before)
        assert np.array_equal(trained.after[name], before) == ("moving" in name)


def test_the_source_stays_and_its_weights_come_back(trained):
    for before, after in zip(trained.source.network.get_weights(), trained.untrained.network.get_weights(), strict=True):
        np.testing.assert_array_equal(after, before)
    assert len(trained.untrained.trainable_variables) == len(trained.source.trainable_variables)
    # Apart from rounding, the model with the trained weights computes what the trained twin computes.
    with eagerly():
        landmarks, _ = trained.model.trained_aligner().align(crops(8, 2), verbose=0)
    assert np.median(np.abs(trained.rounded[0] - landmarks)) < 0.05


def test_a_saved_twin_goes_on_where_it_was(trained, monkeypatch):
    tiny_pipnet(monkeypatch)
    loaded = keras.saving.load_model(trained.folder / "m.keras")
    assert loaded.optimizer.iterations == 12
    with eagerly():
        again = loaded.align(crops(8, 2), verbose=0)
    for found, wanted in zip(again, trained.rounded, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


# === The file ===


def test_the_file_computes_in_integers_what_is_a_twin(trained):
    operators = flatbuffer.operators(trained.path.read_bytes())
    convolutions = [element for name, element in operators if name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    # Six of the backbone, the scores, the offsets and those of the neighbours.
    assert convolutions == ["INT8"] * 9
    network = operators[: operators.index(("DEQUANTIZE", "FLOAT32"))]
    assert {element for _, element in network} == {"INT8"} and ("HARD_SWISH", "INT8") in network
    assert not [name for name, _ in operators if name.startswith("CUSTOM") or name == "BATCH_MATMUL"]


def test_kernels_have_a_scale_for_each_channel(trained):
    model = flatbuffer.unpack(trained.path.read_bytes())
    names = flatbuffer.schema().BuiltinOperator
    for operator in model.subgraphs[0].operators:
        code = model.operatorCodes[operator.opcodeIndex].builtinCode
        if code in (names.CONV_2D, names.DEPTHWISE_CONV_2D):
            weights = model.subgraphs[0].tensors[operator.inputs[1]]
            assert len(weights.quantization.scale) == weights.shape[0 if code == names.CONV_2D else 3]


def test_the_file_agrees_with_the_twin(trained):
    wanted, scores = trained.rounded
    found, found_scores = deploy.load(trained.path).align(crops(8, 2))
    quantizer = next(layer for layer in trained.model.twins["network"].model.layers if plain(layer).name == "head_score")
    bounds = quantizer._output_quantizer_vars
    step = (float(bounds["max_var"]) - float(bounds["min_var"])) / 255
    assert np.abs(found_scores - scores).max() <= 3.01 * step
    # Where two cells are within those steps, another one may win.
    assert np.mean(np.abs(found - wanted).max(-1) < 0.03) > 0.8


def test_the_file_says_how_it_was_made(trained):
    metadata = deploy.load(trained.path).metadata
    assert metadata["precision"] == "int8" and metadata["quantization"] == "aware"
    assert metadata["model"] == "PIPNet" and metadata["licence"] == "MIT"
    assert metadata["float_parts"] == ["locate", "decode"]


def test_only_tflite_files_are_written(trained, tmp_path):
    with pytest.raises(ValueError, match=r"is a folder; a .tflite model is a file"):
        trained.model.export(tmp_path)
