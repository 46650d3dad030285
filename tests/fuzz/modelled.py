"""The smallest models there are, in each format, and a SavedModel that does harm; TensorFlow writes them once for a run."""

import importlib.util
import json
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.trackable.resource import CapturableResource

from kfacealign import deploy, models
from kfacealign.codecs import Coordinates
from kfacealign.deploy.exporting import conversion

SIZE = 8
CANARY = "CANARY"  # what a file that executes something writes to the current folder


def tiny() -> models.FaceAligner:
    """19 landmarks of crops of 8 x 8 pixels, by a convolution and a matrix."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    x = keras.layers.Conv2D(2, 3, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    x = keras.layers.Dense(38)(keras.layers.Flatten()(x))
    network = keras.Model(image, {"landmarks": keras.layers.Reshape((19, 2))(x)})
    return models.FaceAligner(network, Coordinates(), "aflw19", enlarge=1.25)


def write(folder: Path) -> None:
    """Writes m.keras, m.tflite, m.onnx, m/ (a SavedModel), bare.tflite, metadata.json and graph/ into a folder.

    Where OpenVINO is installed, also m.xml and m.bin.
    """
    model = tiny()
    model.save(folder / "m.keras")
    further = ("m.xml",) if importlib.util.find_spec("openvino") else ()
    for name in ("m.tflite", "m.onnx", *further, "m"):
        deploy.export(model, folder / name)
    (folder / "bare.tflite").write_bytes(conversion.convert(deploy.inference_model(model)))
    (folder / "metadata.json").write_text(json.dumps(deploy.load(folder / "m.tflite").metadata))
    write_harmful(folder / "graph")


class Harm(CapturableResource):
    """A resource whose initialiser writes a file."""

    def _create_resource(self):
        return tf.zeros([], tf.int32)

    def _initialize(self):
        tf.io.write_file(CANARY, "written by a graph")


def write_harmful(path: Path) -> None:
    """A SavedModel that writes `CANARY` when it is loaded, and when it is called."""
    module = tf.Module()
    module.harm = Harm()

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE, SIZE, 3], tf.float32)])
    def serve(image):
        with tf.control_dependencies([tf.io.write_file(CANARY, "written by a graph")]):
            landmarks = tf.zeros([tf.shape(image)[0], 19, 2]) + 0.5
        return {"landmarks": landmarks, "scores": landmarks[..., 0]}

    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


def crop() -> np.ndarray:
    return np.zeros((1, SIZE, SIZE, 3), "uint8")
