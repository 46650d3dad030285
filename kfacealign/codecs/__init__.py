"""Representations of landmarks: encode, loss and decode side by side."""

from kfacealign import backend as backend  # isort: skip, it imports Keras without its notices

from kfacealign.codecs.codec import Codec
from kfacealign.codecs.continuous_heatmap import ContinuousHeatmap
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.codecs.heatmap import Heatmap, HeatmapCodec
from kfacealign.codecs.heatmap1d import Heatmap1D
from kfacealign.codecs.heatmap_in_heatmap import HeatmapInHeatmap
from kfacealign.codecs.offsets import OffsetMap, OffsetValue
from kfacealign.codecs.pixel_in_pixel import PixelInPixel

__all__ = [
    "Codec",
    "ContinuousHeatmap",
    "Coordinates",
    "Heatmap",
    "Heatmap1D",
    "HeatmapCodec",
    "HeatmapInHeatmap",
    "OffsetMap",
    "OffsetValue",
    "PixelInPixel",
]
