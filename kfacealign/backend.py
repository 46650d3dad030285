"""Keras, imported without the notices that its backends print when they start.

Every module that may be the first to need Keras imports it from here. A backend that is not there is told in one sentence.
"""

import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfacealign.quiet import import_tensorflow, quiet

# Keras' name of a backend -> the package that it is.
PACKAGES = {"tensorflow": "tensorflow", "jax": "jax", "torch": "torch", "openvino": "openvino", "numpy": "numpy"}
TRAINING = ("tensorflow", "jax", "torch")  # those that a model can be trained on


def check_backend() -> None:
    """Refuses a backend that Keras does not know or that is not installed, before Keras is imported in vain.

    Raises:
        ValueError: Keras knows no backend of this name.
        ImportError: the backend is not installed.
    """
    name, source = wanted_backend()
    have = ", ".join(known for known in TRAINING if importlib.util.find_spec(PACKAGES[known])) or "none"
    if name not in PACKAGES:
        raise ValueError(f"{source} names {name!r}, which is no backend of Keras: choose one of those installed ({have})")
    if importlib.util.find_spec(PACKAGES[name]) is None:
        raise ImportError(f"{source} names {name}, which is not installed: install it, or choose another (installed: {have})")


def wanted_backend() -> tuple[str, str]:
    """The backend that Keras will take, and what says so: `KERAS_BACKEND`, Keras' configuration file, or Keras itself."""
    if os.environ.get("KERAS_BACKEND"):
        return os.environ["KERAS_BACKEND"], "the environment variable KERAS_BACKEND"
    file = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
    try:
        return json.loads(file.read_text())["backend"], str(file)
    except (OSError, ValueError, KeyError, TypeError):
        return "tensorflow", "Keras' default (the environment variable KERAS_BACKEND is not set)"


if "keras" not in sys.modules:
    check_backend()

with quiet():
    import keras
    from keras import ops

if keras.config.backend() == "tensorflow":
    import_tensorflow()

__all__ = ["frozen", "keras", "ops"]


def frozen(model: "keras.Model", size: int) -> Callable[[Any], dict[str, Any]]:
    """A functional model as it is now, as one TensorFlow graph for batches of one size, for calls that must be quick.

    The weights are constants, so that TensorFlow computes beforehand what follows from them alone, such as a batch norm's place
    in the convolution before it. Later changes of the model's weights are none of the function's.

    Args:
        model: functional model with one input and a dict of outputs.
        size: B, the batch's.

    Returns:
        A function from an array (B, ...) float32 to a dict of arrays.
    """
    import tensorflow as tf

    parts = model.trainable_variables, model.non_trainable_variables
    trainable, other = ([ops.convert_to_numpy(variable) for variable in part] for part in parts)

    def serve(image):
        return model.stateless_call(trainable, other, image, training=False)[0]

    spec = tf.TensorSpec((size, *model.input_shape[1:]), tf.float32)
    function = tf.function(serve, autograph=False, jit_compile=False).get_concrete_function(spec)

    def run(images):
        return {name: value.numpy() for name, value in function(tf.constant(images)).items()}

    return run
