"""A few kills of the quickest command; `make crash` kills all of them, trainings among them, many times."""

import importlib.util
import signal
import sys
from pathlib import Path

from kfacealign.data import write_pts

spec = importlib.util.spec_from_file_location("crash", Path(__file__).with_name("crash.py"))
crash = sys.modules["crash"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(crash)


def test_a_pack_is_whole_or_absent_and_a_signal_ends_it_in_one_line(tmp_path):
    write_pts(tmp_path / "faces", train=12, test=4, size=96, progress=False)
    for number, kills in ((signal.SIGKILL, 3), (signal.SIGINT, 2), (signal.SIGTERM, 2)):
        row = crash.pack(tmp_path, kills, number, 0)
        assert (row.problems, row.kills) == ([], kills)
