"""HIH's release: the stacked hourglass with its head of decimal heatmaps."""

from typing import Any

import keras

from kfacealign.checkpoints.mapping import Target, convolution, normalization
from kfacealign.layers.hourglass import IdentitySkip
from kfacealign.models.hih import HIH

# Variant -> number of hourglasses.
VARIANTS = {"tiny": 1, "small": 2, "base": 4}
# A tensor that only this architecture has.
SIGNATURE = "pre_conv.0.conv.weight"
DEPTH = 4

STEM = {"pre_conv.1": "stem_2", "pre_conv.3": "stem_3", "pre_conv.4": "stem_4"}


def build(variant: str, **options: Any) -> HIH:
    """A `HIH` with random weights that normalises pixels as the release does."""
    return HIH(stacks=VARIANTS[variant], **{"normalization": "imagenet", **options})


def targets(model: HIH) -> dict[str, Target]:
    """Name of a tensor of the checkpoint -> `Target`."""
    layers = {layer.name: layer for layer in model.network.layers}
    table = conv_norm("pre_conv.0", layers, "stem_1")
    for source, ours in STEM.items():
        table.update(residual(source, layers, ours))
    for stack in range(model.stacks):
        table.update(hourglass(f"hg{stack}", layers, f"stack{stack + 1}"))
    body = {layer.name: layer for layer in layers["decimal"].body.layers}
    return {**table, **decimal_head(body)}


def hourglass(source: str, layers: dict[str, keras.layers.Layer], ours: str) -> dict[str, Target]:
    """Targets of one hourglass and of the layers that follow it.

    Args:
        source: its name in the checkpoint.
        layers: the model's layers by name.
        ours: what the names of its layers begin with.
    """
    table = {}
    for level in range(DEPTH, 0, -1):
        for number, part in ((1, "across"), (2, "down"), (3, "up")):
            table.update(residual(f"{source}.res{level}_{number}", layers, f"{ours}_{part}{level}"))
    table.update(residual(f"{source}.res_center", layers, f"{ours}_centre"))
    table.update(residual(f"{source}_res1", layers, f"{ours}_residual"))
    table.update(conv_norm(f"{source}_lin1", layers, f"{ours}_features"))
    table.update(convolution(f"{source}_conv_pred", layers[f"{ours}_heatmap"]))
    table.update(conv_norm(f"{source}_conv1", layers, f"{ours}_merge_features"))
    table.update(conv_norm(f"{source}_conv2", layers, f"{ours}_merge_heatmap"))
    return table


def residual(source: str, layers: dict[str, keras.layers.Layer], ours: str) -> dict[str, Target]:
    """Targets of a residual block.

    Its projection is in every checkpoint, even if the block takes the identity instead; `IdentitySkip` keeps its weights.
    The arguments are those of `hourglass`.
    """
    table = {}
    for number, part in enumerate(("reduce", "spatial", "expand"), start=1):
        table.update(conv_norm(f"{source}.conv{number}", layers, f"{ours}_{part}"))
    skip = layers.get(f"{ours}_skip")
    if isinstance(skip, IdentitySkip):
        unread = convolution(f"{source}.skip_layer.conv", skip, bias=False)
        return {**table, **unread, **normalization(f"{source}.skip_layer.bn", skip)}
    return {**table, **conv_norm(f"{source}.skip_layer", layers, f"{ours}_skip")}


def decimal_head(layers: dict[str, keras.layers.Layer]) -> dict[str, Target]:
    """Targets of the head of decimal heatmaps, whose layers are given by name."""
    table = conv_norm("offset_head.conv1", layers, "widen")
    block = 1
    while f"block{block}_first_conv" in layers:
        source = f"offset_head.down_ops.{block - 1}"
        table.update(conv_norm(f"{source}.conv1", layers, f"block{block}_first"))
        table.update(conv_norm(f"{source}.conv2", layers, f"block{block}_second"))
        table.update(conv_norm(f"{source}.downsample.0", layers, f"block{block}_skip"))
        block += 1
    table.update(conv_norm("offset_head.head.0", layers, "mix"))
    return {**table, **convolution("offset_head.head.1", layers["maps"])}


def conv_norm(source: str, layers: dict[str, keras.layers.Layer], ours: str) -> dict[str, Target]:
    """Targets of a convolution and its batch normalisation; the arguments are those of `hourglass`."""
    return {**convolution(f"{source}.conv", layers[f"{ours}_conv"]), **normalization(f"{source}.bn", layers[f"{ours}_bn"])}
