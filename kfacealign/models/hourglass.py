"""The hourglass that HIH is compared with: it finds the position inside a cell in other ways (appendix A-C; Tables V and VI)."""

from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs.heatmap import Heatmap
from kfacealign.codecs.offsets import OffsetMap, OffsetValue
from kfacealign.layers.hourglass import stacked_hourglass
from kfacealign.layers.offset_heads import OffsetMapHead, OffsetValueHead
from kfacealign.models.aligner import FaceAligner

# Kind of offset -> channels of its head. With them 68 landmarks need the 6.91 and 6.85 GFLOPs of Table VI.
OFFSET_WIDTHS = {None: None, "value": 384, "map": 128}


@keras.saving.register_keras_serializable(package="kfacealign")
class Hourglass(FaceAligner):
    """HIH's stacked hourglass without its decimal heatmaps: the baseline, WSM, DARK, WOV and WOM of Table V.

    At 68 landmarks the defaults give WOV the 6.91 GFLOPs of Table VI, and WOM 6.82, where the table has 6.85. The table's
    baseline has 6.67 GFLOPs at width 280, which counts the last stack's merging convolutions although nothing reads them;
    without these it has 6.27.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        stacks: number of hourglasses.
        input_size: side of the crops in pixels, a multiple of 64; the heatmaps' side is a quarter of it.
        width: channels of the trunk. The paper's baseline has 280, which make up for the head that it lacks.
        sigma: standard deviation of the Gaussians, in cells.
        decoder: how maps are read if there is no offset: "argmax" (baseline), "wsm" or "shift" (WSM), "dark" (DARK), or
            another of `kfacealign.codecs.decoders.NAMES`.
        offset: None, "value" for WOV, or "map" for WOM; an offset is read at the maximum.
        offset_width: channels of the offset's head; by default 384 for a value, as many as HIH's head has, and 128 for maps.
        offset_size: side in cells to which the value's head reduces its map.
        alpha: weight of the offset's loss.
        enlarge: see `FaceAligner`.

    Outputs of the network: `heatmap_s` `(B, S/4, S/4, K)` for each stack s, and `offset` `(B, K, 2)` or
    `offset_map` `(B, S/4, S/4, 2)`, in cells.

    Raises:
        ValueError: `input_size` is not a positive multiple of 64, there is no such decoder or offset, or the value's head
            does not fit the input.
    """

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        *,
        stacks: int = 1,
        input_size: int = 256,
        width: int = 256,
        sigma: float = 1.5,
        decoder: str = "argmax",
        offset: str | None = None,
        offset_width: int | None = None,
        offset_size: int = 8,
        alpha: float = 0.1,
        enlarge: float = 1.25,
        **kwargs: Any,
    ):
        if input_size <= 0 or input_size % 64:
            raise ValueError(f"input_size must be a multiple of 64 (four halvings after the stem), got {input_size}")
        if offset not in OFFSET_WIDTHS:
            raise ValueError(f"offset is 'value', 'map' or None, not {offset!r}")
        scheme = schemes.get(scheme)
        size = input_size // 4
        offset_width = offset_width or OFFSET_WIDTHS[offset]
        if offset is None:
            codec = Heatmap(size, sigma, decoder=decoder)
        else:
            codec = (OffsetValue if offset == "value" else OffsetMap)(size, sigma, alpha=alpha)

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = keras.ops.multiply(image, 1.0 / 255)  # not Rescaling, which needs TensorFlow on every backend
        heatmaps, trunk = stacked_hourglass(x, maps=scheme.num_points, stacks=stacks, filters=width)
        outputs = {f"heatmap_{stack}": maps for stack, maps in enumerate(heatmaps, start=1)}
        if offset == "value":
            outputs["offset"] = OffsetValueHead(scheme.num_points, filters=offset_width, size=offset_size, name="offset")(trunk)
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

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
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
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
