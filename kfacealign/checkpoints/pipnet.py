"""PIPNet's release: torchvision's ResNets, then five 1x1 convolutions."""

import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kfacealign.checkpoints.mapping import Target, convolution, normalization
from kfacealign.models.backbones import RESNETS
from kfacealign.models.pipnet import PIPNet

VARIANTS = ("resnet18", "resnet50", "resnet101")
# A tensor that only this architecture has.
SIGNATURE = "cls_layer.weight"
NEIGHBORS_NOTE = (
    "the neighbours of each landmark were found in this package's mean shape. The authors found theirs in the mean face of "
    "their training set, in another order: for their checkpoints give its file (--meanface data/NAME/meanface.txt of their "
    "code; mean_shape= in Python), or votes reach the wrong landmarks"
)

HEAD = {
    "cls_layer": "score",
    "x_layer": "x",
    "y_layer": "y",
    "nb_x_layer": "neighbor_x",
    "nb_y_layer": "neighbor_y",
}


def build(variant: str, **options: Any) -> PIPNet:
    """A `PIPNet` with random weights that merges votes as the release does."""
    return PIPNet(backbone=variant, **{"repeated_votes": True, **options})


def targets(model: PIPNet) -> dict[str, Target]:
    """Name of a tensor of the checkpoint -> `Target`."""
    table = {**resnet(model.network.get_layer("backbone"), model.backbone), **between(model.network, model.stride)}
    for source, branch in HEAD.items():
        if hasattr(model.head, branch):
            table.update(convolution(source, getattr(model.head, branch)))
    return table


def resnet(backbone: keras.Model, variant: str) -> dict[str, Target]:
    """Targets of a ResNet by torchvision's names."""
    blocks, block_type, _ = RESNETS[variant]
    names = {layer.name: layer for layer in backbone.layers}
    table = conv_norm("conv1", "bn1", names, "conv1")
    for stage, count in enumerate(blocks):
        for block in range(count):
            source, ours = f"layer{stage + 1}.{block}", f"stack{stage}_block{block}"
            for part in (1, 2) if block_type == "basic_block" else (1, 2, 3):
                table.update(conv_norm(f"{source}.conv{part}", f"{source}.bn{part}", names, f"{ours}_{part}"))
            if f"{ours}_0_conv" in names:
                table.update(conv_norm(f"{source}.downsample.0", f"{source}.downsample.1", names, f"{ours}_0"))
    return table


def conv_norm(
    convolution_source: str, normalization_source: str, layers: dict[str, keras.layers.Layer], ours: str
) -> dict[str, Target]:
    """Targets of a convolution and its batch normalisation.

    Args:
        convolution_source: the convolution's name in the checkpoint.
        normalization_source: the batch normalisation's name there.
        layers: the backbone's layers by name.
        ours: what the names of both layers begin with.
    """
    return {
        **convolution(convolution_source, layers[f"{ours}_conv"]),
        **normalization(normalization_source, layers[f"{ours}_bn"]),
    }


def between(network: keras.Model, stride: int) -> dict[str, Target]:
    """Targets of the layers that lead from stride 32 to another stride.

    The release's convolutions to strides 64 and 128 have a bias, which the model's lack.
    """
    layer = network.get_layer
    if stride == 16:
        return {**convolution("deconv1", layer("up_conv")), **normalization("bn_deconv1", layer("up_norm"))}
    table = {}
    for step in range(1, {32: 0, 64: 1, 128: 2}[stride] + 1):
        source = f"layer{4 + step}"
        table.update(convolution(source, layer(f"down_{step}_conv")))
        table.update(normalization(f"bn{4 + step}", layer(f"down_{step}_norm"), bias_before=source))
    return table


def read_meanface(path: str | os.PathLike, points: int) -> np.ndarray:
    """The mean face in which the release finds neighbours.

    Args:
        path: a text file of x0 y0 x1 y1 ... as fractions of the crop.
        points: number of landmarks K.

    Returns:
        `(K, 2)` float64.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not text of K pairs of numbers.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such mean face")
    try:
        numbers = np.array(path.read_text().split(), "float64")
    except ValueError:
        raise ValueError(f"{path}: a mean face is text, x0 y0 x1 y1 ..., and nothing else") from None
    if numbers.size != 2 * points or not np.isfinite(numbers).all():
        raise ValueError(f"{path}: the mean face of {points} landmarks is {2 * points} numbers, this file has {numbers.size}")
    return numbers.reshape(points, 2)
