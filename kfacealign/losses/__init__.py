"""Losses of the five papers, as Keras losses."""

from kfacealign import backend as backend  # isort: skip, it imports Keras without its notices

from kfacealign.losses.coordinate_soft_classification import CoordinateSoftClassification
from kfacealign.losses.regression import L1, L2, SmoothL1, SmoothWing, Wing

__all__ = ["L1", "L2", "CoordinateSoftClassification", "SmoothL1", "SmoothWing", "Wing"]
