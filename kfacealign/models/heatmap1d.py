"""Attentive one-dimensional heatmaps (Yin et al., 2020; Sec. 4.1, figure 2a), and the 2D heatmaps they are compared with."""

import os
from typing import Any, Self

import keras
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap1d import Heatmap1D
from kfacealign.layers.co_attention import CoAttention
from kfacealign.layers.hierarchical import face_alignment_network
from kfacealign.layers.hourglass import conv_bn
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.lite_hourglass import check_trunk, lite_features
from kfacealign.models.variants import Variant

HALVINGS = 3  # how often CNN1 halves the other axis before the co-attention: from 64 positions to 8


@keras.saving.register_keras_serializable(package="kfacealign")
class AttentiveHeatmap1D(FaceAligner):
    """The detector: a pair of one-dimensional heatmaps for each landmark, at three times the resolution of the crop.

    The features of FAN's stacked hourglass (the paper's reference [2]), 64 x 64 at 256 px, go through two groups of
    convolutions, CNN1 and CNN2. On the way to the x axis they compress the rows, on the way to the y axis the columns. Between
    the two groups the `CoAttention` lets the axes read each other. At the end a transposed convolution, whose kernel and
    stride are M = L / 64, makes L bins of the 64 positions.

    Where the paper leaves the network open, this implementation chooses: there are 4 hourglasses, as in [2], without supervision
    of their own. CNN1 is three 3x3 convolutions of stride 2 along the other axis, which leaves m = 8 columns; CNN2 has as many
    more as are needed to leave one column. All have batch normalisation, ReLU and the width of the trunk. Sigma is one position
    of the features, which is M bins.

    At 68 landmarks, 256 px and L = 768 the trainable parameters are 31,304,788 with 4 stacks, 23,802,700 of them in the
    hourglasses, and 19,591,116 with 2 stacks. They are 382,976 fewer at L = 64, and 128 fewer without co-attention.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        resolution: L in bins, a multiple of `input_size` / 4; by default three times `input_size`, 768 at 256 px.
        gamma: weight of the co-attention, 0.4 on 300W and 0.5 on AFLW; 0 leaves it out (Fig. 3).
        backbone: "hourglass" for the hourglasses of FAN, or "efficientnet_lite0" for one hourglass whose descending half is
            EfficientNet-Lite0 (`lite_features`), for short trainings.
        backbone_weights: weights of EfficientNet-Lite0: "imagenet", None for random ones, or the path of a trained model
            (.keras) whose backbone is copied. The paper's hourglass begins with random weights, and takes none.
        frozen_blocks: how many of EfficientNet-Lite0's first 16 blocks keep the weights that they begin with.
        stacks: number of hourglasses.
        input_size: side of the crops in pixels, a multiple of 64.
        width: channels, a multiple of 16.
        sigma: standard deviation of the targets in bins; by default L / (input_size / 4).
        decoder: see `Heatmap1D`.
        window: see `Heatmap1D`.
        temperature: see `Heatmap1D`.
        enlarge: see `FaceAligner`.

    Outputs of the network: `heatmap_x` and `heatmap_y`, `(B, L, K)`.

    Raises:
        ValueError: `input_size`, `width` or `resolution` is not such a multiple, or there is no such decoder, window or trunk.

    Example:
        >>> model = AttentiveHeatmap1D("ibug68")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    variants = (
        Variant("L = 64", {"resolution": 64}),
        Variant("L = 768", {"resolution": 768}),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "ibug68",
        *,
        resolution: int | None = None,
        gamma: float = 0.4,
        backbone: str = "hourglass",
        backbone_weights: str | os.PathLike | None = None,
        frozen_blocks: int = 0,
        stacks: int = 4,
        input_size: int = 256,
        width: int = 256,
        sigma: float | None = None,
        decoder: str = "argmax",
        window: int | None = None,
        temperature: float = 10.0,
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        check_trunk(backbone, weights=backbone_weights, frozen_blocks=frozen_blocks, stacks=stacks)
        scheme = schemes.get(scheme)
        resolution = 3 * input_size if resolution is None else resolution
        bins = bins_of_a_position(resolution=resolution, input_size=input_size, width=width)
        sigma = float(bins) if sigma is None else sigma
        codec = Heatmap1D(resolution, sigma, decoder=decoder, window=window, temperature=temperature)

        # === Functional model ===
        if backbone == "hourglass":
            image, features = features_of(input_size, scheme, stacks=stacks, width=width)
        else:
            image = keras.Input((input_size, input_size, 3), name="image")
            _, features = lite_features(image, filters=width, weights=backbone_weights, frozen_blocks=frozen_blocks)
        x = compressed(features, axis=1, halvings=HALVINGS, name="cnn1_x")
        y = compressed(features, axis=2, halvings=HALVINGS, name="cnn1_y")
        if gamma:
            # The co-attention reads both as positions by columns.
            turned = ops.transpose(x, (0, 2, 1, 3))
            turned, y = CoAttention(gamma, name="co_attention")([turned, y])
            x = ops.transpose(turned, (0, 2, 1, 3))
        x = compressed(x, axis=1, name="cnn2_x")
        y = compressed(y, axis=2, name="cnn2_y")
        x = enlarged(x, scheme.num_points, (1, bins), name="cnn2_x_heatmap")
        y = enlarged(y, scheme.num_points, (bins, 1), name="cnn2_y_heatmap")
        outputs = {name: ops.reshape(h, (-1, resolution, scheme.num_points)) for name, h in (("heatmap_x", x), ("heatmap_y", y))}
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.gamma = gamma
        self.feature_layer = f"stack{stacks}_features_relu"
        self.backbone = backbone
        self.frozen_blocks = frozen_blocks
        self.stacks = stacks
        self.width = width

    @property
    def resolution(self) -> int:
        """L, the number of bins in a heatmap."""
        return self.codec.size

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "resolution": self.codec.size,
            "gamma": self.gamma,
            "backbone": self.backbone,
            "frozen_blocks": self.frozen_blocks,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "sigma": self.codec.sigma,
            "decoder": self.codec.decoder,
            "window": self.codec.window,
            "temperature": self.codec.temperature,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap2D(FaceAligner):
    """The 2D detector of Table 1: the same hourglasses, with a map of L x L bins in place of two lines of L bins.

    The paper's 2D detector is FAN, whose maps have the 64 x 64 positions of the features; the paper does not say how it came
    to larger maps. Here a transposed convolution of kernel and stride M = L / 64 along both axes makes them. It is the 2D
    counterpart of the last layer of `AttentiveHeatmap1D`, and it takes the least memory, because nothing but the maps
    themselves has L x L positions. As in the 1D model, only the last stack's maps are supervised. The targets are the 2D
    Gaussians whose marginals the 1D model learns, and the maps are read at the bin of their maximum.

    At 68 landmarks and 256 px with 4 stacks the trainable parameters are 23,820,176 at L = 64, as many as FAN has, and
    26,309,520 at L = 768.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        resolution: L in bins, a multiple of `input_size` / 4; by default `input_size` / 4.
        backbone: see `AttentiveHeatmap1D`.
        backbone_weights: see `AttentiveHeatmap1D`.
        frozen_blocks: see `AttentiveHeatmap1D`.
        stacks: number of hourglasses.
        input_size: side of the crops in pixels, a multiple of 64.
        width: channels, a multiple of 16.
        sigma: standard deviation of the targets in bins; by default L / (input_size / 4).
        decoder: see `ContinuousHeatmap`.
        window: see `ContinuousHeatmap`.
        temperature: see `ContinuousHeatmap`.
        enlarge: see `FaceAligner`.

    Output of the network: `heatmap_1` `(B, L, L, K)`.

    Raises:
        ValueError: `input_size`, `width` or `resolution` is not such a multiple, or there is no such decoder, window or trunk.

    Example:
        >>> model = Heatmap2D("ibug68", resolution=128)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    variants = (
        Variant("L = 64", {"resolution": 64}),
        Variant("L = 128", {"resolution": 128}),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "ibug68",
        *,
        resolution: int | None = None,
        backbone: str = "hourglass",
        backbone_weights: str | os.PathLike | None = None,
        frozen_blocks: int = 0,
        stacks: int = 4,
        input_size: int = 256,
        width: int = 256,
        sigma: float | None = None,
        decoder: str = "argmax",
        window: int = 7,
        temperature: float = 10.0,
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        check_trunk(backbone, weights=backbone_weights, frozen_blocks=frozen_blocks, stacks=stacks)
        scheme = schemes.get(scheme)
        resolution = input_size // 4 if resolution is None else resolution
        bins = bins_of_a_position(resolution=resolution, input_size=input_size, width=width)
        sigma = float(bins) if sigma is None else sigma
        codec = ContinuousHeatmap(resolution, sigma, decoder=decoder, window=window, temperature=temperature)

        # === Functional model ===
        if backbone == "hourglass":
            image, features = features_of(input_size, scheme, stacks=stacks, width=width)
        else:
            image = keras.Input((input_size, input_size, 3), name="image")
            _, features = lite_features(image, filters=width, weights=backbone_weights, frozen_blocks=frozen_blocks)
        outputs = {"heatmap_1": enlarged(features, scheme.num_points, (bins, bins), name="heatmap_1")}
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.feature_layer = f"stack{stacks}_features_relu"
        self.backbone = backbone
        self.frozen_blocks = frozen_blocks
        self.stacks = stacks
        self.width = width

    @property
    def resolution(self) -> int:
        """L, the number of bins along each side of a heatmap."""
        return self.codec.size

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "resolution": self.codec.size,
            "backbone": self.backbone,
            "frozen_blocks": self.frozen_blocks,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "sigma": self.codec.sigma,
            "decoder": self.codec.decoder,
            "window": self.codec.window,
            "temperature": self.codec.temperature,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


# === Parts ===


def bins_of_a_position(*, resolution: int, input_size: int, width: int) -> int:
    """M, the number of bins that each position of the features becomes.

    Args:
        resolution: L in bins.
        input_size: side of the crops in pixels.
        width: channels of the trunk.

    Raises:
        ValueError: the network cannot have such sizes.
    """
    if input_size <= 0 or input_size % 64:
        raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
    if width <= 0 or width % 16:
        raise ValueError(f"width must be a multiple of 16 (the stem's blocks have an eighth of it), got {width}")
    positions = input_size // 4
    if resolution <= 0 or resolution % positions:
        raise ValueError(f"resolution must be a multiple of the {positions} positions of the features, got {resolution}")
    return resolution // positions


def features_of(input_size: int, scheme: schemes.Scheme, *, stacks: int, width: int) -> tuple[Any, Any]:
    """The input `(B, S, S, 3)` and the features of FAN's last hourglass `(B, S/4, S/4, width)`."""
    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
    _, features = face_alignment_network(x, maps=scheme.num_points, stacks=stacks, filters=width)
    return image, features


def compressed(x: Any, *, axis: int, name: str, halvings: int | None = None) -> Any:
    """3x3 convolutions that each halve one axis of a map.

    Args:
        x: `(B, h, w, C)`.
        axis: 1 halves the rows, 2 the columns.
        name: prefix of the layers' names.
        halvings: how many convolutions; None goes on until one row or column is left.

    Returns:
        The compressed map; the other axis and C stay.
    """
    strides = (2, 1) if axis == 1 else (1, 2)
    step = 0
    while (halvings is None or step < halvings) and x.shape[axis] > 1:
        step += 1
        x = conv_bn(x, x.shape[-1], 3, strides=strides, name=f"{name}_{step}")
    return x


def enlarged(x: Any, maps: int, strides: tuple[int, int], *, name: str) -> Any:
    """A transposed convolution whose kernel is as large as its strides (s, t).

    It makes float32 `(B, h * s, w * t, maps)` of `(B, h, w, C)`.
    """
    return keras.layers.Conv2DTranspose(
        maps,
        strides,
        strides=strides,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name=name,
    )(x)
