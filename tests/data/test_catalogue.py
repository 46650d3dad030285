import os
import subprocess
import sys
import zlib

import numpy as np
import pytest

from kfacealign.data import catalogue
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.pts import write_points

HEAVY = ("keras", "tensorflow", "jax", "torch", "scipy", "h5py", "matplotlib")
IMPORT = """
import sys
sys.modules.update(dict.fromkeys({heavy}))  # a name that is None there cannot be imported
from kfacealign.data import catalogue, load_dataset
print(len(catalogue.ENTRIES), len(load_dataset("pts", {folder!r}).train))
"""


def test_the_catalogue_and_a_reader_work_without_what_is_heavy(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.jpg").touch()
        points = "\n".join(f"{10 + i} {20 + i % 7}" for i in range(68))
        (tmp_path / part / "a.pts").write_text(f"version: 1\nn_points: 68\n{{\n{points}\n}}\n")
    code = IMPORT.format(heavy=HEAVY, folder=str(tmp_path))
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    entries, faces = printed.split()
    assert int(entries) > 15 and faces == "1"


@pytest.mark.parametrize(
    "error", [IndexError("3"), KeyError("x"), TypeError("no"), MemoryError(), OverflowError(), zlib.error("z")]
)
def test_what_no_reader_foresaw_is_an_error_of_the_file(error):
    def reader(root, *, missing):
        raise error

    words = {name: "" for name in ("title", "normalizer", "crops", "protocol", "layout", "source")}
    entry = Entry(name="x", reader=reader, scheme="ibug68", counts={}, **words)
    with pytest.raises(ValueError, match=rf"^faces: a file is damaged \({type(error).__name__}: ") as told:
        entry.read("faces")
    assert told.value.__cause__ is error


def test_marks_go_to_the_readers(tmp_path):
    points = np.random.default_rng(0).uniform(10, 90, (68, 2))
    points[7] = -1.5
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "a.jpg").touch()
        write_points(tmp_path / part / "a.pts", points)
    for name in ("pts", "menpo"):
        with pytest.warns(UserWarning) if name == "menpo" else np.errstate():
            assert catalogue.load_dataset(name, tmp_path, missing=[-1]).test.weights[0, 7] == 0
    with pytest.raises(ValueError, match="packed has no points that a mark could stand for"):
        catalogue.load_dataset("packed", tmp_path, missing=[-1])


def test_every_reader_takes_a_pipe_for_no_file(tmp_path):
    (tmp_path / "a.jpg").touch()
    os.mkfifo(tmp_path / "a.pts")
    with pytest.raises(OSError, match="not a regular file"):
        catalogue.load_dataset("pts", tmp_path)
