"""Domain-adversarial training (DANN): the schedule of the gradient reversal, and the run on labelled and unlabelled faces."""

import argparse
import dataclasses
import math
from collections.abc import Callable
from typing import Any

from kfacealign.backend import keras
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.unlabelled import mixed
from kfacealign.data.views import RandomView
from kfacealign.evaluation.reports import Report
from kfacealign.models.domain_adversarial import DomainAdversarialPIPNet
from kfacealign.training.loop import run


class ReversalSchedule(keras.callbacks.Callback):
    """Sets a model's reversal weight before each batch to `reversal_weight(p)`, p the share of the training that is done.

    p counts from the first epoch of the run, also in a run that was resumed.
    """

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict | None = None) -> None:
        progress = (self.epoch + batch / (self.params["steps"] or 1)) / self.params["epochs"]
        # Through self.model, which on JAX first brings the variables up to date.
        self.model.reversal.weight.assign(reversal_weight(progress))


def reversal_weight(progress: float) -> float:
    """The schedule of Ganin et al. (Sec. 5.2.2): 2 / (1 + exp(-10 p)) - 1 for the progress p, 0 at 0 and 1 - 9e-5 at 1."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


def run_domain_adversarial(
    build: Callable[[], DomainAdversarialPIPNet],
    faces: Dataset,
    unlabelled: Faces,
    views: RandomView | None,
    settings: argparse.Namespace,
    **options: Any,
) -> tuple[DomainAdversarialPIPNet, Report]:
    """Trains on labelled and unlabelled faces together, by `kfacealign.training.run`.

    Args:
        build: function without arguments that makes a `DomainAdversarialPIPNet`.
        faces: the labelled faces, and the test faces.
        unlabelled: faces whose landmarks are not read, see `kfacealign.data.image_folder` and `ignore_labels`.
        views: the random views of training, or None.
        settings: what `kfacealign.training.parse_settings` returned.
        options: further arguments of `run`.

    Returns:
        The trained model and its `Report`.

    Raises:
        ValueError: the model is of another class, there is no unlabelled face, the unlabelled faces have another scheme, or
            `run` raises it.
    """

    def check(model):
        if not isinstance(model, DomainAdversarialPIPNet):
            raise ValueError(f"method dann needs a DomainAdversarialPIPNet, not a {type(model).__name__}")

    everyone = dataclasses.replace(faces, train=mixed(faces.train, unlabelled))
    return run(
        build,
        everyone,
        views,
        settings,
        labels=("unlabelled",),
        box="file",
        prepare=check,
        callbacks=(ReversalSchedule(),),
        compared={"epochs": settings.epochs},  # the schedule counts by them
        **options,
    )
