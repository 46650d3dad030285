"""FAN: the face alignment network, as "Subpixel Heatmap Regression" trains it (Sec. 5.1)."""

import keras

from kfacealign import schemes
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.heatmap import Heatmap
from kfacealign.codecs.offsets import OffsetValue
from kfacealign.layers.hierarchical import face_alignment_network
from kfacealign.layers.offset_heads import OffsetValueHead
from kfacealign.models.aligner import FaceAligner

ENCODINGS = ("continuous", "round", "floor")
CORRECTIONS = (None, "static", "dynamic")


@keras.saving.register_keras_serializable(package="kfacealign")
class FAN(FaceAligner):
    """Stacked hourglass of hierarchical residual blocks; heatmaps with subpixel encoding and decoding.

    Trainable parameters at 68 landmarks and 256 px: 12,106,504 with 2 stacks (the paper's), 23,820,176 with 4 (the
    public 2D-FAN release's).

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        stacks: hourglasses.
        input_size: side of the crops in pixels, a multiple of 64; heatmaps have a quarter of it.
        width: channels of the trunk, a multiple of 16.
        encoding: "continuous" for `ContinuousHeatmap`; "round" or "floor" for the quantised `Heatmap` (Table 2).
        sigma: of the Gaussians, in cells.
        decoder, window, temperature: see `ContinuousHeatmap`; the decoder is by default "local".
        correction: "static" or "dynamic" for the baseline that corrects the maximum's coordinates by a second head
            (Table 1, `OffsetValue`), which needs a quantised encoding and has no decoder; None for none.
        enlarge: see `FaceAligner`; by default faces of 220 px in crops of 256 px.

    Outputs of the network: `heatmap_s` `(B, S/4, S/4, K)` for each stack s, and with a correction `offset`
    `(B, K, 2)`, in cells.

    Raises:
        ValueError: `input_size` is not a positive multiple of 64, `width` not one of 16; an encoding, decoder, window
            or correction that is not there, or a correction of a continuous encoding.

    Example:
        >>> model = FAN("ibug68", stacks=2)
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    def __init__(
        self,
        scheme="wflw98",
        stacks=2,
        input_size=256,
        width=256,
        encoding="continuous",
        sigma=2.0,
        decoder="local",
        window=7,
        temperature=10.0,
        correction=None,
        enlarge=256 / 220,
        **kwargs,
    ):
        if input_size <= 0 or input_size % 64:
            raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
        if width <= 0 or width % 16:
            raise ValueError(f"width must be a multiple of 16 (the stem's blocks have an eighth of it), got {width}")
        scheme = schemes.get(scheme)
        codec = make_codec(input_size // 4, encoding, sigma, decoder, window, temperature, correction)

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = keras.ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
        heatmaps, features = face_alignment_network(x, scheme.num_points, stacks, width)
        outputs = {f"heatmap_{stack}": maps for stack, maps in enumerate(heatmaps, start=1)}
        if correction is not None:
            outputs["offset"] = OffsetValueHead(scheme.num_points, name="offset")(features)
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.stacks = stacks
        self.width = width
        self.encoding = encoding
        self.decoder = decoder
        self.window = window
        self.temperature = temperature
        self.correction = correction

    def get_config(self):
        # What the codec can be changed to after training is saved as it is then.
        decoding = {name: getattr(self.codec, name, getattr(self, name)) for name in ("decoder", "window", "temperature")}
        return {
            "scheme": self.scheme.name,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "encoding": self.encoding,
            "sigma": self.codec.sigma,
            **decoding,
            "correction": self.correction,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def make_codec(size, encoding, sigma, decoder, window, temperature, correction):
    """The codec that FAN's arguments name."""
    if encoding not in ENCODINGS:
        raise ValueError(f"encoding is one of {', '.join(ENCODINGS)}, not {encoding!r}")
    if correction not in CORRECTIONS:
        raise ValueError(f"correction is 'static', 'dynamic' or None, not {correction!r}")
    if correction is not None:
        if encoding == "continuous":
            raise ValueError("a correction is of quantised positions: use encoding='round' or 'floor'")
        return OffsetValue(size, sigma, quantize=encoding, ground_truth=correction, offset_loss="l2")
    if encoding == "continuous":
        return ContinuousHeatmap(size, sigma, decoder, window, temperature)
    return Heatmap(size, sigma, decoder, encoding, window, temperature)
