"""2D-FAN's release: four hourglasses of hierarchical residual blocks."""

from typing import Any

import keras

from kfacealign.checkpoints.mapping import Target, convolution, normalization
from kfacealign.models.fan import FAN

# Variant -> number of hourglasses.
VARIANTS = {"2dfan": 4}
# A tensor that only this architecture has.
SIGNATURE = "conv_last0.weight"
DEPTH = 4
# The release's crops have a side of 200 / 195 times the sum of the box's sides.
ENLARGE = 2 * 200 / 195

STEM = {"conv2": "stem_2", "conv3": "stem_3", "conv4": "stem_4"}


def build(variant: str, **options: Any) -> FAN:
    """A `FAN` with random weights that reads heatmaps as the release does: a quarter of a cell towards the higher neighbour."""
    return FAN(stacks=VARIANTS[variant], **{"scheme": "ibug68", "decoder": "shift", "enlarge": ENLARGE, **options})


def targets(model: FAN) -> dict[str, Target]:
    """Name of a tensor of the checkpoint -> `Target`."""
    layers = {layer.name: layer for layer in model.network.layers}
    table = {**convolution("conv1", layers["stem_1_conv"]), **normalization("bn1", layers["stem_1_bn"])}
    for source, ours in STEM.items():
        table.update(residual(source, layers, ours))
    for stack in range(model.stacks):
        ours = f"stack{stack + 1}"
        table.update(hourglass(f"m{stack}", layers, ours))
        table.update(residual(f"top_m_{stack}", layers, f"{ours}_top"))
        table.update(convolution(f"conv_last{stack}", layers[f"{ours}_features_conv"]))
        table.update(normalization(f"bn_end{stack}", layers[f"{ours}_features_bn"]))
        table.update(convolution(f"l{stack}", layers[f"{ours}_heatmap"]))
        if stack + 1 < model.stacks:
            table.update(convolution(f"bl{stack}", layers[f"{ours}_merge_features_conv"]))
            table.update(convolution(f"al{stack}", layers[f"{ours}_merge_heatmap_conv"]))
    return table


def hourglass(source: str, layers: dict[str, keras.layers.Layer], ours: str) -> dict[str, Target]:
    """Targets of one hourglass.

    Args:
        source: its name in the checkpoint.
        layers: the model's layers by name.
        ours: what the names of its layers begin with.
    """
    table = residual(f"{source}.b2_plus_1", layers, f"{ours}_centre")
    for level in range(1, DEPTH + 1):
        for number, part in ((1, "across"), (2, "down"), (3, "up")):
            table.update(residual(f"{source}.b{number}_{level}", layers, f"{ours}_{part}{level}"))
    return table


def residual(source: str, layers: dict[str, keras.layers.Layer], ours: str) -> dict[str, Target]:
    """Targets of a hierarchical residual block, whose normalisations stand before its convolutions.

    Where its input has another width than its output, the skip has a convolution too. The arguments are those of `hourglass`.
    """
    table = {}
    for number, scale in enumerate("abc", start=1):
        table.update(normalization(f"{source}.bn{number}", layers[f"{ours}_{scale}_bn"]))
        table.update(convolution(f"{source}.conv{number}", layers[f"{ours}_{scale}_conv"]))
    if f"{ours}_skip_conv" in layers:
        table.update(normalization(f"{source}.downsample.0", layers[f"{ours}_skip_bn"]))
        table.update(convolution(f"{source}.downsample.2", layers[f"{ours}_skip_conv"]))
    return table
