"""Metrics, reports and their pictures."""

from kfacealign.evaluation.implicit_prior import ImplicitPrior, blackened, draw_implicit_prior, faceless, implicit_prior
from kfacealign.evaluation.metrics import NME, nme, normalized_errors, normalizer, nrmse, point_variance
from kfacealign.evaluation.plots import landmark_errors, write_run
from kfacealign.evaluation.report import Report, auc, ced, evaluate, failure_rate, report

__all__ = [
    "ImplicitPrior",
    "NME",
    "Report",
    "auc",
    "blackened",
    "ced",
    "draw_implicit_prior",
    "evaluate",
    "faceless",
    "failure_rate",
    "implicit_prior",
    "landmark_errors",
    "nme",
    "normalized_errors",
    "normalizer",
    "nrmse",
    "point_variance",
    "report",
    "write_run",
]
