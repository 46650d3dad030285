"""What is exported: functional models in float32, and their TensorFlow functions."""

import keras

from kfacealign.models.inference import flip_averaged
from kfacealign.quiet import quiet


def inference_model(aligner, flip=False, batch=1):
    """The graph that is exported; `flip` as in `FaceAligner.align`.

    Args:
        batch: crops that it takes, None for any number.

    Returns:
        Functional model: `image` (B, S, S, 3) float32 RGB 0..255 -> `landmarks` (B, K, 2) in crop
        coordinates and `scores` (B, K). The network computes in float32 even if it
        was trained in mixed precision.
    """
    return aligner.inference_model(batch_size=batch, network=in_float32(aligner.network), flip=flip)


def part_models(aligner, flip=False, precision="float32", batch=1):
    """The parts of inference as functional models (dict to dict), each with whether it may be quantised."""
    shapes = {"image": (batch, aligner.input_size, aligner.input_size, 3)}
    parts = aligner.inference_parts(in_float32(aligner.network))
    integers = precision.startswith("int8")
    models = []
    for part in flip_averaged(parts, aligner.scheme) if flip else parts:
        function = part.in_integers if integers and part.in_integers else part.function
        models.append((part_model(part.name, part.inputs, function, shapes), part.quantizable))
    return models


def part_model(name, inputs, function, shapes):
    """A part as a functional model; the shapes of its outputs are added to `shapes`, a dict of tensor name -> shape."""
    tensors = {key: keras.Input(batch_shape=shapes[key], dtype="float32", name=key) for key in inputs}
    outputs = function(tensors)
    shapes.update({key: tensor.shape for key, tensor in outputs.items()})
    return keras.Model(tensors, outputs, name=name)


# === Precision ===


def in_float32(network):
    """The network itself, or a float32 copy of one that was trained in mixed precision."""
    config = network.get_config()
    wanted = with_float32_policies(config)
    if wanted == config:
        return network
    policy = keras.config.dtype_policy()
    # Layers that build others inside take the global policy for them.
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(network).from_config(wanted)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(network.get_weights())
    return copy


def with_float32_policies(config):
    """A Keras config in which every dtype policy, at any depth, is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: with_float32_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(map(with_float32_policies, config))
    return config


# === TensorFlow ===


def as_function(model):
    """A functional model as a `tf.function`, and the specification of its input (a tensor or a dict) by the input's names.

    The weights are constants of the graph, which makes tracing, saving and conversion
    several times faster than with variables.
    """
    import tensorflow as tf

    trainable = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    other = [keras.ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]
    specs = keras.tree.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name), model.input)

    def serve(inputs):
        return model.stateless_call(trainable, other, inputs, training=False)[0]

    return tf.function(serve, input_signature=[specs], autograph=False), specs


def write_saved_model(model, folder):
    """A functional model as a SavedModel whose signature has its input and output names."""
    import tensorflow as tf

    with quiet():
        # Only as a signature: as an attribute of the module the function, with its weights, would be stored twice.
        tf.saved_model.save(tf.Module(), str(folder), signatures=as_function(model)[0])
