"""How a recipe begins and ends as a process."""

import sys
from collections.abc import Callable
from typing import Any

from kfacealign.process import leave, run_process


def main(recipe: Callable[[], Any]) -> None:
    """Runs a recipe's function as the work of this process; whatever stops it ends in one line, not in a traceback.

    The exit status is 0 for done, 2 for mistakes in the input and files that cannot be read or written, 130 for Ctrl-C and
    143 for SIGTERM. Import what is heavy inside the function, so that its import can be interrupted, too.

    Args:
        recipe: function without arguments; what it returns is ignored.
    """

    def work():
        from kfacealign.training.devices import join_processes  # imports Keras

        join_processes()
        recipe()

    status = run_process("", work)
    if status and sys._getframe(1).f_back is None:  # the script itself is the process
        leave(status)
    if status:
        sys.exit(status)
