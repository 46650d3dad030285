"""Metrics, reports and their pictures."""

from kfacealign.evaluation.metrics import NME, nme, normalized_errors, normalizer, nrmse
from kfacealign.evaluation.plots import write_run
from kfacealign.evaluation.report import Report, auc, ced, evaluate, failure_rate, report

__all__ = [
    "NME",
    "Report",
    "auc",
    "ced",
    "evaluate",
    "failure_rate",
    "nme",
    "normalized_errors",
    "normalizer",
    "nrmse",
    "report",
    "write_run",
]
