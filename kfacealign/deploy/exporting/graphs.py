"""The graphs that are exported: functional models in float32."""

from collections.abc import Callable, Sequence

import keras

from kfacealign.deploy.exporting.phases import by_phases
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.inference import flip_averaged, in_float32


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
