"""The run loop that recipes call."""

from kfacealign.training.checkpoint import EpochCheckpoint, load_state
from kfacealign.training.run import run, step_decay
from kfacealign.training.settings import DATASETS, load_dataset, main, parse_settings

__all__ = ["DATASETS", "EpochCheckpoint", "load_dataset", "load_state", "main", "parse_settings", "run", "step_decay"]
