"""Layers of the suite that a user can take away."""

from kfacealign.layers.decimal_head import DecimalHeatmapHead
from kfacealign.layers.gradient_reversal import GradientReversal
from kfacealign.layers.hourglass import CornerAlignedUpSampling2D
from kfacealign.layers.pixel_in_pixel import PixelInPixelHead

__all__ = ["CornerAlignedUpSampling2D", "DecimalHeatmapHead", "GradientReversal", "PixelInPixelHead"]
