"""Layers of the suite that a user can take away."""

from kfacealign.layers.decimal_head import DecimalHeatmapHead
from kfacealign.layers.hourglass import CornerAlignedUpSampling2D

__all__ = ["CornerAlignedUpSampling2D", "DecimalHeatmapHead"]
