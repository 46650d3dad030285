"""From the tensors of a PyTorch state dict to the weights of Keras layers."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

# PyTorch's default, of all three architectures.
EPSILON = 1e-5
# A counter of training steps beside the statistics of every batch normalisation; inference has no use for it.
COUNTER = "num_batches_tracked"
SHOWN = 4


@dataclass(frozen=True)
class Target:
    """What becomes of one tensor of a checkpoint.

    Attributes:
        variable: the Keras weight made of it; None where another one's value takes it in.
        shape: that it has in the checkpoint.
        value: the state dict -> the weight's value.
    """

    variable: object
    shape: tuple
    value: Callable | None


def convolution(source, layer, bias=None):
    """A convolution's tensors, of either direction.

    Args:
        source: its name in the checkpoint. layer: with a `kernel`.
        bias: whether there is one; by default the layer says.

    Returns:
        dict of tensor names -> `Target`.
    """
    height, width, inputs, outputs = layer.kernel.shape
    name = f"{source}.weight"
    # Both libraries store a transposed convolution's kernel as that of the convolution it is the gradient of.
    table = {name: Target(layer.kernel, (outputs, inputs, height, width), lambda state: state[name].transpose(2, 3, 1, 0))}
    if layer.use_bias if bias is None else bias:
        table.update(as_it_is(f"{source}.bias", layer.bias))
    return table


def normalization(source, layer, bias_before=None):
    """A batch normalisation's tensors.

    Another epsilon than PyTorch's is made up for in gamma, which leaves inference as it is.

    Args:
        source: its name in the checkpoint. layer: with `gamma`, `beta`, `moving_mean`, `moving_variance`.
        bias_before: name of the convolution before it, where that has a bias in the checkpoint and none here: the mean
            takes it in.

    Returns:
        dict of tensor names -> `Target`.
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


def as_it_is(name, variable):
    return {name: Target(variable, tuple(variable.shape), lambda state: state[name])}


def fill(targets, state, complaint):
    """Gives every weight its value.

    Args:
        targets: dict of tensor names -> `Target`. state: dict of tensor names -> arrays.
        complaint: what an error begins with.

    Returns:
        Names of the tensors that were not used: counters of training steps.

    Raises:
        ValueError: tensors are missing, unknown, or of another shape; nothing was changed then.
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


def listed(fault, names):
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{len(names)} {'tensor' if len(names) == 1 else 'tensors'} {fault}: {', '.join(names[:SHOWN])}{more}"
