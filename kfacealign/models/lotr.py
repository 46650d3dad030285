"""LOTR: the localization transformer (Sec. 3.1 and 4.3, figure 1) and the CNN + FFN that it is compared with (Sec. 4.6)."""

import os
from collections.abc import Sequence
from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.layers.transformer import LearnedPosition2D, TransformerDecoder, TransformerEncoder, he_normal
from kfacealign.losses import SmoothWing
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import backbone as make_backbone
from kfacealign.models.inference import DecodeLandmarks, InferencePart
from kfacealign.models.variants import Variant

# Table 1: the backbone; the channels of the 1x1 convolution after it, then the channels of each up-sampling.
VARIANTS = {
    "m": ("mobilenet_v2", (64,)),
    "m+": ("mobilenet_v2", (256, 128, 64)),
    "r+": ("resnet50", (256, 128, 64)),
}
# The loss measures in pixels of the paper's crop, whatever the input size: smooth-Wing's thresholds are then the same share
# of a face at every input size.
LOSS_PIXELS = 192
HIDDEN = 512  # units of the prediction head's hidden layers


@keras.saving.register_keras_serializable(package="kfacealign")
class LOTR(FaceAligner):
    """Landmark queries that read a backbone's features through a transformer.

    At 106 landmarks and 192 px the parameters, batch-norm statistics counted, are 2,811,458 for `m`, 3,713,730 for `m+` and
    25,213,506 for `r+`; Table 3 has 2.81, 3.71 and 25.21 M. The table's sizes in MB are four bytes for each trainable
    parameter. From them it follows that the convolutions between backbone and transformer have neither bias nor batch
    normalisation. The paper names no activation between these convolutions; the ReLU is this implementation's choice.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        variant: "m", "m+" or "r+" (Table 1).
        backbone: one of `kfacealign.models.backbones.BACKBONES` in place of the variant's.
        layers: number of layers in the encoder, and in the decoder as well, 1 to 6 (Sec. 4.8).
        heads: attention heads; the paper does not say how many.
        input_size: side of the crops in pixels, a multiple of 32.
        loss: a loss of coordinates in pixels of a 192-px crop, by default `SmoothWing()`.
        backbone_weights: "imagenet" as in the paper, None for random weights, or the path of a trained model (.keras) whose
            backbone is copied.
        dropout: rate after each sublayer of the transformer.
        feed_forward: hidden width of the transformer's feed-forward networks.
        query_stddev: standard deviation of the landmark queries' first values; `TransformerDecoder` says why a short
            training wants 1.0.
        gain: factor on He's standard deviation in the last kernel of each branch and of the prediction head; 1 is the
            paper's, with 0.1 a short training begins at once.
        frozen_backbone: whether the backbone stays as it is, so that transformer and head alone are trained. This is a
            fraction of the work, and suits `backbone_weights` of a model of the same landmarks. `thaw` ends it.
        enlarge: see `FaceAligner`.

    Output of the network: `landmarks` `(B, K, 2)`, crop coordinates.

    Raises:
        ValueError: an argument is out of its range, or weights cannot be fetched, see `kfacealign.models.backbones.backbone`.

    Example:
        >>> model = LOTR.m("wflw98", backbone_weights="imagenet")
        >>> model.compile(keras.optimizers.Lamb(1e-3))
        >>> landmarks, scores = model.align(crops)   # crops: (N, 192, 192, 3)
    """

    variants = (
        Variant("LOTR-M", {"variant": "m"}, scheme="jd106", parameters="2.81", megabytes="10.59"),
        Variant("LOTR-M+", {"variant": "m+"}, scheme="jd106", parameters="3.71", megabytes="14.03"),
        Variant("LOTR-R+", {"variant": "r+"}, scheme="jd106", parameters="25.21", megabytes="95.97"),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "jd106",
        *,
        variant: str = "m",
        backbone: str | None = None,
        layers: int = 2,
        heads: int = 8,
        input_size: int = 192,
        loss: keras.losses.Loss | None = None,
        backbone_weights: str | os.PathLike | None = None,
        dropout: float = 0.1,
        feed_forward: int = 128,
        query_stddev: float = 1e-4,
        gain: float = 1.0,
        frozen_backbone: bool = False,
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        if variant not in VARIANTS:
            raise ValueError(f"variant is one of {', '.join(VARIANTS)}, not {variant!r}")
        if not 1 <= layers <= 6:
            raise ValueError(f"layers must be 1 to 6, got {layers}")
        scheme = schemes.get(scheme)
        usual, channels = VARIANTS[variant]
        backbone = backbone or usual

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        features = make_backbone(backbone, input_size, weights=backbone_weights)(image)
        features = upsample(project(features, channels[0]), channels[1:])
        _, height, width, dim = features.shape
        tokens = keras.layers.Reshape((height * width, dim), name="tokens")(features)
        positions = LearnedPosition2D(height, width, dim=dim, name="positions")(tokens)
        stack = {"layers": layers, "dim": dim, "heads": heads, "feed_forward": feed_forward, "dropout": dropout, "gain": gain}
        encoded = TransformerEncoder(name="encoder", **stack)(tokens, positions)
        decoded = TransformerDecoder(scheme.num_points, query_stddev=query_stddev, name="decoder", **stack)(encoded, positions)
        landmarks = regress(decoded, 2, gain=gain, name="landmarks")
        network = keras.Model(image, {"landmarks": landmarks}, name="network")
        network.get_layer("backbone").trainable = not frozen_backbone

        codec = Coordinates(SmoothWing() if loss is None else loss, pixels=LOSS_PIXELS)
        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.feature_layer = f"upsample_{len(channels) - 1}" if channels[1:] else "project"
        self.variant = variant
        self.backbone = backbone
        self.num_layers = layers  # the name `layers` belongs to keras.Model
        self.heads = heads
        self.dropout = dropout
        self.feed_forward = feed_forward
        self.query_stddev = query_stddev
        self.gain = gain
        self.frozen_backbone = frozen_backbone

    def thaw(self) -> None:
        """Makes the backbone trainable again; what was compiled must be compiled anew."""
        self.network.get_layer("backbone").trainable = True
        self.frozen_backbone = False

    @classmethod
    def m(cls, scheme: schemes.Scheme | str = "jd106", **kwargs: Any) -> Self:
        """LOTR-M: MobileNetV2, one token for each 32 pixels along x and along y."""
        return cls(scheme, variant="m", **kwargs)

    @classmethod
    def m_plus(cls, scheme: schemes.Scheme | str = "jd106", **kwargs: Any) -> Self:
        """LOTR-M+: MobileNetV2, up-sampled to one token for each 8 pixels along x and along y."""
        return cls(scheme, variant="m+", **kwargs)

    @classmethod
    def r_plus(cls, scheme: schemes.Scheme | str = "jd106", **kwargs: Any) -> Self:
        """LOTR-R+: ResNet-50, up-sampled to one token for each 8 pixels along x and along y."""
        return cls(scheme, variant="r+", **kwargs)

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """Three parts: the convolutions, the transformer with its prediction head, and decoding. The last two stay float.

        Layer normalisation divides by a standard deviation that eight bits do not resolve, and a coordinate in eight bits
        is off by most of a pixel.
        """
        return split_parts(self, network or self.network, "tokens")

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "variant": self.variant,
            "backbone": self.backbone,
            "layers": self.num_layers,
            "heads": self.heads,
            "input_size": self.input_size,
            "loss": keras.saving.serialize_keras_object(self.codec.point_loss),
            # Never "imagenet": a saved model brings its own weights and must load without a download.
            "backbone_weights": None,
            "dropout": self.dropout,
            "feed_forward": self.feed_forward,
            "query_stddev": self.query_stddev,
            "gain": self.gain,
            "frozen_backbone": self.frozen_backbone,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable(package="kfacealign")
class CNNFFN(FaceAligner):
    """A backbone, and a feed-forward network that turns its projected features into coordinates (Sec. 4.6).

    At 106 landmarks and 192 px the parameters, batch-norm statistics counted, are 3,891,476 with MobileNetV2 and 25,243,796
    with ResNet-50; Table 3 has 3.89 and 25.24 M.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: "mobilenet_v2", "resnet50" or another of `kfacealign.models.backbones.BACKBONES`.
        input_size: side of the crops in pixels, a multiple of 32.
        loss: see `LOTR`.
        backbone_weights: see `LOTR`.
        gain: factor on He's standard deviation in the last kernel.
        enlarge: see `FaceAligner`.

    Output of the network: `landmarks` `(B, K, 2)`, crop coordinates.

    Raises:
        ValueError: an argument is out of its range, or weights cannot be fetched, see `kfacealign.models.backbones.backbone`.
    """

    feature_layer = "project"
    variants = (
        Variant(
            "CNN + FFN, MobileNetV2",
            {"backbone": "mobilenet_v2"},
            scheme="jd106",
            parameters="3.89",
            megabytes="14.71",
        ),
        Variant(
            "CNN + FFN, ResNet-50",
            {"backbone": "resnet50"},
            scheme="jd106",
            parameters="25.24",
            megabytes="96.09",
        ),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "jd106",
        *,
        backbone: str = "mobilenet_v2",
        input_size: int = 192,
        loss: keras.losses.Loss | None = None,
        backbone_weights: str | os.PathLike | None = None,
        gain: float = 1.0,
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        scheme = schemes.get(scheme)

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        features = project(make_backbone(backbone, input_size, weights=backbone_weights)(image), 64)
        flat = keras.layers.Flatten(name="flatten")(features)
        coordinates = regress(flat, 2 * scheme.num_points, gain=gain, name="coordinates")
        landmarks = keras.layers.Reshape((scheme.num_points, 2), dtype="float32", name="landmarks")(coordinates)
        network = keras.Model(image, {"landmarks": landmarks}, name="network")

        codec = Coordinates(SmoothWing() if loss is None else loss, pixels=LOSS_PIXELS)
        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.gain = gain

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """Three parts: everything before the last layer, the last layer, and decoding.

        The last layer and decoding stay float, because a coordinate in eight bits is off by most of a pixel.
        """
        return split_parts(self, network or self.network, "coordinates_hidden_2")

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "input_size": self.input_size,
            "loss": keras.saving.serialize_keras_object(self.codec.point_loss),
            "backbone_weights": None,  # see LOTR.get_config
            "gain": self.gain,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def split_parts(model: FaceAligner, network: keras.Model, last: str) -> list[InferencePart]:
    """Three parts of inference, of which only the first may be quantised.

    They are the network up to and with the layer named `last`, the rest of the network, and decoding.
    """
    inner = network.get_layer(last).output
    others = {name: tensor for name, tensor in network.output.items() if name != "landmarks"}
    first, rest = (
        keras.Model(network.input, {last: inner, **others}),
        keras.Model(inner, {"landmarks": network.output["landmarks"]}),
    )
    return [
        InferencePart("network", ("image",), lambda tensors: first(tensors["image"], training=False), quantizable=True),
        InferencePart("regression", (last,), lambda tensors: rest(tensors[last], training=False), quantizable=False),
        InferencePart("decode", ("landmarks",), DecodeLandmarks(model.codec, name="decode"), quantizable=False),
    ]


def project(features: Any, channels: int) -> Any:
    """The 1x1 convolution that reduces a backbone's channels."""
    return keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name="project")(features)


def upsample(features: Any, channels: Sequence[int]) -> Any:
    """A ReLU and a 4x4 transposed convolution of stride 2 for each entry of `channels`."""
    for step, filters in enumerate(channels, start=1):
        features = keras.layers.ReLU(name=f"upsample_{step}_relu")(features)
        features = keras.layers.Conv2DTranspose(
            filters,
            4,
            strides=2,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name=f"upsample_{step}",
        )(features)
    return features


def regress(x: Any, outputs: int, *, gain: float, name: str) -> Any:
    """The prediction head: two hidden layers of 512 units with ReLU, and a linear output that is float32 in mixed precision.

    Its bias starts the points in the middle of the crop.
    """
    for step in (1, 2):
        x = keras.layers.Dense(HIDDEN, activation="relu", kernel_initializer="he_normal", name=f"{name}_hidden_{step}")(x)
    middle = keras.initializers.Constant(0.5)
    last = {"kernel_initializer": he_normal(gain), "bias_initializer": middle, "dtype": "float32"}
    return keras.layers.Dense(outputs, name=name, **last)(x)
