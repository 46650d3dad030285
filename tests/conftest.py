"""What all tests share: the order of the files, cheap garbage collections, and TensorFlow without the passes over its graphs."""

import gc
import os
import sys
from pathlib import Path

import pytest

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # tests import ONNX Runtime directly, too
TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))  # for `checks`


def pytest_collection_modifyitems(items):
    """The longest files come first, so that no process of `make test` idles while the other has one left to run.

    The files beside this one run notebooks, pages, another backend or an installed wheel, minutes in all; each other file
    tests one module of the room it is named after. Of the rooms the last come first, as training and models take the longest.
    """
    room = {item.path: item.path.relative_to(TESTS).parts[:-1] for item in items}
    items.sort(key=lambda item: room[item.path], reverse=True)  # stable: within a room nothing moves
    items.sort(key=lambda item: bool(room[item.path]))


def pytest_collection_finish():
    """Garbage collections, an eighth of the time of tests/models, leave out what the imported modules hold."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True, scope="session")
def plain_graphs():
    """A graph is run a few times and thrown away: TensorFlow's passes over it take longer than they save."""
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
