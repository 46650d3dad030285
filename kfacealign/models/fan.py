"""FAN: the face alignment network, as "Subpixel Heatmap Regression" trains it (Sec. 5.1)."""

import os
from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs.codec import Codec
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap import Heatmap
from kfacealign.codecs.offsets import OffsetValue
from kfacealign.layers.hierarchical import face_alignment_network
from kfacealign.layers.hourglass import predict_maps
from kfacealign.layers.offset_heads import OffsetValueHead
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.lite_hourglass import check_trunk, lite_features
from kfacealign.models.variants import Variant

ENCODINGS = ("continuous", "round", "floor")
CORRECTIONS = (None, "static", "dynamic")


@keras.saving.register_keras_serializable(package="kfacealign")
class FAN(FaceAligner):
    """Stacked hourglass of hierarchical residual blocks; its heatmaps are encoded and decoded with subpixel precision.

    At 68 landmarks and 256 px the trainable parameters are 12,106,504 with 2 stacks, as in the paper, and 23,820,176 with 4,
    as in the public 2D-FAN release.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: "hourglass" for the paper's, or "efficientnet_lite0" for one hourglass whose descending half is
            EfficientNet-Lite0 (`lite_features`), for short trainings.
        backbone_weights: weights of EfficientNet-Lite0: "imagenet", None for random ones, or the path of a trained model
            (.keras) whose backbone is copied. The paper's hourglass begins with random weights, and takes none.
        frozen_blocks: how many of EfficientNet-Lite0's first 16 blocks keep the weights that they begin with.
        stacks: number of hourglasses; EfficientNet-Lite0 is one.
        input_size: side of the crops in pixels, a multiple of 64; the heatmaps' side is a quarter of it.
        width: channels of the trunk, a multiple of 16.
        encoding: "continuous" for `ContinuousHeatmap`; "round" or "floor" for the quantised `Heatmap` (Table 2).
        sigma: standard deviation of the Gaussians, in cells.
        decoder: see `ContinuousHeatmap`.
        window: see `ContinuousHeatmap`.
        temperature: see `ContinuousHeatmap`.
        correction: "static" or "dynamic" for the baseline that corrects the maximum's coordinates by a second head
            (Table 1, `OffsetValue`); it needs a quantised encoding and ignores the decoder. None has no second head.
        offset_weight: weight of the correction's loss, of which the paper says nothing. Where maxima are still many cells off,
            the squares of a dynamic correction are large beside the heatmap's loss.
        enlarge: see `FaceAligner`; by default faces of 220 px lie in crops of 256 px.

    Outputs of the network: `heatmap_s` `(B, S/4, S/4, K)` for each stack s, and with a correction `offset`
    `(B, K, 2)`, in cells.

    Raises:
        ValueError: `input_size` is not a positive multiple of 64 or `width` not a positive multiple of 16; there is no such
            encoding, decoder, window, correction or trunk; or a correction is asked for with a continuous encoding.

    Example:
        >>> model = FAN("ibug68", stacks=2)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    variants = (
        Variant("2 hourglasses", {"stacks": 2}),
        Variant("4 hourglasses", {"stacks": 4}),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        *,
        backbone: str = "hourglass",
        backbone_weights: str | os.PathLike | None = None,
        frozen_blocks: int = 0,
        stacks: int = 2,
        input_size: int = 256,
        width: int = 256,
        encoding: str = "continuous",
        sigma: float = 2.0,
        decoder: str = "local",
        window: int = 7,
        temperature: float = 10.0,
        correction: str | None = None,
        offset_weight: float = 0.1,
        enlarge: float = 256 / 220,
        **kwargs: Any,
    ):
        if input_size <= 0 or input_size % 64:
            raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
        if width <= 0 or width % 16:
            raise ValueError(f"width must be a multiple of 16 (the stem's blocks have an eighth of it), got {width}")
        check_trunk(backbone, weights=backbone_weights, frozen_blocks=frozen_blocks, stacks=stacks)
        scheme = schemes.get(scheme)
        codec = make_codec(
            input_size // 4,
            encoding=encoding,
            sigma=sigma,
            decoder=decoder,
            window=window,
            temperature=temperature,
            correction=correction,
            offset_weight=offset_weight,
        )

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        if backbone == "hourglass":
            x = keras.ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
            heatmaps, features = face_alignment_network(x, maps=scheme.num_points, stacks=stacks, filters=width)
        else:
            _, features = lite_features(image, filters=width, weights=backbone_weights, frozen_blocks=frozen_blocks)
            heatmaps = [predict_maps(features, scheme.num_points, name="stack1_heatmap")]
        outputs = {f"heatmap_{stack}": maps for stack, maps in enumerate(heatmaps, start=1)}
        if correction is not None:
            outputs["offset"] = OffsetValueHead(scheme.num_points, name="offset")(features)
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.feature_layer = f"stack{stacks}_features_relu"
        self.backbone = backbone
        self.frozen_blocks = frozen_blocks
        self.stacks = stacks
        self.width = width
        self.encoding = encoding
        self.decoder = decoder
        self.window = window
        self.temperature = temperature
        self.correction = correction
        self.offset_weight = offset_weight

    def get_config(self) -> dict[str, Any]:
        # A trained model's codec can be replaced by one with another decoder; what is saved is the present codec's.
        decoding = {name: getattr(self.codec, name, getattr(self, name)) for name in ("decoder", "window", "temperature")}
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "frozen_blocks": self.frozen_blocks,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "encoding": self.encoding,
            "sigma": self.codec.sigma,
            **decoding,
            "correction": self.correction,
            "offset_weight": self.offset_weight,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def make_codec(
    size: int,
    *,
    encoding: str,
    sigma: float,
    decoder: str,
    window: int,
    temperature: float,
    correction: str | None,
    offset_weight: float,
) -> Codec:
    """The codec that FAN's arguments name, for heatmaps of `size` x `size` cells.

    Raises:
        ValueError: there is no such encoding or correction, or a correction is asked for with a continuous encoding.
    """
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}, not {encoding!r}")
    if correction not in CORRECTIONS:
        raise ValueError(f"correction is 'static', 'dynamic' or None, not {correction!r}")
    if correction is not None:
        if encoding == "continuous":
            raise ValueError("a correction is of quantised positions: use encoding='round' or 'floor'")
        return OffsetValue(size, sigma, alpha=offset_weight, quantize=encoding, ground_truth=correction, offset_loss="l2")
    if encoding == "continuous":
        return ContinuousHeatmap(size, sigma, decoder=decoder, window=window, temperature=temperature)
    return Heatmap(size, sigma, decoder=decoder, quantize=encoding, window=window, temperature=temperature)
