"""LOTR: the localization transformer (Sec. 3.1 and 4.3, figure 1) and the CNN + FFN that it is compared with (Sec. 4.6)."""

import keras

from kfacealign import schemes
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.layers.transformer import LearnedPosition2D, TransformerDecoder, TransformerEncoder
from kfacealign.losses import SmoothWing
from kfacealign.models.aligner import DecodeLandmarks, FaceAligner, InferencePart
from kfacealign.models.backbones import backbone as make_backbone

# Table 1: the backbone, and the channels of its 1x1 convolution and of the up-sampling after it.
VARIANTS = {
    "m": ("mobilenet_v2", (64,)),
    "m+": ("mobilenet_v2", (256, 128, 64)),
    "r+": ("resnet50", (256, 128, 64)),
}
# The unit of the loss is a pixel of the paper's crop, whatever the size of ours: smooth-Wing's
# thresholds are then the same share of a face at every input size.
LOSS_PIXELS = 192
HIDDEN = 512


@keras.saving.register_keras_serializable(package="kfacealign")
class LOTR(FaceAligner):
    """Landmark queries that read a backbone's features through a transformer.

    Parameters at 106 landmarks and 192 px, batch-norm statistics counted: `m` 2,811,458,
    `m+` 3,713,730, `r+` 25,213,506 (2.81, 3.71 and 25.21 M in Table 3). Its sizes in MB are four
    bytes for each trainable parameter, and tell that the convolutions between backbone
    and transformer have no bias and no batch normalisation. The ReLU between them is ours;
    the paper names none.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        variant: "m", "m+" or "r+" (Table 1).
        layers: of the encoder and of the decoder each, 1 to 6 (Sec. 4.8).
        heads: attention heads; the paper does not say how many.
        input_size: side of the crops in pixels, a multiple of 32.
        loss: a loss of coordinates in pixels of a 192-px crop, by default `SmoothWing()`.
        backbone_weights: "imagenet" as in the paper, None for random weights, or a trained model (.keras) to take the backbone of.
        dropout: rate after each sublayer of the transformer.
        feed_forward: hidden width of the transformer's feed-forward networks.
        query_stddev: of the landmark queries' first values; see `TransformerDecoder` on why a
            short training wants 1.0.
        enlarge: see `FaceAligner`.

    Outputs of the network: `landmarks` `(B, K, 2)` crop coordinates.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> model = LOTR.m("wflw98", backbone_weights="imagenet")
        >>> model.compile(keras.optimizers.Lamb(1e-3))
        >>> landmarks, scores = model.align(crops)   # crops: (N, 192, 192, 3)
    """

    def __init__(
        self,
        scheme="jd106",
        variant="m",
        layers=2,
        heads=8,
        input_size=192,
        loss=None,
        backbone_weights=None,
        dropout=0.1,
        feed_forward=128,
        query_stddev=1e-4,
        enlarge=1.25,
        **kwargs,
    ):
        if variant not in VARIANTS:
            raise ValueError(f"variant is one of {', '.join(VARIANTS)}, not {variant!r}")
        if not 1 <= layers <= 6:
            raise ValueError(f"layers must be 1 to 6, got {layers}")
        scheme = schemes.get(scheme)
        backbone, channels = VARIANTS[variant]

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        features = make_backbone(backbone, input_size, weights=backbone_weights)(image)
        features = upsample(project(features, channels[0]), channels[1:])
        _, height, width, dim = features.shape
        tokens = keras.layers.Reshape((height * width, dim), name="tokens")(features)
        positions = LearnedPosition2D(height, width, dim, name="positions")(tokens)
        stack = {"layers": layers, "dim": dim, "heads": heads, "feed_forward": feed_forward, "dropout": dropout}
        encoded = TransformerEncoder(name="encoder", **stack)(tokens, positions)
        decoded = TransformerDecoder(scheme.num_points, query_stddev=query_stddev, name="decoder", **stack)(encoded, positions)
        landmarks = regress(decoded, 2, name="landmarks")
        network = keras.Model(image, {"landmarks": landmarks}, name="network")

        codec = Coordinates(SmoothWing() if loss is None else loss, pixels=LOSS_PIXELS)
        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.variant = variant
        self.num_layers = layers  # `layers` are those of the Keras model
        self.heads = heads
        self.dropout = dropout
        self.feed_forward = feed_forward
        self.query_stddev = query_stddev

    @classmethod
    def m(cls, scheme="jd106", **kwargs):
        """LOTR-M: MobileNetV2, one token for each 32 pixels."""
        return cls(scheme, variant="m", **kwargs)

    @classmethod
    def m_plus(cls, scheme="jd106", **kwargs):
        """LOTR-M+: MobileNetV2, up-sampled to one token for each 8 pixels."""
        return cls(scheme, variant="m+", **kwargs)

    @classmethod
    def r_plus(cls, scheme="jd106", **kwargs):
        """LOTR-R+: ResNet-50, up-sampled to one token for each 8 pixels."""
        return cls(scheme, variant="r+", **kwargs)

    def inference_parts(self, network=None):
        """The convolutions, the rest, the landmarks. The rest stays float.

        Layer normalisation divides by a standard deviation that eight bits do not resolve,
        and eight bits of a coordinate are most of a pixel.
        """
        return split_parts(self, network or self.network, "tokens")

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "variant": self.variant,
            "layers": self.num_layers,
            "heads": self.heads,
            "input_size": self.input_size,
            "loss": keras.saving.serialize_keras_object(self.codec.point_loss),
            # Not "imagenet": a saved model brings its own weights and must load without a download.
            "backbone_weights": None,
            "dropout": self.dropout,
            "feed_forward": self.feed_forward,
            "query_stddev": self.query_stddev,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


@keras.saving.register_keras_serializable(package="kfacealign")
class CNNFFN(FaceAligner):
    """A backbone whose projected features a feed-forward network turns into coordinates (Sec. 4.6).

    Parameters at 106 landmarks and 192 px, batch-norm statistics counted: MobileNetV2
    3,891,476, ResNet-50 25,243,796 (3.89 and 25.24 M in Table 3).

    Args:
        scheme, input_size, loss, backbone_weights, enlarge: see `LOTR`.
        backbone: "mobilenet_v2", "resnet50" or another of `kfacealign.models.backbones`.

    Outputs of the network: `landmarks` `(B, K, 2)` crop coordinates.

    Raises:
        ValueError: an argument out of its range.
    """

    def __init__(
        self,
        scheme="jd106",
        backbone="mobilenet_v2",
        input_size=192,
        loss=None,
        backbone_weights=None,
        enlarge=1.25,
        **kwargs,
    ):
        scheme = schemes.get(scheme)

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        features = project(make_backbone(backbone, input_size, weights=backbone_weights)(image), 64)
        coordinates = regress(keras.layers.Flatten(name="flatten")(features), 2 * scheme.num_points, name="coordinates")
        landmarks = keras.layers.Reshape((scheme.num_points, 2), dtype="float32", name="landmarks")(coordinates)
        network = keras.Model(image, {"landmarks": landmarks}, name="network")

        codec = Coordinates(SmoothWing() if loss is None else loss, pixels=LOSS_PIXELS)
        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone

    def inference_parts(self, network=None):
        """All but the last layer, that layer, the landmarks: eight bits of a coordinate are most of a pixel."""
        return split_parts(self, network or self.network, "coordinates_hidden_2")

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "backbone": self.backbone,
            "input_size": self.input_size,
            "loss": keras.saving.serialize_keras_object(self.codec.point_loss),
            "backbone_weights": None,  # see LOTR.get_config
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "loss": keras.saving.deserialize_keras_object(config["loss"])})


def split_parts(model, network, last):
    """Parts of inference: the network up to the layer named `last`, which may be quantised, the float rest, decoding."""
    inner = network.get_layer(last).output
    first, rest = keras.Model(network.input, inner), keras.Model(inner, network.output)
    return [
        InferencePart("network", ("image",), lambda tensors: {last: first(tensors["image"], training=False)}, True),
        InferencePart("regression", (last,), lambda tensors: rest(tensors[last], training=False), False),
        InferencePart("decode", ("landmarks",), DecodeLandmarks(model.codec, name="decode"), False),
    ]


def project(features, channels):
    """The 1x1 convolution that reduces a backbone's channels."""
    return keras.layers.Conv2D(channels, 1, use_bias=False, kernel_initializer="he_normal", name="project")(features)


def upsample(features, channels):
    """A 4x4 transposed convolution of stride 2 for each entry of `channels`, a ReLU before each."""
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


def regress(x, outputs, name):
    """The prediction head: two hidden layers of 512 with ReLU, a linear output; float32 under mixed precision."""
    for step in (1, 2):
        x = keras.layers.Dense(HIDDEN, activation="relu", kernel_initializer="he_normal", name=f"{name}_hidden_{step}")(x)
    return keras.layers.Dense(outputs, kernel_initializer="he_normal", dtype="float32", name=name)(x)
