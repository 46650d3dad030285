"""The graphs that are exported: functional models in float32, and their TensorFlow functions."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import keras

from kfacealign.deploy.exporting.phases import by_phases
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.inference import flip_averaged
from kfacealign.quiet import quiet


def inference_model(aligner: FaceAligner, *, flip: bool = False, batch: int | None = 1) -> keras.Model:
    """The graph that is exported, all of inference as one model.

    Args:
        aligner: a `FaceAligner`.
        flip: whether it averages with the mirrored crop, as `FaceAligner.align` does.
        batch: number of crops that it takes; None for any number.

    Returns:
        Functional model: `image` (B, S, S, 3) float32 RGB 0..255 -> `landmarks` (B, K, 2) in crop coordinates and `scores`
        (B, K). The network computes in float32 even if it was trained in mixed precision.
    """
    return aligner.inference_model(batch_size=batch, network=in_float32(aligner.network), flip=flip)


def part_models(
    aligner: FaceAligner, *, flip: bool = False, precision: str = "float32", batch: int | None = 1
) -> list[tuple[keras.Model, bool]]:
    """The parts of inference, in the order in which they run.

    Args:
        aligner: a `FaceAligner`.
        flip: whether they average with the mirrored crop.
        precision: in "int8" and "int8_io" a part takes the form that quantises better, if it has one.
        batch: number of crops that the first part takes; None for any number.

    Returns:
        List of (functional model from dict to dict, whether it may be quantised).
    """
    shapes = {"image": (batch, aligner.input_size, aligner.input_size, 3)}
    integers = precision.startswith("int8")
    network = in_float32(aligner.network)
    # In integers a normalisation is folded into a transposed convolution, and would not be into its phases.
    parts = aligner.inference_parts(network=network if integers else by_phases(network))
    models = []
    for part in flip_averaged(parts, aligner.scheme, aligner.answers) if flip else parts:
        function = part.in_integers if integers and part.in_integers else part.function
        models.append((part_model(part.name, part.inputs, function, shapes), part.quantizable))
    return models


def part_model(name: str, inputs: Sequence[str], function: Callable[[dict], dict], shapes: dict[str, tuple]) -> keras.Model:
    """A part of inference as a functional model.

    Args:
        name: the name of the model.
        inputs: names of the tensors that it reads.
        function: dict of these tensors -> dict of new ones.
        shapes: name of a tensor -> its shape; the shapes of the new tensors are added.
    """
    tensors = {key: keras.Input(batch_shape=shapes[key], dtype="float32", name=key) for key in inputs}
    outputs = function(tensors)
    shapes.update({key: tensor.shape for key, tensor in outputs.items()})
    return keras.Model(tensors, outputs, name=name)


# === Precision ===


def in_float32(network: keras.Model) -> keras.Model:
    """The network itself; if it was trained in mixed precision, a float32 copy of it."""
    config = network.get_config()
    wanted = with_float32_policies(config)
    if wanted == config:
        return network
    policy = keras.config.dtype_policy()
    # A layer that builds other layers gives them the global policy.
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(network).from_config(wanted)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(network.get_weights())
    return copy


def with_float32_policies(config: Any) -> Any:
    """A copy of a Keras config in which every dtype policy, at any depth, is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: with_float32_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(map(with_float32_policies, config))
    return config


# === TensorFlow ===


def as_function(model: keras.Model) -> tuple[Callable, Any]:
    """A functional model as a TensorFlow function.

    The weights are constants of the graph, which makes tracing, saving and conversion several times faster than variables
    would.

    Returns:
        The `tf.function`, and the `tf.TensorSpec` of its input, or a dict of them, with the names of the model's inputs.
    """
    import tensorflow as tf

    trainable = [keras.ops.convert_to_numpy(variable) for variable in model.trainable_variables]
    other = [keras.ops.convert_to_numpy(variable) for variable in model.non_trainable_variables]
    specs = keras.tree.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype, name=tensor.name), model.input)

    def serve(inputs):
        return model.stateless_call(trainable, other, inputs, training=False)[0]

    return tf.function(serve, input_signature=[specs], autograph=False), specs


def write_saved_model(model: keras.Model, folder: str | os.PathLike) -> None:
    """Writes a functional model as a SavedModel whose signature has its input and output names."""
    import tensorflow as tf

    with quiet():
        # The function is a signature only: were it an attribute of the module as well, its weights would be stored twice.
        tf.saved_model.save(tf.Module(), str(folder), signatures=as_function(model)[0])
