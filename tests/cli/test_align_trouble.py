"""What `kfacealign align` does when something goes wrong: what it says, and what is left."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from kfacealign.cli import align as command
from kfacealign.files import lock


def tree(folder):
    """Path below the folder -> content, of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        (ValueError("odd\n shape"), "odd shape"),
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (cv2.error("assertion failed"), "assertion failed"),
        (MemoryError(), "there is not enough memory for it"),
        (RuntimeError("the interpreter failed"), "the interpreter failed"),
        (np.float32("nan"), "the model's answer on face 1 is not finite"),
        (np.float32("inf"), "the model's answer on face 1 is not finite"),
    ],
)
def test_a_photograph_that_fails_is_named_and_the_others_go_on(align, photo, tmp_path, model, capsys, trouble, reason):
    for name in "abc":
        photo(tmp_path / "p" / f"{name}.png")
    model.trouble = [None, trouble]
    with np.errstate(invalid="ignore"):
        assert align("p", "--format", "pts,json,csv,coco") == 1
    shown = capsys.readouterr().out
    assert f"p/b.png: skipped: {reason}" in shown and "1 of 3 photographs failed" in shown
    stems = [f"{name}{end}" for name in "ac" for end in (".json", ".pts", "_landmarks.png")]
    assert sorted(tree("out")) == sorted([*stems, "coco.json", "landmarks.csv"])


def test_files_that_are_no_photographs(align, photo, tmp_path, capsys):
    photo(tmp_path / "p/good.png")
    (tmp_path / "p/empty.jpg").touch()
    (tmp_path / "p/text.jpg").write_text("text")
    os.mkfifo(tmp_path / "p/pipe.jpg")
    os.symlink("nowhere", tmp_path / "p/broken.jpg")
    os.symlink("round.jpg", tmp_path / "p/round.jpg")
    assert align("p", "gone*.jpg") == 1
    shown = capsys.readouterr().out
    for name in ("p/empty.jpg", "p/text.jpg", "p/pipe.jpg", "p/broken.jpg", "p/round.jpg", "gone*.jpg"):
        assert f"{name}: skipped: " in shown
    assert "6 of 7 photographs failed" in shown and len(tree("out")) == 3


def test_a_full_disk_ends_the_run_and_names_the_file(align, photo, tmp_path, model, capsys, monkeypatch):
    for name in "abc":
        photo(tmp_path / "p" / f"{name}.png")
    write = Path.write_bytes

    def full(path, content):
        if path.name.startswith(".b.") and path.suffix == ".pts":
            write(path, content[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert align("p", "--format", "pts,json,csv") == 2
    printed = capsys.readouterr()
    assert printed.err == "kfacealign: error: out/b.pts cannot be written: No space left on device\n"
    assert "p/b.png" not in printed.out and "p/c.png" not in printed.out
    # Of b nothing is left, and what was done before is in the table.
    assert sorted(tree("out")) == ["a.json", "a.pts", "a_landmarks.png", "landmarks.csv"]
    assert Path("out/landmarks.csv").read_text().count("\n") == 2


def test_results_appear_all_at_once(align, photo, tmp_path, monkeypatch):
    """The JSON file is the last to be renamed; until then it does not claim files that are not there."""
    photo(tmp_path / "x.png")
    replace, renamed = os.replace, []
    monkeypatch.setattr(os, "replace", lambda source, target: (renamed.append(Path(target).name), replace(source, target)))
    assert align("x.png") == 0
    assert sorted(renamed[:2]) == ["x.pts", "x_landmarks.png"] and renamed[2:] == ["x.json"]


@pytest.mark.parametrize(
    ("out", "reason"),
    [
        ("file", "it is a file; give a folder"),
        ("file/x", "Not a directory"),
        ("/proc/x", "No such file"),
        ("dead", "File exists"),
    ],
)
def test_out_is_checked_before_anything_is_read(align, photo, tmp_path, capsys, monkeypatch, out, reason):
    photo(tmp_path / "x.png")
    (tmp_path / "file").write_text("mine")
    os.symlink("nowhere", tmp_path / "dead")
    monkeypatch.setattr(command.deploy, "load", lambda path: pytest.fail("the model was loaded"))
    assert align("x.png", "--out", out) == 2
    assert capsys.readouterr().err.startswith(f"kfacealign: error: --out {out}: {reason}")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_to_which_nothing_can_be_written(align, photo, tmp_path, capsys, monkeypatch):
    photo(tmp_path / "x.png")

    def refuse(**options):
        raise PermissionError(errno.EACCES, "Permission denied", f"{options['dir']}/probe")

    monkeypatch.setattr("tempfile.NamedTemporaryFile", refuse)
    assert align("x.png") == 2
    assert capsys.readouterr().err == "kfacealign: error: --out out: Permission denied\n"


def test_no_empty_folder_is_left(align, photo, tmp_path):
    photo(tmp_path / "x.png")
    assert align("x.png", "--box=500,500,600,600") == 1
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert align("x.png", "--box=500,500,600,600") == 1
    assert (tmp_path / "out").is_dir()


def test_a_folder_has_one_run_at_a_time_and_what_a_killed_one_left_goes(align, photo, tmp_path, capsys):
    photo(tmp_path / "x.png")
    (tmp_path / "out").mkdir()
    with lock("out"):
        assert align("x.png") == 2
    assert f"out is in use by process {os.getpid()} on " in capsys.readouterr().err
    assert list((tmp_path / "out").iterdir()) == []
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / "out" / f".x.{dead.pid}.pts").touch()
    (tmp_path / "out" / f".mine.{dead.pid}.doc").touch()
    assert align("x.png") == 0
    assert set(tree("out")) == {"x.json", "x.pts", "x_landmarks.png", f".mine.{dead.pid}.doc"}
