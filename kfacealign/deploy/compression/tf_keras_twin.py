"""Twins: Keras 3 networks rebuilt layer by layer for tf-keras, which tensorflow-model-optimization works on.

A twin has the names of the original's layers and copies of its weights, and computes the same. `TwinLayer` makes it a
layer of Keras 3 again, so that whatever trains and evaluates aligners trains and evaluates a twin.
"""

import contextlib
import inspect
import os

import keras
import numpy as np

from kfacealign.quiet import quiet

MISSING = "twins need tensorflow-model-optimization and tf-keras ({}): pip install 'kfacealign[qat]'"


@contextlib.contextmanager
def unchanged_environment(name):
    """Puts an environment variable back to what it was."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


def load_libraries():
    """tf-keras and tensorflow-model-optimization, beside Keras 3 and without a trace for it.

    tensorflow-model-optimization sets TF_USE_LEGACY_KERAS when it is imported, which decides what `tf.keras` is from then
    on, here and in every process started from here. So `tf.keras` is looked at before, and the variable put back after.

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

# Layers that are the same in both, and the arguments that both take.
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
# Activations that both compute alike; tf-keras' hard_sigmoid, for one, is another function.
ACTIVATIONS = ("linear", "relu", "relu6", "sigmoid", "tanh")
# What initialises and restrains weights is of no use: they are copied, and trained for a short while only.
UNUSED = ("initializer", "regularizer", "constraint")


def twin(network, until=None):
    """The tf-keras twin of a functional Keras 3 model, nested models unfolded.

    Args:
        network: functional model without branches that depend on its input.
        until: name of the layer, at the top level of the network, whose output is the twin's; by default the whole network.

    Returns:
        `tf_keras.Model` that maps the input to what the network or the layer returns.

    Raises:
        ValueError: a layer that has no twin, by its name and class, or no layer is called `until`.

    Example:
        >>> model = kfacealign.models.PIPNet("wflw98", backbone="mobilenet_v2")
        >>> twin(model.network)(crops)["score"].shape
        (1, 8, 8, 98)
    """
    if until is not None:
        names = [layer.name for layer in network.layers]
        if until not in names:
            raise ValueError(f"there is no layer {until}; there are {', '.join(names)}")
        # Not the layer's own attribute: that of a nested model belongs to the model by itself.
        nodes = [node for depth in network._nodes_by_depth.values() for node in depth]
        outputs = next(node.outputs for node in nodes if node.operation.name == until)
        network = keras.Model(network.input, outputs[0] if len(outputs) == 1 else outputs, name=network.name)
    return twin_and_originals(network)[0]


def twin_and_originals(network):
    """The twin, and by the names of its layers those of the network that have their weights."""
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
        originals: by its twin's name every layer with weights, or what has the `get_weights` and `set_weights` of one.
    """

    def __init__(self):
        self.originals = {}

    def twin_of(self, operation):
        """What takes the place of a layer or an operation of the graph: a function of tf-keras tensors."""
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

    def add(self, layer, original):
        """A twin whose weights are those of `original`."""
        if original.weights:
            self.originals[layer.name] = original
        return lambda inputs, **_: layer(inputs)

    def make_activation(self, layer):
        name = keras.activations.serialize(layer.activation)
        if name == "hard_silu":
            return tf_keras_layers.HardSwish(name=layer.name)
        if name not in ACTIVATIONS:
            raise ValueError(f"the layer {layer.name}, an Activation {name}, has no tf-keras twin")
        if name in ("relu", "relu6"):
            return tf_keras.layers.ReLU(max_value=6.0 if name == "relu6" else None, name=layer.name)
        return tf_keras.layers.Activation(name, name=layer.name)

    def make_batchnormalization(self, layer):
        def call(inputs, **_):
            after = type(inputs.node.layer).__name__
            known = tf_keras_layers.ChannelNormalization if after == "Conv2DTranspose" else tf_keras.layers.BatchNormalization
            return self.add(known(**arguments(layer)), layer)(inputs)

        return call

    def make_pixelinpixelhead(self, head):
        """The scores; the offsets are twinned apart, see `make_offsetsatcells`."""
        score = self.add(tf_keras.layers.Conv2D(head.points, 1, name=f"{head.name}_score"), head.score)
        return lambda features, **_: {"score": score(features), "features": features}

    def make_offsetsatcells(self, part):
        """The branches that are read at one cell per landmark, x and y in one layer, the neighbours in another."""
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

    def arithmetic(self, operation):
        """The twin of a sum, difference or product with a constant, or of two tensors."""
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


def is_tensor(value):
    """Whether a value is a symbolic tensor of tf-keras, not a constant."""
    return hasattr(value, "type_spec")


def widths(head, names):
    """Values that each branch has for a landmark."""
    return [getattr(head, name).filters // head.points for name in names]


def arguments(layer):
    """The constructor's arguments of a Keras 3 layer, as far as tf-keras has them."""
    known = inspect.signature(getattr(tf_keras.layers, type(layer).__name__).__init__).parameters
    found = {"name": layer.name}
    for name, value in layer.get_config().items():
        if name not in known or name.endswith(UNUSED) or value is None:
            continue
        if name == "activation" and value not in ACTIVATIONS:
            raise ValueError(f"the layer {layer.name}, a {type(layer).__name__} with activation {value}, has no tf-keras twin")
        found[name] = value
    return found


def plain(layer):
    """A layer of a twin without the wrappers of quantisation and pruning."""
    return layer.layer if isinstance(layer, tf_keras.layers.Wrapper) else layer


# === Back in Keras 3 ===


class TwinLayer(keras.layers.Layer):
    """A tf-keras model as a layer of Keras 3, which trains and saves the model's own variables.

    Args:
        model: `tf_keras.Model` from a dict of tensors to a dict of tensors, as this layer is.
    """

    def __init__(self, model, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.model = model
        for trainable, variables in ((True, model.trainable_variables), (False, model.non_trainable_variables)):
            for variable in variables:
                self.share(variable, trainable)
        self.built = True

    def share(self, value, trainable):
        """Makes a `tf.Variable` known to Keras, as its wrapper of torch modules does with their parameters."""
        name = value.name.split(":")[0].replace("/", "_")
        variable = keras.Variable(np.zeros(value.shape), dtype=value.dtype.name, trainable=trainable, name=name)
        variable._value = value
        self._track_variable(variable)

    def call(self, tensors, training=None):
        return self.model({name: tensors[name] for name in self.model.input}, training=bool(training))
