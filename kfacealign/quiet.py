"""Keeping libraries' notices about themselves off the console."""

import logging
import os
import warnings
from contextlib import contextmanager


@contextmanager
def quiet():
    """Hides what is written to stderr in the block, by native code too; errors are exceptions and pass.

    For imports, conversions and start-ups of TensorFlow and LiteRT, whose native code
    reports on the machine and on its own workings whatever the log level.
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
