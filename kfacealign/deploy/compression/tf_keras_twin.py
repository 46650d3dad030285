"""Twins: Keras 3 networks rebuilt layer by layer for tf-keras, which tensorflow-model-optimization works on.

A twin has the names of the original's layers and copies of its weights, and computes the same. `TwinLayer` makes a twin a
layer of Keras 3 again, so that the code that trains and evaluates aligners can train and evaluate twins too.
"""

import contextlib
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import keras
import numpy as np

from kfacealign.quiet import quiet

MISSING = "twins need tensorflow-model-optimization and tf-keras ({}): pip install 'kfacealign[qat]'"


@contextlib.contextmanager
def unchanged_environment(name: str) -> Iterator[None]:
    """Gives an environment variable its old value back at the end of the block."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def load_libraries() -> tuple[ModuleType, ModuleType]:
    """Imports tf-keras and tensorflow-model-optimization beside Keras 3, which does not notice.

    The import of tensorflow-model-optimization sets TF_USE_LEGACY_KERAS, which decides what `tf.keras` is from then on, in
    this process and in every process started from it. Therefore `tf.keras` is looked up before that import, which settles
    what it is, and the variable gets its old value back afterwards.

    Returns:
        The modules `tf_keras` and `tensorflow_model_optimization`.

    Raises:
        ValueError: they are not installed, or Keras runs on another backend.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"twins need the TensorFlow backend, not {keras.backend.backend()}: set KERAS_BACKEND=tensorflow")
    try:
        with quiet(), unchanged_environment("TF_USE_LEGACY_KERAS"):
            import tensorflow as tf

            getattr(tf.keras, "version", None)
            import tensorflow_model_optimization as tfmot
            import tf_keras
    except ImportError as error:
        raise ValueError(MISSING.format(error)) from error
    return tf_keras, tfmot


tf_keras, tfmot = load_libraries()

from kfacealign.deploy.compression import tf_keras_layers  # noqa: E402

# Layers that are the same in Keras 3 and in tf-keras. A twin gets those of their arguments that both know.
ALIKE = (
    "Add",
    "AveragePooling2D",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Flatten",
    "GlobalAveragePooling2D",
    "MaxPooling2D",
    "Multiply",
    "ReLU",
    "Reshape",
    "ZeroPadding2D",
)
# Activations that both compute alike. The hard_sigmoid of tf-keras, for example, is another function.
ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "tanh")
# Ends of arguments that a twin does not need: its weights are copied, and trained for a short while only.
UNUSED = ("initializer", "regularizer", "constraint")


def twin(network: keras.Model, *, until: str | None = None) -> Any:
    """The tf-keras twin of a functional Keras 3 model, nested models unfolded.

    Args:
        network: functional model without branches that depend on its input.
        until: name of a layer at the top level of the network: the twin ends with it. By default it is the whole network.

    Returns:
        `tf_keras.Model` from the network's input to what the network, or the layer `until`, returns.

    Raises:
        ValueError: a layer, which is named with its class, has no twin; or no layer is called `until`.

    Example:
        >>> model = kfacealign.models.PIPNet("wflw98", backbone="mobilenet_v2")
        >>> twin(model.network)(crops)["score"].shape
        (1, 8, 8, 98)
    """
    if until is not None:
        names = [layer.name for layer in network.layers]
        if until not in names:
            raise ValueError(f"there is no layer {until}; there are {', '.join(names)}")
        # `layer.output` would not do: the output of a nested model belongs to the model by itself, not to its call here.
        nodes = [node for depth in network._nodes_by_depth.values() for node in depth]
        outputs = next(node.outputs for node in nodes if node.operation.name == until)
        network = keras.Model(network.input, outputs[0] if len(outputs) == 1 else outputs, name=network.name)
    return twin_and_originals(network)[0]


def twin_and_originals(network: keras.Model) -> tuple[Any, dict[str, Any]]:
    """The twin of a network, and the originals of its weights.

    Returns:
        The `tf_keras.Model`, and for each of its layers with weights, by name, the layer of the network that has these
        weights. Where several layers share a twin it is an object with their `get_weights` and `set_weights`.

    Raises:
        ValueError: a layer has no twin.
    """
    inputs = keras.tree.map_structure(
        lambda tensor: tf_keras.Input(tensor.shape[1:], name=tensor.name, dtype=tensor.dtype), network.input
    )
    builder = Builder()
    outputs = network._run_through_graph(inputs, operation_fn=builder.twin_of)
    model = tf_keras.Model(inputs, outputs, name=network.name)
    for name, original in builder.originals.items():
        model.get_layer(name).set_weights(original.get_weights())
    return model, builder.originals


class Builder:
    """Makes the twins of the layers of one network.

    Attributes:
        originals: name of a twin with weights -> the layer that they come from, or an object with the `get_weights` and
            `set_weights` of a layer.
    """

    def __init__(self):
        self.originals = {}

    def twin_of(self, operation: Any) -> Callable:
        """The function of tf-keras tensors that replaces a layer or an operation of the graph.

        Raises:
            ValueError: there is none.
        """
        if isinstance(operation, keras.Model) and hasattr(operation, "operations"):
            return lambda inputs, **_: operation._run_through_graph(inputs, operation_fn=self.twin_of)
        kind = type(operation).__name__
        make = getattr(self, f"make_{kind.lower()}", None)
        if make is not None:
            return make(operation)
        if kind in ALIKE and isinstance(operation, keras.layers.Layer):
            return self.add(getattr(tf_keras.layers, kind)(**arguments(operation)), operation)
        if isinstance(operation, keras.layers.Layer):
            raise ValueError(f"the layer {operation.name}, a {kind}, has no tf-keras twin")
        return self.arithmetic(operation)

    def add(self, layer: Any, original: Any) -> Callable:
        """The function of a twin whose weights come from `original`, which is noted."""
        if original.weights:
            self.originals[layer.name] = original
        return lambda inputs, **_: layer(inputs)

    def make_activation(self, layer: keras.layers.Layer) -> Callable:
        """The twin of an `Activation`."""
        name = keras.activations.serialize(layer.activation)
        if name == "hard_silu":
            return tf_keras_layers.HardSwish(name=layer.name)
        if name not in ACTIVATIONS:
            raise ValueError(f"the layer {layer.name}, an Activation {name}, has no tf-keras twin")
        if name in ("relu", "relu6"):
            return tf_keras.layers.ReLU(max_value=6.0 if name == "relu6" else None, name=layer.name)
        return tf_keras.layers.Activation(name, name=layer.name)

    def make_batchnormalization(self, layer: keras.layers.Layer) -> Callable:
        """The twin of a batch normalisation, which LiteRT treats in another way after a transposed convolution."""

        def call(inputs, **_):
            after = type(inputs.node.layer).__name__
            known = tf_keras_layers.ChannelNormalization if after == "Conv2DTranspose" else tf_keras.layers.BatchNormalization
            return self.add(known(**arguments(layer)), layer)(inputs)

        return call

    def make_pixelinpixelhead(self, head: keras.layers.Layer) -> Callable:
        """The twin of a `PixelInPixelHead`, which computes the scores only; `make_offsetsatcells` makes the offsets."""
        score = self.add(tf_keras.layers.Conv2D(head.points, 1, name=f"{head.name}_score"), head.score)
        return lambda features, **_: {"score": score(features), "features": features}

    def make_offsetsatcells(self, part: keras.layers.Layer) -> Callable:
        """The twin of the branches that are read at one cell for each landmark.

        One layer of it computes x and y, another the neighbours' x and y.
        """
        head = part.head

        def call(tensors):
            found = {}
            for names in filter(None, (head.branches[:2], head.branches[2:])):
                layer = tf_keras_layers.Offsets(head.points, sum(widths(head, names)), name=f"{head.name}_{'_'.join(names)}")
                values = self.add(layer, tf_keras_layers.Columns(head, names))(tensors["gathered"])
                first = 0
                for name, width in zip(names, widths(head, names), strict=True):
                    branch = tf_keras_layers.Branch(
                        first, width, squeeze=not name.startswith("neighbor"), name=f"{head.name}_{name}"
                    )
                    found[name] = branch(values)
                    first += width
            return found

        return call

    def arithmetic(self, operation: Any) -> Callable:
        """The twin of a sum or product of two tensors, or of a sum, difference or product of a tensor and a constant.

        Raises:
            ValueError: the operation is another.
        """
        kind = type(operation).__name__
        if kind not in ("Add", "Multiply", "Subtract"):
            raise ValueError(f"the operation {operation.name}, a {kind}, has no tf-keras twin")

        def call(x1, x2, **_):
            first, second = map(is_tensor, (x1, x2))
            if first and second and kind != "Subtract":
                return getattr(tf_keras.layers, kind)(name=operation.name)([x1, x2])
            if second and kind == "Subtract":
                raise ValueError(f"the operation {operation.name}, a {kind} of a tensor, has no tf-keras twin")
            tensor, constant = (x1, x2) if first else (x2, x1)
            constant = np.asarray(constant, "float32")
            values = {"Add": {"offset": constant}, "Subtract": {"offset": -constant}, "Multiply": {"scale": constant}}[kind]
            return tf_keras_layers.Affine(**{name: value.tolist() for name, value in values.items()}, name=operation.name)(tensor)

        return call


def is_tensor(value: Any) -> bool:
    """Whether a value is a symbolic tensor of tf-keras, not a constant."""
    return hasattr(value, "type_spec")


def widths(head: keras.layers.Layer, names: Iterable[str]) -> list[int]:
    """For each named branch of a `PixelInPixelHead` the number of values that it has for a landmark."""
    return [getattr(head, name).filters // head.points for name in names]


def arguments(layer: keras.layers.Layer) -> dict[str, Any]:
    """The constructor's arguments of a Keras 3 layer, as far as tf-keras has them.

    Raises:
        ValueError: tf-keras lacks the layer's activation.
    """
    known = inspect.signature(getattr(tf_keras.layers, type(layer).__name__).__init__).parameters
    found = {"name": layer.name}
    for name, value in layer.get_config().items():
        if name not in known or name.endswith(UNUSED) or value is None:
            continue
        if name == "activation" and value not in ACTIVATIONS:
            raise ValueError(f"the layer {layer.name}, a {type(layer).__name__} with activation {value}, has no tf-keras twin")
        found[name] = value
    return found


def plain(layer: Any) -> Any:
    """A layer of a twin without the wrapper that quantisation or pruning puts around it."""
    return layer.layer if isinstance(layer, tf_keras.layers.Wrapper) else layer


# === Back in Keras 3 ===


class TwinLayer(keras.layers.Layer):
    """A tf-keras model as a layer of Keras 3, which trains and saves the model's own variables.

    Args:
        model: `tf_keras.Model` from a dict of tensors to a dict of tensors; the layer maps the same.
    """

    def __init__(self, model: Any, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.model = model
        for trainable, variables in ((True, model.trainable_variables), (False, model.non_trainable_variables)):
            for variable in variables:
                self.share(variable, trainable)
        self.built = True

    def share(self, value: Any, trainable: bool) -> None:
        """Makes a `tf.Variable` known to Keras, as Keras' own wrapper of torch modules does with their parameters."""
        name = value.name.split(":")[0].replace("/", "_")
        variable = keras.Variable(np.zeros(value.shape), dtype=value.dtype.name, trainable=trainable, name=name)
        variable._value = value
        self._track_variable(variable)

    def call(self, tensors: dict[str, Any], training: bool | None = None) -> dict[str, Any]:
        return self.model({name: tensors[name] for name in self.model.input}, training=bool(training))
