"""Layers that are of use outside of this package's models, too."""

from kfacealign import backend as backend  # isort: skip, it imports Keras without its notices

from kfacealign.layers.co_attention import CoAttention
from kfacealign.layers.decimal_head import AttendedDecimalHead, DecimalHeatmapHead
from kfacealign.layers.gradient_reversal import GradientReversal
from kfacealign.layers.hourglass import CornerAlignedUpSampling2D
from kfacealign.layers.local_soft_argmax import LocalSoftArgmax
from kfacealign.layers.offset_heads import OffsetMapHead, OffsetValueHead
from kfacealign.layers.pixel_in_pixel import PixelInPixelHead
from kfacealign.layers.transformer import LearnedPosition2D, TransformerDecoder, TransformerEncoder

__all__ = [
    "AttendedDecimalHead",
    "CoAttention",
    "CornerAlignedUpSampling2D",
    "DecimalHeatmapHead",
    "GradientReversal",
    "LearnedPosition2D",
    "LocalSoftArgmax",
    "OffsetMapHead",
    "OffsetValueHead",
    "PixelInPixelHead",
    "TransformerDecoder",
    "TransformerEncoder",
]
