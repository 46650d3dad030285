"""The models of the suite: one file a paper, and the baselines they are compared with."""

from kfacealign import backend as backend  # isort: skip, it imports Keras without its notices

from kfacealign.models.aligner import FaceAligner
from kfacealign.models.calibrated import CalibratedAligner
from kfacealign.models.coordnet import CoordNet
from kfacealign.models.domain_adversarial import DomainAdversarialPIPNet
from kfacealign.models.fan import FAN
from kfacealign.models.heatmap1d import AttentiveHeatmap1D, Heatmap2D
from kfacealign.models.heatmap1d_tracker import AttentiveHeatmap1DTracker, Heatmap2DTracker
from kfacealign.models.hih import HIH
from kfacealign.models.hourglass import Hourglass
from kfacealign.models.inference import DecodeLandmarks
from kfacealign.models.lotr import CNNFFN, LOTR
from kfacealign.models.mapnet import MapNet
from kfacealign.models.pipnet import PIPNet
from kfacealign.models.variants import Variant, methods, variants_of

__all__ = [
    "CNNFFN",
    "FAN",
    "HIH",
    "LOTR",
    "AttentiveHeatmap1D",
    "AttentiveHeatmap1DTracker",
    "CalibratedAligner",
    "CoordNet",
    "DecodeLandmarks",
    "DomainAdversarialPIPNet",
    "FaceAligner",
    "Heatmap2D",
    "Heatmap2DTracker",
    "Hourglass",
    "MapNet",
    "PIPNet",
    "Variant",
    "methods",
    "variants_of",
]
