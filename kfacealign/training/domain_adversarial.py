"""Domain-adversarial training (DANN): the schedule of the gradient reversal, and the run on labelled and unlabelled faces."""

import dataclasses
import math

from kfacealign.backend import keras
from kfacealign.data.unlabelled import mixed
from kfacealign.models.domain_adversarial import DomainAdversarialPIPNet
from kfacealign.training.loop import run


class ReversalSchedule(keras.callbacks.Callback):
    """Sets a model's reversal weight before each batch: 2 / (1 + exp(-10 p)) - 1, p the share of training that is done.

    (Ganin et al., Sec. 5.2.2.) p counts from the first epoch of the run, also in one that was resumed.
    """

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        progress = (self.epoch + batch / (self.params["steps"] or 1)) / self.params["epochs"]
        # Through self.model, which on JAX first brings the variables up to date.
        self.model.reversal.weight.assign(reversal_weight(progress))


def reversal_weight(progress):
    """Ganin's schedule: 0 at the beginning of training (progress 0), 1 - 9e-5 at its end (progress 1)."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


def run_domain_adversarial(build, faces, unlabelled, views, settings, **options):
    """`run` on labelled and unlabelled faces together.

    Args:
        build: function without arguments that makes a `DomainAdversarialPIPNet`.
        unlabelled: `Faces` whose landmarks are not read, see `kfacealign.data.image_folder` and `ignore_labels`.
        options, others: as `run`, whose result this returns.

    Raises:
        ValueError: as `run`; the model is another; there is no unlabelled face, or its scheme is not that of `faces`.
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
