"""The models of the suite: one file a paper."""

from kfacealign.models.aligner import DecodeLandmarks, FaceAligner
from kfacealign.models.hih import HIH

__all__ = ["DecodeLandmarks", "FaceAligner", "HIH"]
