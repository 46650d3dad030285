"""LiteRT's CompiledModel finds what the interpreter finds, and says in one line what it cannot compile."""

import sys

import keras
import numpy as np
import pytest

from kfacealign import deploy, models
from kfacealign.codecs import Coordinates
from kfacealign.deploy.runtime import compiled
from kfacealign.deploy.runtime.compiled import CompiledAligner

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")
pytest.importorskip("ai_edge_litert.compiled_model", reason="LiteRT is not installed (extra: export)")


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    x = keras.layers.Conv2D(2, 3, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38)(keras.layers.Flatten()(x)))
    return models.FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), "aflw19", enlarge=1.3)


@pytest.mark.filterwarnings("ignore:int8 is calibrated on 3 crops")
def test_it_finds_what_the_interpreter_finds(model, tmp_path):
    crops = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), "uint8")
    for precision in ("float32", "int8_io"):
        calibration = {"calibration": crops} if precision != "float32" else {}
        path = deploy.export(model, tmp_path / f"{precision}.tflite", precision=precision, **calibration)
        aligner = CompiledAligner(path, threads=1)
        assert (aligner.scheme.name, aligner.input_size, aligner.enlarge, aligner.resizable) == ("aflw19", 8, 1.3, False)
        for found, wanted in zip(aligner.align(crops), deploy.load(path).align(crops), strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-6)
        assert np.ptp(aligner.align(crops)[0], axis=0).max() > 0.01  # the crops' answers are not one


def test_what_cannot_be_compiled_is_told_in_one_line(model, tmp_path, monkeypatch):
    path = deploy.export(model, tmp_path / "any.tflite", batch=None)
    with pytest.raises(ValueError, match=r"any.tflite takes any number of crops, .*: export it without --batch any"):
        CompiledAligner(path)
    path = deploy.export(model, tmp_path / "m.tflite")
    (tmp_path / "cut.tflite").write_bytes(path.read_bytes()[:600])
    (tmp_path / "text.tflite").write_text("no model")
    for name, message in (("cut.tflite", "cut.tflite is damaged"), ("text.tflite", "text.tflite: not a TFLite file")):
        with pytest.raises(ValueError, match=message):
            CompiledAligner(tmp_path / name)

    def refusing(content, threads):
        raise RuntimeError("Failed to compile\nline 2")

    monkeypatch.setattr(compiled, "compiled", refusing)
    with pytest.raises(ValueError, match=r"m.tflite cannot be compiled by LiteRT's CompiledModel: Failed to compile$"):
        CompiledAligner(path)


def test_what_is_said_where_it_is_not_installed(model, tmp_path, monkeypatch):
    path = deploy.export(model, tmp_path / "m.tflite")
    monkeypatch.setitem(sys.modules, "ai_edge_litert.compiled_model", None)
    with pytest.raises(ImportError, match=r"CompiledModel needs ai-edge-litert 2.1 or later: pip install 'kfacealign\[export\]'"):
        CompiledAligner(path)
