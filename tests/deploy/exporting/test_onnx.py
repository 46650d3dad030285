"""ONNX files: what is in them, and that ONNX Runtime finds what Keras finds."""

from types import SimpleNamespace

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from keras import ops

from kfacealign import deploy, models
from kfacealign.codecs import Heatmap
from kfacealign.deploy.exporting import onnx as exporting

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")
SIZE = 16


def small(layer=None):
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(ops.multiply(image, 1 / 255))
    maps = keras.layers.Conv2D(19, 1)(keras.layers.BatchNormalization()(x if layer is None else layer(x)))
    return models.FaceAligner(keras.Model(image, {"heatmap_1": maps}), Heatmap(SIZE // 2), "aflw19", enlarge=1.3)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    model, folder = small(), tmp_path_factory.mktemp("onnx")
    crops = np.random.default_rng(0).integers(0, 256, (5, SIZE, SIZE, 3), "uint8")
    one = deploy.export(model, folder / "one.onnx", licence="CC0")
    any_number = deploy.export(model, folder / "any.onnx", batch=None)
    return SimpleNamespace(model=model, crops=crops, one=one, any=any_number, expected=model.align(crops, verbose=0))


def test_onnx_runtime_finds_what_keras_finds(exported):
    for path in (exported.one, exported.any):
        for batch_size in (1, 3):
            for found, wanted in zip(
                deploy.load(path).align(exported.crops, batch_size=batch_size), exported.expected, strict=True
            ):
                np.testing.assert_allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize(("name", "batch"), [("one", 1), ("any", "batch")])
def test_inputs_and_outputs_are_named(exported, name, batch):
    session = onnxruntime.InferenceSession(str(getattr(exported, name)), providers=["CPUExecutionProvider"])
    found = {value.name: (value.shape, value.type) for value in (*session.get_inputs(), *session.get_outputs())}
    assert found == {
        "image": ([batch, SIZE, SIZE, 3], "tensor(float)"),
        "landmarks": ([batch, 19, 2], "tensor(float)"),
        "scores": ([batch, 19], "tensor(float)"),
    }


def test_the_file_says_what_it_is(exported):
    content = onnx.load(str(exported.one))
    assert [entry.version for entry in content.opset_import if entry.domain == ""] == [exporting.OPSET]
    assert {node.domain for node in content.graph.node} <= {"", "ai.onnx"}
    aligner = deploy.load(exported.one)
    assert isinstance(aligner, deploy.OnnxAligner)
    assert (aligner.scheme.name, aligner.input_size, aligner.enlarge, aligner.resizable) == ("aflw19", SIZE, 1.3, False)
    assert (aligner.metadata["opset"], aligner.metadata["licence"]) == (exporting.OPSET, "CC0")


@keras.saving.register_keras_serializable(package="tests")
class Spectrum(keras.layers.Layer):
    """Computes the same numbers by an operation that ONNX lacks."""

    def call(self, inputs):
        import tensorflow as tf

        return tf.raw_ops.NextAfter(x1=inputs, x2=inputs)


def test_an_operation_without_counterpart_is_told_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match=r"inference .*NextAfter"):
        deploy.export(small(Spectrum()), tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())


def test_a_foreign_file_is_refused(tmp_path):
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [value], [out])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "m.onnx"))
    with pytest.raises(ValueError, match=r"m.onnx was not exported by kfacealign"):
        deploy.load(tmp_path / "m.onnx")
