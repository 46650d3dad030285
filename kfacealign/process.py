"""How a command ends: in one line on stderr and an exit status, whatever stops it.

0 done, 1 some of the inputs failed, 2 a mistake in the input or a file that cannot be read or written, 130 interrupted
(Ctrl-C), 143 terminated.

A signal raises `KeyboardInterrupt` in the main thread, which cleans up on its way out. Other code may swallow the exception,
turn it into another one, or be busy in native code that never asks for signals. Therefore every exception after a signal
counts as the interruption, one that was raised where nothing can catch it is raised again, and a process that is still there
after `GRACE` seconds ends without cleaning up: whatever is written here may be killed at any moment.
"""

import _thread
import atexit
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from typing import NoReturn

from kfacealign.console import encodable_streams, shown

GRACE = 10.0  # seconds that an interrupted process has for cleaning up
AWAY = 0.05  # seconds after which the main thread has left the place where it cannot be interrupted
PATIENCE = 1.0  # seconds after which another signal means that it shall end now
FAILED = 2
WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


class Interrupted(KeyboardInterrupt):
    """The process was told to stop by a signal."""


class _State:
    """What signals have told this process."""

    program = ""  # begins every line
    hint = ""  # how to go on after an interruption
    number = None  # the signal that `Interrupted` was raised for
    heard = False  # the main thread has been told of a signal
    again = 0  # signals that this process sent to itself
    done = False  # the result is settled; signals come too late
    own_end = False  # the process deals with interruptions on its own
    error = None  # what ended the work: while it is kept nothing in its frames is destroyed, which may wait for a thread


def run_process(program: str, work: Callable[[], int | None], *, debug: Callable[[], bool] = bool) -> int:
    """Does the work of this process and returns its exit status; whatever stops it is told in one line.

    It takes over the process: signals, and what streams do with text that they cannot encode.

    Args:
        program: begins the line, such as "kfacealign: ".
        work: function that returns an exit status, or None for 0.
        debug: whether the traceback of an error is shown, too; asked when there is one.

    Returns:
        The exit status. Where it is not 0 hand it to `leave`: threads of a training that failed may never end.
    """
    _State.program, _State.done = program, False
    encodable_streams()
    try:
        _catch_signals()
        status = guarded(program, work, debug=debug)
        _State.done = True
    except KeyboardInterrupt:  # between two lines of this file
        status = _tell_interruption(program)
    except Exception:
        traceback.print_exc()
        status = 1
    return status


def guarded(program: str, work: Callable[[], int | None], *, debug: Callable[[], bool] = bool) -> int:
    """As `run_process`, for a process that is another's."""
    try:
        return work() or 0
    except KeyboardInterrupt as error:
        _State.error = error
        return _tell_interruption(program)
    except Exception as error:
        _State.error = error
        if _State.number is not None:
            return _tell_interruption(program)
        if isinstance(error, BrokenPipeError):
            return _without_reader()
        if not expected(error):
            raise
        if debug():
            traceback.print_exc()
        print(f"{program}error: {one_line(error)}", file=sys.stderr)
        return FAILED


def expected(error: Exception) -> bool:
    """Whether an error is about input, files or the machine; others are mistakes of the code, whose traceback matters."""
    return isinstance(error, (ValueError, OSError, ImportError, MemoryError)) or _of_tensorflow(error)


def one_line(error: BaseException) -> str:
    """An error's message on one line; a system error as `file: reason`."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{shown(str(error.filename))}: {error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return "out of memory" if isinstance(error, MemoryError) else type(error).__name__
    return shown(lines[0] if _of_tensorflow(error) else " ".join(lines))


def leave(status: int) -> NoReturn:
    """Ends the process now: waits for no thread and destroys nothing."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(status)


@contextlib.contextmanager
def resumable(hint: str) -> Iterator[None]:
    """While the block runs, the line about an interruption ends in this hint on how to go on."""
    before = _State.hint
    _State.hint = before or hint  # a run that is a part of another goes on with that
    yield
    _State.hint = before  # after an exception it stays, for the line


def go_on() -> None:
    """An interruption was dealt with: what was done is written now, and the process decides on its own how it ends."""
    _State.number, _State.own_end = None, True


# === Signals ===


def _catch_signals():
    """Lets signals raise `Interrupted`. A signal that is ignored, as under `nohup`, stays ignored."""
    if threading.current_thread() is not threading.main_thread():
        return
    if os.name == "posix":
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # Native code that does not return to Python keeps handlers from being called, but not this byte from being written.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        _thread.start_new_thread(_watch, (reader,))
    sys.unraisablehook = _uncaught(sys.unraisablehook)
    for number in WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    atexit.register(_ignore_signals)


def _ignore_signals():
    """Python ends by giving signals their default back, by which one that comes then would look like a failure."""
    for number in WORDS:
        signal.signal(number, signal.SIG_IGN)


def _interrupt(number, frame):
    _State.heard = True
    if _State.number is None and not _State.done:
        _State.number = number
        raise Interrupted(number)


def _uncaught(hook):
    """The hook for exceptions in destructors and callbacks: an interruption that was lost there comes once more."""

    def found(unraisable):
        if not (isinstance(unraisable.exc_value, Interrupted) and _State.number is not None):
            hook(unraisable)
            return
        number, _State.number = _State.number, None
        _thread.start_new_thread(_raise_again, (number,))

    return found


def _raise_again(number):
    time.sleep(AWAY)
    _wake(number)


def _wake(number):
    """Sends a signal to the main thread alone, which ends what it waits for."""
    _State.again += 1
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, number)
    else:
        _thread.interrupt_main(number)


def _wake_who_has_not_heard(number):
    """A signal that comes just before the main thread begins to wait is noted, and does not end the waiting."""
    time.sleep(AWAY)
    if not _State.heard:
        _wake(number)


def _watch(reader):
    """Ends the process `GRACE` seconds after a signal, or when a second one comes."""
    first = None
    while True:
        number = os.read(reader, 1)[0]
        if number not in WORDS:
            continue
        if _State.again:
            _State.again -= 1
        elif first is None:
            first = time.monotonic()
            _thread.start_new_thread(_wake_who_has_not_heard, (number,))
            _thread.start_new_thread(_end_after, (GRACE, number))
        elif time.monotonic() - first > PATIENCE:  # sooner it is the same signal, which came on two ways
            _end_after(0, number)


def _end_after(seconds, number):
    time.sleep(seconds)
    if not _State.own_end:
        os.write(2, f"{_interruption(_State.program, number)}\n".encode(errors="backslashreplace"))
        os._exit(128 + number)


def _tell_interruption(program):
    number = _State.number or signal.SIGINT
    _State.done = True
    print(_interruption(program, number), file=sys.stderr)
    return 128 + number


def _interruption(program, number):
    return f"{program}{WORDS[number]}{f'; {_State.hint}' if _State.hint else ''}"


def _of_tensorflow(error):
    return any(kind.__name__ == "OpError" for kind in type(error).__mro__)


def _without_reader():
    """Whoever read the output has enough of it, as `head` has; what is still unwritten goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + 13  # as if SIGPIPE had ended the process
