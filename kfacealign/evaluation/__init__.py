"""Metrics, reports and their pictures."""

from kfacealign.evaluation.clips import evaluate_clips
from kfacealign.evaluation.implicit_prior import ImplicitPrior, blackened, draw_implicit_prior, faceless, implicit_prior
from kfacealign.evaluation.jitter import jitter
from kfacealign.evaluation.metrics import NME, nme, normalized_errors, normalizer, nrmse, point_variance
from kfacealign.evaluation.plots import landmark_errors
from kfacealign.evaluation.report import Report, auc, ced, evaluate, failure_rate, report
from kfacealign.evaluation.runs import write_run

__all__ = [
    "ImplicitPrior",
    "NME",
    "Report",
    "auc",
    "blackened",
    "ced",
    "draw_implicit_prior",
    "evaluate",
    "evaluate_clips",
    "faceless",
    "failure_rate",
    "implicit_prior",
    "jitter",
    "landmark_errors",
    "nme",
    "normalized_errors",
    "normalizer",
    "nrmse",
    "point_variance",
    "report",
    "write_run",
]
