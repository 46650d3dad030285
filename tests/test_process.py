"""Whatever stops a process ends in one line and its exit status."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest

from kfacealign import process
from kfacealign.process import guarded, one_line, resumable

SCRIPT = """
import _thread, ctypes, signal, sys, time
from kfacealign import process
process.GRACE = 3.0

class Slow:
    def __del__(self):  # what is raised here is caught by nobody
        begun()
        time.sleep(1)

def begun():
    print("begun", flush=True)

def sleeping():
    begun()
    time.sleep(30)

def destructor():
    Slow()
    time.sleep(30)

def turned():
    try:
        begun()
        time.sleep(30)
    except KeyboardInterrupt:
        raise RuntimeError("a library's own words\\nin two lines") from None

def swallowed():
    try:
        begun()
        time.sleep(30)
    except BaseException:
        pass
    time.sleep(30)

def native():
    begun()
    ctypes.CDLL(None).system(b"exec sleep 30 > /dev/null 2>&1")

def handled():
    try:
        begun()
        time.sleep(30)
    except KeyboardInterrupt:
        process.go_on()
    time.sleep(process.GRACE + 1)
    print("what was done is written")
    return 7

def missed():
    def note():  # as a signal does that comes just before the waiting begins: it is noted, and nobody wakes
        time.sleep(0.3)
        _thread.interrupt_main(signal.SIGINT)

    _thread.start_new_thread(note, ())
    try:
        begun()
        time.sleep(30)
    except KeyboardInterrupt:
        process.go_on()
        print("what was done is written")
        return 7

def work():
    with process.resumable("--resume goes on"), process.resumable("the inner hint"):
        return globals()[sys.argv[1]]()

process.leave(process.run_process("prog: ", work))
"""


def stopped(case, number):
    """Sends a signal once the case has begun; its exit status, the rest of what it prints, and the lines on stderr."""
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, case],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        start_new_session=True,
    )
    assert child.stdout.readline() == "begun\n", child.communicate()
    if number:
        os.kill(child.pid, number)
    try:
        printed, errors = child.communicate(timeout=20)
    finally:
        with contextlib.suppress(ProcessLookupError):  # the children of the case
            os.killpg(child.pid, signal.SIGKILL)
    return child.returncode, printed, errors.splitlines()


@pytest.mark.parametrize("case", ["sleeping", "destructor", "turned", "swallowed"])
def test_an_interruption_is_one_line_and_130(case):
    assert stopped(case, signal.SIGINT) == (130, "", ["prog: interrupted; --resume goes on"])


@pytest.mark.parametrize("case", ["sleeping", "native"])
def test_a_termination_is_one_line_and_143(case):
    status, _, lines = stopped(case, signal.SIGTERM)
    assert (status, lines) == (143, ["prog: terminated; --resume goes on"])


def test_who_deals_with_an_interruption_is_left_in_peace():
    assert stopped("handled", signal.SIGINT) == (7, "what was done is written\n", [])


def test_a_signal_is_heard_that_came_just_before_the_waiting():
    assert stopped("missed", None) == (7, "what was done is written\n", [])


def raising(error):
    def work():
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("two\n  lines"), "two lines"),
        (ValueError("a  b.jpg: cannot be read"), "a  b.jpg: cannot be read"),
        (OSError(28, "No space left on device", "run/model.keras"), "run/model.keras: No space left on device"),
        (OSError(2, "No such file", os.fsdecode(b"caf\xe9\n")), "caf\\xe9\\n: No such file"),
        (BlockingIOError("run is in use"), "run is in use"),
        (ImportError("pip install x"), "pip install x"),
        (ValueError("\x1b[31m[red]"), "\\x1b[31m[red]"),
        (MemoryError(), "out of memory"),
    ],
)
def test_an_error_about_the_input_is_one_line_and_2(error, line, capsys):
    assert guarded("prog: ", raising(error)) == 2
    assert capsys.readouterr().err == f"prog: error: {line}\n"


def test_an_error_of_tensorflow_is_its_first_line():
    class OpError(Exception):
        pass

    class ResourceExhaustedError(OpError):
        pass

    assert one_line(ResourceExhaustedError("out of memory\nStack trace for op definition:\n  ...")) == "out of memory"


def test_the_end_of_work_and_mistakes_of_the_code(capsys):
    assert guarded("", lambda: None) == 0 and guarded("", lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        guarded("", lambda: 1 / 0)
    assert guarded("prog: ", raising(KeyboardInterrupt())) == 130
    assert guarded("prog: ", raising(ValueError("x")), debug=lambda: True) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("prog: interrupted\n") and "Traceback" in printed and printed.endswith("prog: error: x\n")


def test_the_hint_is_there_while_the_block_runs_and_after_its_exception():
    with resumable("outer"), resumable("inner"):
        assert process._State.hint == "outer"
    assert process._State.hint == ""
    with pytest.raises(KeyError), resumable("hint"):
        raise KeyError
    assert process._State.hint == "hint"
    process._State.hint = ""


def test_a_reader_who_has_enough_is_no_error():
    command = f"{sys.executable} -m kfacealign datasets | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
