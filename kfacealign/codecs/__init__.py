"""Representations of landmarks: encode, loss and decode side by side."""

from kfacealign.codecs.codec import Codec
from kfacealign.codecs.heatmap import Heatmap, HeatmapCodec
from kfacealign.codecs.heatmap_in_heatmap import HeatmapInHeatmap

__all__ = ["Codec", "Heatmap", "HeatmapCodec", "HeatmapInHeatmap"]
