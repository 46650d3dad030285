"""The models of the suite: one file a paper."""

from kfacealign.models.aligner import DecodeLandmarks, FaceAligner
from kfacealign.models.hih import HIH
from kfacealign.models.pipnet import PIPNet

__all__ = ["DecodeLandmarks", "FaceAligner", "HIH", "PIPNet"]
