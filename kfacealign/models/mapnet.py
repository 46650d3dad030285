"""MapNet: heatmap regression with transposed convolutions, a baseline of PIPNet (Sec. 4.3.1, figure 3b)."""

import os
from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs import Heatmap
from kfacealign.layers.hourglass import predict_maps
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import backbone as make_backbone
from kfacealign.models.variants import Variant

# Stride -> standard deviation of the Gaussians in cells.
SIGMAS = {4: 1.0, 2: 2.0, 1: 4.0}

NOTE = "MapNet: at stride 2; the paper's GFLOPs leave out the transposed convolutions."


@keras.saving.register_keras_serializable(package="kfacealign")
class MapNet(FaceAligner):
    """A classification backbone whose features transposed convolutions enlarge to a heatmap for each landmark; L2 loss.

    Each transposed convolution, 4x4 with stride 2, doubles the map's sides: three of them lead to stride 4, four to stride 2,
    five to stride 1. Decoding moves the maximum by a quarter of a cell towards the higher neighbour along x and along y, at
    stride 1, too; the paper speaks of strides above 1.

    At stride 2 and 68 landmarks the trainable parameters with ResNet-18 / 50 / 101 are 27,992,708 / 52,907,140 / 71,899,268
    (28 / 52.9 / 71.9 M in Table 9). The table's 3.0 / 6.0 / 10.9 GFLOPs leave out the transposed convolutions; with them they
    are 25.8 / 29.6 / 34.5.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: one of `kfacealign.models.backbones.BACKBONES`.
        backbone_weights: "imagenet", None for random weights, or the path of a trained model (.keras) whose backbone is copied.
        stride: 4, 2 or 1 pixels of the crop for each cell; the Gaussians then have a sigma of 1, 2 or 4 cells.
        input_size: side of the crops in pixels, a multiple of 32.
        backbone_width: factor on the backbone's channels.
        width: channels of the transposed convolutions.
        enlarge: see `FaceAligner`.

    Output of the network: `heatmap_1` `(B, S/stride, S/stride, K)`.

    Raises:
        ValueError: an argument is out of its range, or weights cannot be fetched, see `kfacealign.models.backbones.backbone`.

    Example:
        >>> model = MapNet("ibug68", backbone="resnet18", backbone_weights="imagenet", stride=2)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    variants = (
        Variant("ResNet-18", {"backbone": "resnet18", "stride": 2}, parameters="28", gflops="3.0", note=NOTE),
        Variant("ResNet-50", {"backbone": "resnet50", "stride": 2}, parameters="52.9", gflops="6.0", note=NOTE),
        Variant("ResNet-101", {"backbone": "resnet101", "stride": 2}, parameters="71.9", gflops="10.9", note=NOTE),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        *,
        backbone: str = "resnet18",
        backbone_weights: str | os.PathLike | None = None,
        stride: int = 4,
        input_size: int = 256,
        backbone_width: float = 1.0,
        width: int = 512,
        enlarge: float = 1.2,
        **kwargs: Any,
    ):
        if stride not in SIGMAS:
            raise ValueError(f"stride is one of {', '.join(map(str, SIGMAS))}, not {stride}")
        scheme = schemes.get(scheme)
        codec = Heatmap(size=input_size // stride, sigma=SIGMAS[stride], decoder="shift")

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = make_backbone(backbone, input_size, weights=backbone_weights, width=backbone_width)(image)
        step = 0
        while x.shape[1] < codec.size:
            step += 1
            x = doubled(x, width, name=f"up_{step}")
        heatmap = predict_maps(x, scheme.num_points, name="heatmap")
        network = keras.Model(image, {"heatmap_1": heatmap}, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.feature_layer = f"up_{step}_relu"
        self.backbone = backbone
        self.stride = stride
        self.backbone_width = backbone_width
        self.width = width

    def get_config(self) -> dict[str, Any]:
        # `backbone_weights` is left out: a loaded model has its weights, and must not fetch any.
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "stride": self.stride,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "width": self.width,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def doubled(x: Any, filters: int, *, name: str) -> Any:
    """`(B, h, w, C)` -> `(B, 2h, 2w, filters)`: transposed convolution, batch normalisation, ReLU."""
    x = keras.layers.Conv2DTranspose(
        filters,
        4,
        strides=2,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        name=f"{name}_conv",
    )(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
