"""Keeps what libraries say about themselves off the console and off the network."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def quiet() -> Iterator[None]:
    """Hides what the block writes to stderr, by native code too. Exceptions pass through.

    It is meant for imports, conversions and start-ups of TensorFlow and LiteRT: their native code reports on the machine
    and on its own workings whatever the log level.
    """
    logger = logging.getLogger("tensorflow")
    level = logger.level
    saved = os.dup(2)
    with open(os.devnull, "w") as nowhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logger.setLevel(logging.ERROR)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            logger.setLevel(level)


def import_tensorflow() -> ModuleType:
    """TensorFlow, with the notices of its import and of its search for GPUs behind it.

    TensorFlow searches when it first needs a device, and native code complains where there is no driver; later errors are
    seen. Nothing is chosen by this: which devices are visible, and how their memory grows, can still be set.
    """
    with quiet():
        import tensorflow

        tensorflow.config.list_physical_devices()
    return tensorflow


def import_onnxruntime() -> ModuleType:
    """ONNX Runtime with its telemetry off.

    Since its version 1.29 it sends usage data to its makers and keeps a number for the device in the user's home. It reads
    the variable `ORT_DISABLE_TELEMETRY` once, when it is imported; a value that the user has set is left.

    Raises:
        ImportError: it is not installed.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime

    return onnxruntime


def import_openvino() -> ModuleType:
    """OpenVINO with its telemetry off.

    When it is imported it sends an event to Google Analytics by its package `openvino_telemetry`, and keeps a number for the
    device in the user's home, unless the user has opted out there. Where that package is not found it takes a stand-in of its
    own that does nothing. So the package is hidden while OpenVINO is imported, and only then.

    Raises:
        ImportError: it is not installed.
    """
    hidden = "openvino_telemetry"
    known = sys.modules.get(hidden)
    sys.modules[hidden] = None
    try:
        import openvino
    finally:
        del sys.modules[hidden]
        if known is not None:
            sys.modules[hidden] = known
    return openvino
