"""Losses of the five papers, as Keras losses."""

from kfacealign.losses.coordinate_soft_classification import CoordinateSoftClassification

__all__ = ["CoordinateSoftClassification"]
