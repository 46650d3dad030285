"""The run loop that recipes call, and what goes beyond it: self-training, domain-adversarial and Siamese training."""

from kfacealign.training.checkpoint import EpochCheckpoint, load_state
from kfacealign.training.clips import run_clips
from kfacealign.training.domain_adversarial import DomainAdversarialPIPNet, ReversalSchedule, run_domain_adversarial
from kfacealign.training.pipnet import run_pipnet
from kfacealign.training.run import adam, run, step_decay
from kfacealign.training.self_training import self_train
from kfacealign.training.settings import DATASETS, LOSSES, load_dataset, load_unlabelled, main, parse_settings
from kfacealign.training.siamese import Siamese

__all__ = [
    "DATASETS",
    "DomainAdversarialPIPNet",
    "EpochCheckpoint",
    "LOSSES",
    "ReversalSchedule",
    "Siamese",
    "adam",
    "load_dataset",
    "load_state",
    "load_unlabelled",
    "main",
    "parse_settings",
    "run",
    "run_clips",
    "run_domain_adversarial",
    "run_pipnet",
    "self_train",
    "step_decay",
]
