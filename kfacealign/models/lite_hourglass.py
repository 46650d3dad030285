"""An hourglass whose descending half is EfficientNet-Lite0, so that it can begin with ImageNet's weights.

The paper's hourglass learns from random weights and needs its sixty epochs; this one is for short trainings. The ascending half
is the paper's: at every level a residual block, up-sampling, and the sum with the features of the same size.
"""

import os
from typing import Any

import keras

from kfacealign.layers.hourglass import CornerAlignedUpSampling2D, bottleneck_residual, conv_bn, fused, predict_maps
from kfacealign.models.backbones import backbone as classification_backbone

TRUNKS = ("hourglass", "efficientnet_lite0")

# The last block of EfficientNet-Lite0 at strides 4, 8, 16 and 32.
LEVELS = ("b2_add", "b4_add", "b10_add", "b15_bn2")
BLOCKS = 16


def check_trunk(backbone: str, *, weights: str | os.PathLike | None, frozen_blocks: int, stacks: int) -> None:
    """Checks that a heatmap model's arguments `backbone`, `backbone_weights`, `frozen_blocks` and `stacks` fit together.

    Raises:
        ValueError: there is no such trunk, or it cannot have such weights, frozen blocks or stacks.
    """
    if backbone not in TRUNKS:
        raise ValueError(f"backbone is one of {', '.join(TRUNKS)}, not {backbone!r}")
    if backbone == "hourglass" and weights is not None:
        raise ValueError("the paper's hourglass begins with random weights: backbone_weights are of efficientnet_lite0")
    if backbone != "hourglass" and stacks != 1:
        raise ValueError(f"{backbone} is the descending half of one hourglass, got stacks={stacks}")
    if not 0 <= frozen_blocks <= (0 if backbone == "hourglass" else BLOCKS):
        raise ValueError(f"frozen_blocks are 0 to {BLOCKS} blocks of efficientnet_lite0, got {frozen_blocks} with {backbone}")


def lite_hourglass(
    image: Any, *, maps: int, filters: int, weights: str | os.PathLike | None = None, frozen_blocks: int = 0
) -> tuple[list[Any], Any]:
    """The network between the pixels and HIH's heads.

    Args:
        image: see `lite_features`.
        maps: number of heatmaps K.
        filters: see `lite_features`.
        weights: see `lite_features`.
        frozen_blocks: see `lite_features`.

    Returns:
        What `stacked_hourglass` returns for one stack: the list of the one stack's heatmaps `(B, S/4, S/4, K)`, and the trunk
        `(B, S/4, S/4, filters)`, in which features and heatmaps are fused.

    Raises:
        ValueError, OSError: see `kfacealign.models.backbones.backbone`.
    """
    x, features = lite_features(image, filters=filters, weights=weights, frozen_blocks=frozen_blocks)
    heatmap = predict_maps(features, maps, name="stack1_heatmap")
    return [heatmap], fused(x, features, heatmap, name="stack1")


def lite_features(
    image: Any, *, filters: int, weights: str | os.PathLike | None = None, frozen_blocks: int = 0
) -> tuple[Any, Any]:
    """The hourglass between the pixels and whatever reads its features.

    Args:
        image: `(B, S, S, 3)`, pixels 0..255, which the descending half normalises itself; S a multiple of 32.
        filters: channels of the ascending half and of the features.
        weights: see `kfacealign.models.backbones.backbone`.
        frozen_blocks: how many of the first of EfficientNet-Lite0's 16 blocks, and the stem before them, keep the weights that
            they begin with. The first blocks work on most cells: with three of them frozen, and so without their gradients, a
            step takes 0.8 of the time.

    Returns:
        The end of the ascending half and the features that heatmaps are read from, both `(B, S/4, S/4, filters)`.

    Raises:
        ValueError, OSError: see `kfacealign.models.backbones.backbone`.
    """
    whole = classification_backbone("efficientnet_lite0", image.shape[1], weights=weights, last_expansion=False)
    descent = keras.Model(whole.input, [whole.get_layer(level).output for level in LEVELS], name="descent")
    frozen = [f"b{block}_" for block in range(frozen_blocks)] + ["stem", "bn0"] * (frozen_blocks > 0)
    for layer in descent.layers:
        layer.trainable = not layer.name.startswith(tuple(frozen))
    *across, x = descent(image)
    x = conv_bn(x, filters, 1, name="stack1_centre")
    for depth, features in enumerate(reversed(across), start=1):
        up = CornerAlignedUpSampling2D(2, name=f"stack1_enlarge{depth}")(x)
        skip = conv_bn(features, filters, 1, name=f"stack1_across{depth}")
        x = keras.layers.Add(name=f"stack1_merge{depth}")([up, skip])
        x = bottleneck_residual(x, filters, name=f"stack1_up{depth}")
    return x, conv_bn(x, filters, 1, name="stack1_features")
