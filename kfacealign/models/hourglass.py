"""The hourglass with other ways than HIH's to the position inside a cell (HIH, appendix A-C; Tables V and VI)."""

import keras

from kfacealign import schemes
from kfacealign.codecs.heatmap import Heatmap
from kfacealign.codecs.offsets import OffsetMap, OffsetValue
from kfacealign.layers.hourglass import stacked_hourglass
from kfacealign.layers.offset_heads import OffsetMapHead, OffsetValueHead
from kfacealign.models.aligner import FaceAligner

# Channels of the offset's head, by its kind: those at which 68 landmarks need the 6.91 and 6.85 G of Table VI.
OFFSET_WIDTHS = {None: None, "value": 384, "map": 128}


@keras.saving.register_keras_serializable(package="kfacealign")
class Hourglass(FaceAligner):
    """HIH's stacked hourglass without its decimal heatmaps: baseline, WSM, DARK, WOV and WOM of Table V.

    The defaults give WOV the 6.91 GFLOPs of Table VI (68 landmarks) and WOM 6.82 (6.85). The table's baseline, 6.67 at
    width 280, counts the last stack's merging convolutions, which nothing reads; without them it is 6.27.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        stacks: hourglasses.
        input_size: side of the crops in pixels, a multiple of 64; heatmaps have a quarter of it.
        width: channels of the trunk (the paper's baseline has 280, to make up for the head it lacks).
        sigma: of the Gaussians, in cells.
        decoder: without offset, how maps are read: "argmax" (baseline), "wsm" or "shift" (WSM), "dark" (DARK), ...
        offset: None; "value" for WOV, "map" for WOM, both read at the maximum.
        offset_width: channels of the offset's head; by default 384 for a value, as HIH's head, and 128 for maps.
        offset_size: side in cells that the value's head goes down to.
        alpha: weight of the offset's loss.
        enlarge: see `FaceAligner`.

    Outputs of the network: `heatmap_s` `(B, S/4, S/4, K)` for each stack s, and `offset` `(B, K, 2)` or
    `offset_map` `(B, S/4, S/4, 2)`, in cells.

    Raises:
        ValueError: `input_size` is not a positive multiple of 64; there is no such decoder or offset; the value's head
            does not fit the input.
    """

    def __init__(
        self,
        scheme="wflw98",
        stacks=1,
        input_size=256,
        width=256,
        sigma=1.5,
        decoder="argmax",
        offset=None,
        offset_width=None,
        offset_size=8,
        alpha=0.1,
        enlarge=1.25,
        **kwargs,
    ):
        if input_size <= 0 or input_size % 64:
            raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
        if offset not in OFFSET_WIDTHS:
            raise ValueError(f"offset is 'value', 'map' or None, not {offset!r}")
        scheme = schemes.get(scheme)
        size = input_size // 4
        offset_width = offset_width or OFFSET_WIDTHS[offset]
        if offset is None:
            codec = Heatmap(size, sigma, decoder)
        else:
            codec = (OffsetValue if offset == "value" else OffsetMap)(size, sigma, alpha)

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = keras.ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
        heatmaps, trunk = stacked_hourglass(x, scheme.num_points, stacks, width)
        outputs = {f"heatmap_{stack}": maps for stack, maps in enumerate(heatmaps, start=1)}
        if offset == "value":
            outputs["offset"] = OffsetValueHead(scheme.num_points, offset_width, offset_size, name="offset")(trunk)
        elif offset == "map":
            outputs["offset_map"] = OffsetMapHead(offset_width, name="offset_map")(trunk)
        network = keras.Model(image, outputs, name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.stacks = stacks
        self.width = width
        self.decoder = decoder
        self.offset = offset
        self.offset_width = offset_width
        self.offset_size = offset_size
        self.alpha = alpha

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "stacks": self.stacks,
            "input_size": self.input_size,
            "width": self.width,
            "sigma": self.codec.sigma,
            "decoder": getattr(self.codec, "decoder", self.decoder),
            "offset": self.offset,
            "offset_width": self.offset_width,
            "offset_size": self.offset_size,
            "alpha": self.alpha,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
