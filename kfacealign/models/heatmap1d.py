"""Attentive one-dimensional heatmaps (Yin et al., 2020; Sec. 4.1, figure 2a), and the 2D heatmaps they are compared with."""

import keras
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap1d import Heatmap1D
from kfacealign.layers.co_attention import CoAttention
from kfacealign.layers.hierarchical import face_alignment_network
from kfacealign.layers.hourglass import conv_bn
from kfacealign.models.aligner import FaceAligner

HALVINGS = 3  # of the other axis before the co-attention: 64 rows to 8 columns


@keras.saving.register_keras_serializable(package="kfacealign")
class AttentiveHeatmap1D(FaceAligner):
    """The detector: a pair of one-dimensional heatmaps for each landmark, at three times the resolution of the crop.

    The features of FAN's stacked hourglass (the paper's reference [2]), 64 x 64 at 256 px, go through two groups of
    convolutions. CNN1 and CNN2 of the x axis compress the rows, those of the y axis the columns; between them the
    `CoAttention` lets the axes read each other; a transposed convolution, whose kernel and stride are M = L / 64, makes
    L bins of 64 positions.

    What the paper leaves open is here: 4 hourglasses, as in [2], without supervision of their own; CNN1 is three 3x3
    convolutions of stride 2 along the other axis (to m = 8 columns), CNN2 as many as lead to one column, all with batch
    normalisation, ReLU and the width of the trunk; sigma is one position of the features, M bins.

    Trainable parameters at 68 landmarks, 256 px and L = 768: 31,304,788 with 4 stacks (23,802,700 of them in the
    hourglasses), 19,591,116 with 2; 382,976 fewer at L = 64, 128 fewer without co-attention.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        resolution: L in bins, a multiple of `input_size` / 4; by default three times `input_size`, 768 at 256 px.
        gamma: weight of the co-attention, 0.4 on 300W and 0.5 on AFLW; 0 leaves it out (Fig. 3).
        stacks: hourglasses.
        input_size: side of the crops in pixels, a multiple of 64.
        width: channels, a multiple of 16.
        sigma: of the targets in bins; by default L / (input_size / 4).
        decoder, window, temperature: see `Heatmap1D`.
        enlarge: see `FaceAligner`.

    Outputs of the network: `heatmap_x` and `heatmap_y`, `(B, L, K)`.

    Raises:
        ValueError: `input_size`, `width` or `resolution` is no such multiple; there is no such decoder or window.

    Example:
        >>> model = AttentiveHeatmap1D("ibug68")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    def __init__(
        self,
        scheme="ibug68",
        resolution=None,
        gamma=0.4,
        stacks=4,
        input_size=256,
        width=256,
        sigma=None,
        decoder="argmax",
        window=None,
        temperature=10.0,
        enlarge=1.25,
        **kwargs,
    ):
        scheme = schemes.get(scheme)
        resolution = 3 * input_size if resolution is None else resolution
        bins = bins_of_a_position(resolution, input_size, width)
        codec = Heatmap1D(resolution, float(bins) if sigma is None else sigma, decoder, window, temperature)

        # === Functional model ===
        image, features = features_of(input_size, scheme, stacks, width)
        x = compressed(features, axis=1, halvings=HALVINGS, name="cnn1_x")
        y = compressed(features, axis=2, halvings=HALVINGS, name="cnn1_y")
        if gamma:
            # Positions by columns, as the co-attention reads both.
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
        self.stacks = stacks
        self.width = width

    @property
    def resolution(self):
        """L, bins of a heatmap."""
        return self.codec.size

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "resolution": self.codec.size,
            "gamma": self.gamma,
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
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap2D(FaceAligner):
    """The 2D detector of Table 1: the same hourglasses, and maps of L x L bins in place of two times L.

    The paper's is FAN, whose maps have the 64 x 64 positions of the features, and does not say how it came to larger ones.
    Here a transposed convolution of kernel and stride M = L / 64 along both axes makes them, the 2D counterpart of what ends
    `AttentiveHeatmap1D`, and the one that takes least memory: nothing but the maps themselves has L x L positions. As in
    the 1D model only the last stack's maps are supervised. Targets are the 2D Gaussians whose marginals the 1D model
    learns, read at the bin of the maximum.

    Trainable parameters at 68 landmarks and 256 px with 4 stacks: 23,820,176 at L = 64 (those of FAN), 26,309,520 at 768.

    Args:
        scheme, stacks, input_size, width, sigma, enlarge: see `AttentiveHeatmap1D`.
        resolution: L in bins, a multiple of `input_size` / 4; by default that.
        decoder, window, temperature: see `ContinuousHeatmap`.

    Output of the network: `heatmap_1` `(B, L, L, K)`.

    Raises:
        ValueError: as `AttentiveHeatmap1D`.

    Example:
        >>> model = Heatmap2D("ibug68", resolution=128)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    def __init__(
        self,
        scheme="ibug68",
        resolution=None,
        stacks=4,
        input_size=256,
        width=256,
        sigma=None,
        decoder="argmax",
        window=7,
        temperature=10.0,
        enlarge=1.25,
        **kwargs,
    ):
        scheme = schemes.get(scheme)
        resolution = input_size // 4 if resolution is None else resolution
        bins = bins_of_a_position(resolution, input_size, width)
        codec = ContinuousHeatmap(resolution, float(bins) if sigma is None else sigma, decoder, window, temperature)

        # === Functional model ===
        image, features = features_of(input_size, scheme, stacks, width)
        outputs = {"heatmap_1": enlarged(features, scheme.num_points, (bins, bins), name="heatmap_1")}
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.stacks = stacks
        self.width = width

    @property
    def resolution(self):
        """L, bins along each side of a heatmap."""
        return self.codec.size

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "resolution": self.codec.size,
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
    def from_config(cls, config):
        return cls(**config)


# === Parts ===


def bins_of_a_position(resolution, input_size, width):
    """M, bins that a position of the features is made of.

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


def features_of(input_size, scheme, stacks, width):
    """The input `(B, S, S, 3)` and the features of the last hourglass `(B, S/4, S/4, width)`."""
    image = keras.Input((input_size, input_size, 3), name="image")
    x = ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
    _, features = face_alignment_network(x, scheme.num_points, stacks, width)
    return image, features


def compressed(x, axis, name, halvings=None):
    """3x3 convolutions that halve axis 1 or 2 of `(B, h, w, C)` so many times, or until nothing is left to halve."""
    strides = (2, 1) if axis == 1 else (1, 2)
    step = 0
    while (halvings is None or step < halvings) and x.shape[axis] > 1:
        step += 1
        x = conv_bn(x, x.shape[-1], 3, strides=strides, name=f"{name}_{step}")
    return x


def enlarged(x, maps, strides, name):
    """The transposed convolution whose kernel is its stride: `(B, h, w, C)` to `(B, h * s, w * t, maps)`; float32."""
    return keras.layers.Conv2DTranspose(
        maps,
        strides,
        strides=strides,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name=name,
    )(x)
