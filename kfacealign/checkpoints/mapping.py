"""From the tensors of a PyTorch state dict to the weights of Keras layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

# The epsilon of batch normalisations: PyTorch's default, which all three architectures use.
EPSILON = 1e-5
# The name of a counter of training steps, which every batch normalisation has; inference does not need it.
COUNTER = "num_batches_tracked"
SHOWN = 4  # tensors that a message names; it counts the others


@dataclass(frozen=True)
class Target:
    """What becomes of one tensor of a checkpoint.

    Attributes:
        variable: the Keras weight made of it; None for a tensor that goes into the value of another weight.
        shape: the shape that it has in the checkpoint.
        value: function from the state dict to the weight's value; None where `variable` is.
    """

    variable: keras.Variable | None
    shape: tuple[int, ...]
    value: Callable[[Mapping[str, np.ndarray]], np.ndarray] | None


def convolution(source: str, layer: keras.layers.Layer, *, bias: bool | None = None) -> dict[str, Target]:
    """The tensors of a convolution or a transposed convolution.

    Args:
        source: its name in the checkpoint.
        layer: the layer, with a `kernel`.
        bias: whether there is a bias; None for what the layer says.

    Returns:
        Name of a tensor -> `Target`.
    """
    height, width, inputs, outputs = layer.kernel.shape
    name = f"{source}.weight"
    # A transposed convolution is the gradient of a convolution, and both libraries store its kernel like that convolution's.
    table = {name: Target(layer.kernel, (outputs, inputs, height, width), lambda state: state[name].transpose(2, 3, 1, 0))}
    if layer.use_bias if bias is None else bias:
        table.update(as_it_is(f"{source}.bias", layer.bias))
    return table


def normalization(source: str, layer: keras.layers.Layer, *, bias_before: str | None = None) -> dict[str, Target]:
    """The tensors of a batch normalisation.

    Where the layer has another epsilon than PyTorch's, gamma is corrected so that inference stays the same.

    Args:
        source: its name in the checkpoint.
        layer: the layer, with `gamma`, `beta`, `moving_mean` and `moving_variance`.
        bias_before: name of the convolution before it, if that has a bias in the checkpoint but none in the model; the bias
            is subtracted from the mean.

    Returns:
        Name of a tensor -> `Target`.
    """
    scale, mean, variance = (f"{source}.{name}" for name in ("weight", "running_mean", "running_var"))
    bias = f"{bias_before}.bias"
    epsilon = getattr(layer, "epsilon", EPSILON)

    def gamma(state):
        return state[scale] * np.sqrt((state[variance] + epsilon) / (state[variance] + EPSILON))

    def moving_mean(state):
        return state[mean] - state[bias] if bias_before else state[mean]

    shape = tuple(layer.gamma.shape)
    table = {
        scale: Target(layer.gamma, shape, gamma),
        **as_it_is(f"{source}.bias", layer.beta),
        mean: Target(layer.moving_mean, shape, moving_mean),
        **as_it_is(variance, layer.moving_variance),
    }
    if bias_before:
        table[bias] = Target(None, shape, None)
    return table


def as_it_is(name: str, variable: keras.Variable) -> dict[str, Target]:
    """A tensor that becomes a weight unchanged."""
    return {name: Target(variable, tuple(variable.shape), lambda state: state[name])}


def fill(targets: dict[str, Target], state: dict[str, np.ndarray], complaint: str) -> list[str]:
    """Gives every weight its value.

    Args:
        targets: name of a tensor -> `Target`.
        state: name of a tensor -> array.
        complaint: the beginning of an error's message.

    Returns:
        Names of the tensors that were not used, all of them counters of training steps.

    Raises:
        ValueError: tensors are missing, unknown, or of another shape; then no weight was changed.
    """
    unused = [name for name in state if name not in targets and name.rpartition(".")[2] == COUNTER]
    missing = [name for name in targets if name not in state]
    unknown = [name for name in state if name not in targets and name not in unused]
    shapes = [
        f"{name} {state[name].shape} in place of {target.shape}"
        for name, target in targets.items()
        if name in state and state[name].shape != target.shape
    ]
    faults = [listed(*fault) for fault in (("missing", missing), ("unknown", unknown), ("of another shape", shapes)) if fault[1]]
    if faults:
        raise ValueError(f"{complaint} with these options: {'; '.join(faults)}")
    for target in targets.values():
        if target.variable is not None:
            target.variable.assign(keras.ops.convert_to_tensor(target.value(state), target.variable.dtype))
    return unused


def listed(fault: str, names: Sequence[str]) -> str:
    """The part of a message that names the tensors with a fault."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {'tensor' if len(names) == 1 else 'tensors'} {fault}: {', '.join(names[:SHOWN])}{more}"
