"""Several devices, and several hosts: Keras' data parallelism, begun as a run's settings say.

Every process reads the same labels, takes its share of each batch, and has the whole model. The first of them writes.
"""

import argparse
import contextlib
import os
from collections.abc import Iterator

from kfacealign.backend import keras
from kfacealign.data.shares import processes

PROCESSES = "KERAS_DISTRIBUTION_NUM_PROCESSES"


def count_or_all(text: str) -> int | str:
    """What `--devices` accepts: a positive number, or "all".

    Raises:
        argparse.ArgumentTypeError: it is neither.
    """
    if text == "all":
        return text
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of devices from 1 on nor 'all'")
    return int(text)


def join_processes() -> None:
    """Makes this process one of several, where `KERAS_DISTRIBUTION_NUM_PROCESSES` and its kin say so.

    It must come before anything that computes.

    Raises:
        ValueError: Keras does not run on JAX.
    """
    if os.environ.get(PROCESSES, "1") == "1":
        return
    check_backend(PROCESSES)
    keras.distribution.initialize()


def check_backend(what: str) -> None:
    """Raises ValueError where Keras runs on another backend than JAX."""
    if keras.config.backend() != "jax":
        raise ValueError(f"{what} needs Keras on JAX, it runs on {keras.config.backend()}: set KERAS_BACKEND=jax")


@contextlib.contextmanager
def distributed(settings: argparse.Namespace) -> Iterator[None]:
    """While the block runs, Keras spreads models and batches over the devices that `settings.devices` asks for.

    Args:
        settings: of a run; without `devices`, or where it is None, nothing is distributed.

    Raises:
        ValueError: Keras does not run on JAX, there are not so many devices, or there are several processes and not all
            devices are asked for.
    """
    wanted, several = getattr(settings, "devices", None), processes()[1] > 1
    if several and wanted != "all":
        raise ValueError(
            f"{PROCESSES} says that there are {processes()[1]} processes, which share all devices: add --devices all"
        )
    if wanted is None:
        yield
        return
    check_backend(f"--devices {wanted}")
    found = keras.distribution.list_devices()
    if wanted != "all" and wanted > len(found):
        raise ValueError(f"--devices {wanted}: there are {len(found)} ({', '.join(found)})")
    chosen = found if wanted == "all" else found[:wanted]
    with keras.distribution.DataParallel(devices=chosen, auto_shard_dataset=False).scope():
        yield
    if several:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices("the end of a run")  # its files are written


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """While the block runs, Keras distributes nothing: what one process does by itself must not wait for the others."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def writes() -> bool:
    """Whether this process writes the files of a run: the first of several does, and an only one."""
    return processes()[0] == 0


def single_process(what: str) -> None:
    """Raises ValueError where there are several processes."""
    if processes()[1] > 1:
        raise ValueError(f"{what} runs in one process: start it on one host, with --devices all for its devices")
