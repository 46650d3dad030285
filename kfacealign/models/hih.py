"""HIH: heatmap in heatmap (the network of Sec. III-D, figure 2)."""

import os
from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs import HeatmapInHeatmap
from kfacealign.layers.decimal_head import AttendedDecimalHead, DecimalHeatmapHead
from kfacealign.layers.hourglass import conv_bn, stacked_hourglass
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import IMAGENET_DEVIATION, IMAGENET_MEAN
from kfacealign.models.inference import DecodeLandmarks, InferencePart
from kfacealign.models.lite_hourglass import check_trunk, lite_hourglass
from kfacealign.models.variants import Variant

NORMALIZATIONS = ("unit", "imagenet")
FEATURES = "decimal_features"  # what the attended head reads
DECIMAL_HEADS = {"strided": DecimalHeatmapHead, "attended": AttendedDecimalHead}


@keras.saving.register_keras_serializable(package="kfacealign")
class HIH(FaceAligner):
    """Stacked hourglass with integer heatmaps and one decimal-heatmap head.

    At 98 landmarks and 256 px the trainable parameters are 10,365,700 / 14,469,478 / 22,677,034 with 1 / 2 / 4 stacks (`tiny`,
    `small`, `base`); Table I has 10.37 / 14.47 / 22.68 M.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: "hourglass" for the paper's, or "efficientnet_lite0" for one hourglass whose descending half is
            EfficientNet-Lite0 (`lite_hourglass`), for short trainings.
        backbone_weights: weights of EfficientNet-Lite0: "imagenet", None for random ones, or the path of a trained model
            (.keras) whose backbone is copied. The paper's hourglass begins with random weights, and takes none.
        frozen_blocks: how many of EfficientNet-Lite0's first 16 blocks keep the weights that they begin with.
        stacks: number of hourglasses; the paper has 1, 2 or 4.
        input_size: side of the crops in pixels, a multiple of 64; the heatmaps' side is a quarter of it.
        width: channels of the trunk.
        decimal_size: side of the decimal heatmaps in cells.
        decimal_width: channels of the decimal head.
        decimal_head: "strided" for the paper's head (`DecimalHeatmapHead`), or "attended" for one that learns in a short
            training (`AttendedDecimalHead`); its labels are parts of the cell that it reads (`decimal_cell="predicted"` of
            `HeatmapInHeatmap`).
        sigma: standard deviation of the integer heatmaps' Gaussians, in cells of their map.
        decimal_sigma: standard deviation of the decimal heatmaps' Gaussians, in cells of their map.
        alpha: weight of the decimal loss; by default the paper's, 0.1 for one stack and 0.05 for more.
        decimal_label: see `HeatmapInHeatmap`.
        decimal_loss: see `HeatmapInHeatmap`.
        normalization: "unit" maps pixels to 0..1; "imagenet" subtracts ImageNet's mean and divides by its deviation, as the
            authors' release does. EfficientNet-Lite0 normalises pixels by itself.
        enlarge: see `FaceAligner`.

    Outputs of the network: `heatmap_s` `(B, S/4, S/4, K)` for each stack s, and `decimal`
    `(B, decimal_size, decimal_size, K)`.

    Raises:
        ValueError: `input_size` is not a positive multiple of 64 or leaves no room for the decimal maps; there is no such
            normalisation, head, label, loss or trunk; or the trunk cannot have such weights, frozen blocks or stacks.

    Example:
        >>> model = HIH.tiny("wflw98")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    variants = (
        Variant("1 hourglass", {"stacks": 1}, scheme="wflw98", parameters="10.37", gflops="6.99"),
        Variant("2 hourglasses", {"stacks": 2}, scheme="wflw98", parameters="14.47", gflops="10.38"),
        Variant("4 hourglasses", {"stacks": 4}, scheme="wflw98", parameters="22.68", gflops="17.15"),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        *,
        backbone: str = "hourglass",
        backbone_weights: str | os.PathLike | None = None,
        frozen_blocks: int = 0,
        stacks: int = 1,
        input_size: int = 256,
        width: int = 256,
        decimal_size: int = 8,
        decimal_width: int = 384,
        decimal_head: str = "strided",
        sigma: float = 1.5,
        decimal_sigma: float = 1.0,
        alpha: float | None = None,
        decimal_label: str = "soft",
        decimal_loss: str = "csc",
        normalization: str = "unit",
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        if input_size <= 0 or input_size % 64:
            raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
        check_trunk(backbone, weights=backbone_weights, frozen_blocks=frozen_blocks, stacks=stacks)
        if normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization is one of {', '.join(NORMALIZATIONS)}, not {normalization!r}")
        if decimal_head not in DECIMAL_HEADS:
            raise ValueError(f"decimal_head is one of {', '.join(DECIMAL_HEADS)}, not {decimal_head!r}")
        scheme = schemes.get(scheme)
        codec = HeatmapInHeatmap(
            size=input_size // 4,
            decimal_size=decimal_size,
            sigma=sigma,
            decimal_sigma=decimal_sigma,
            alpha=alpha if alpha is not None else (0.1 if stacks == 1 else 0.05),
            decimal_label=decimal_label,
            decimal_loss=decimal_loss,
            decimal_cell="predicted" if decimal_head == "attended" else "true",
        )

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        if backbone == "hourglass":
            x = normalized(image, normalization)
            heatmaps, trunk = stacked_hourglass(x, maps=scheme.num_points, stacks=stacks, filters=width)
        else:
            heatmaps, trunk = lite_hourglass(
                image, maps=scheme.num_points, filters=width, weights=backbone_weights, frozen_blocks=frozen_blocks
            )
        outputs = {f"heatmap_{stack}": maps for stack, maps in enumerate(heatmaps, start=1)}
        head = DECIMAL_HEADS[decimal_head](scheme.num_points, size=decimal_size, filters=decimal_width, name="decimal")
        if decimal_head == "attended":
            features = conv_bn(trunk, decimal_width, 3, name=FEATURES)
            outputs["decimal"] = head([features, heatmaps[-1]])
        else:
            outputs["decimal"] = head(trunk)
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.feature_layer = f"stack{stacks}_features_relu"
        self.backbone = backbone
        self.frozen_blocks = frozen_blocks
        self.stacks = stacks
        self.width = width
        self.decimal_size = decimal_size
        self.decimal_width = decimal_width
        self.decimal_head = decimal_head
        self.normalization = normalization

    @classmethod
    def tiny(cls, scheme: schemes.Scheme | str = "wflw98", **kwargs: Any) -> Self:
        """HIH_T: one stack."""
        return cls(scheme, stacks=1, **kwargs)

    @classmethod
    def small(cls, scheme: schemes.Scheme | str = "wflw98", **kwargs: Any) -> Self:
        """HIH_S: two stacks."""
        return cls(scheme, stacks=2, **kwargs)

    @classmethod
    def base(cls, scheme: schemes.Scheme | str = "wflw98", **kwargs: Any) -> Self:
        """HIH_B: four stacks."""
        return cls(scheme, stacks=4, **kwargs)

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """The network and decoding; the attended head is a part of its own between them, and stays float.

        It works with the places of cells and with shares of small heights, which eight bits do not resolve.
        """
        if self.decimal_head == "strided":
            return super().inference_parts(network=network)
        network = network or self.network
        maps = {name: tensor for name, tensor in network.output.items() if name != "decimal"}
        last, head = f"heatmap_{self.stacks}", network.get_layer("decimal")
        first = keras.Model(network.input, {FEATURES: network.get_layer(f"{FEATURES}_relu").output, **maps})

        def read(tensors):
            return {"decimal": head([tensors[FEATURES], tensors[last]])}

        decode = DecodeLandmarks(self.codec, name="decode")
        return [
            InferencePart("network", ("image",), lambda tensors: first(tensors["image"], training=False), quantizable=True),
            InferencePart("decimal", (FEATURES, last), read, quantizable=False),
            InferencePart("decode", tuple(network.output), decode, quantizable=False),
        ]

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "frozen_blocks": self.frozen_blocks,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "decimal_size": self.decimal_size,
            "decimal_width": self.decimal_width,
            "decimal_head": self.decimal_head,
            "sigma": self.codec.sigma,
            "decimal_sigma": self.codec.decimal_sigma,
            "alpha": self.codec.alpha,
            "decimal_label": self.codec.decimal_label,
            "decimal_loss": self.codec.decimal_loss,
            "normalization": self.normalization,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def normalized(image: Any, normalization: str) -> Any:
    """Pixels 0..255 as the trunk reads them. `keras.layers.Rescaling` is not used: it needs TensorFlow on every backend."""
    if normalization == "imagenet":
        # Padding then has the mean colour; no weights of the first convolution on pixels 0..1 could do the same.
        return keras.ops.multiply(keras.ops.subtract(image, IMAGENET_MEAN), 1.0 / IMAGENET_DEVIATION)
    return keras.ops.multiply(image, 1.0 / 255)
