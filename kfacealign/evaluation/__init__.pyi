from . import comparison as comparison, html_report as html_report, landmark_files as landmark_files, plots as plots, protocols as protocols, reports as reports, run_files as run_files
from .clips import evaluate_clips as evaluate_clips
from .implicit_priors import ImplicitPrior as ImplicitPrior, blackened as blackened, draw_implicit_prior as draw_implicit_prior, faceless as faceless, implicit_prior as implicit_prior
from .plots import landmark_errors as landmark_errors
from .reports import Report as Report, evaluate as evaluate, report as report
from .run_files import write_run as write_run
