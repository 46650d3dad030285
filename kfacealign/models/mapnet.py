"""MapNet: heatmap regression with transposed convolutions, a baseline of PIPNet (Sec. 4.3.1, figure 3b)."""

import keras

from kfacealign import schemes
from kfacealign.codecs import Heatmap
from kfacealign.layers.hourglass import predict_maps
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import backbone as make_backbone

# Stride -> radius of the Gaussians in cells.
SIGMAS = {4: 1.0, 2: 2.0, 1: 4.0}


@keras.saving.register_keras_serializable(package="kfacealign")
class MapNet(FaceAligner):
    """A classification backbone, enlarged to a heatmap for each landmark; L2 loss.

    Each transposed convolution, 4x4 with stride 2, doubles the map's sides: three of them
    lead to stride 4, four to stride 2, five to stride 1. The maximum is moved a quarter of a
    cell towards the second maximum.

    Trainable parameters at stride 2 and 68 landmarks with ResNet-18 / 50 / 101: 27,992,708 /
    52,907,140 / 71,899,268 (28 / 52.9 / 71.9 M in Table 9). The table's 3.0 / 6.0 / 10.9
    GFLOPs leave out the transposed convolutions; with them it is 25.8 / 29.6 / 34.5.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: one of `BACKBONES`.
        backbone_weights: "imagenet", None for random weights, or a trained model (.keras) to take the backbone of.
        stride: 4, 2 or 1 pixels of the crop to a cell; Gaussians of sigma 1, 2 or 4 cells.
        input_size: side of the crops in pixels, a multiple of 32.
        backbone_width: factor on the backbone's channels.
        width: channels of the transposed convolutions.
        enlarge: see `FaceAligner`.

    Output of the network: `heatmap_1` `(B, S/stride, S/stride, K)`.

    Raises:
        ValueError: an argument out of its range, or weights that cannot be fetched, see `backbone`.

    Example:
        >>> model = MapNet("ibug68", backbone="resnet18", backbone_weights="imagenet", stride=2)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    def __init__(
        self,
        scheme="wflw98",
        backbone="resnet18",
        backbone_weights=None,
        stride=4,
        input_size=256,
        backbone_width=1.0,
        width=512,
        enlarge=1.2,
        **kwargs,
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
        self.backbone = backbone
        self.stride = stride
        self.backbone_width = backbone_width
        self.width = width

    def get_config(self):
        # Not backbone_weights: what is loaded has its weights, and must not fetch any.
        return {
            "scheme": self.scheme.name,
            "backbone": self.backbone,
            "stride": self.stride,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "width": self.width,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def doubled(x, filters, name):
    """`(B, h, w, C)` to `(B, 2h, 2w, filters)`: transposed convolution, batch normalisation, ReLU."""
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
