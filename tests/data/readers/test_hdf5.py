"""HDF5 files of strangers: what the library reads is read alike, other files are left alone, damage is an error."""

import random
import signal
import sys
import types

import h5py
import numpy as np
import pytest

from kfacealign.data import packed
from kfacealign.data.readers import hdf5, matlab


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.h5"


@pytest.mark.parametrize(
    "options",
    [{}, {"chunks": (2, 50, 40)}, {"chunks": (2, 50, 40), "compression": "gzip"}, {"chunks": (1, 9, 7), "shuffle": True}],
    ids=["one block", "chunks", "compressed", "shuffled"],
)
@pytest.mark.parametrize("before", [0, 512])
def test_pictures_are_read_without_the_library(path, options, before):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 110, 90), "uint8")
    with h5py.File(path, "w", userblock_size=before) as file:
        file.create_dataset("picture", data=pixels, **options)
    layout = hdf5.read(path, layouts=["picture"]).layouts["picture"]
    np.testing.assert_array_equal(hdf5.read_layout(path, layout), pixels)


def test_arrays_texts_and_attributes(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(6, dtype=">i4").reshape(2, 3)
        file["group/b"] = np.ones(2, bool)
        file.create_dataset("texts", data=["x", b"\xff"], dtype=h5py.string_dtype())
        file.attrs.update({"name": "é", "count": 3, "share": 0.5})
    content = hdf5.read(path, arrays=["a", "group/*", "texts", "other"], attributes=True)
    np.testing.assert_array_equal(content.arrays["a"], np.arange(6).reshape(2, 3))
    assert content.arrays["group/b"].tolist() == [True, True] and content.arrays["texts"] == ["x", "\udcff"]
    assert content.attributes == {"name": "é", "count": 3, "share": 0.5} and content.names == ["a", "group", "texts"]


def test_no_other_file_is_opened(path, tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["a"] = np.arange(3.0)
    (tmp_path / "secret.bin").write_bytes(bytes(24))
    virtual = h5py.VirtualLayout((3,), "f8")
    virtual[:] = h5py.VirtualSource(tmp_path / "secret.h5", "a", (3,))
    with h5py.File(path, "w") as file:
        file["linked"] = h5py.ExternalLink("secret.h5", "a")
        file["soft"] = h5py.SoftLink("/inner")
        file["inner"] = np.arange(3.0)
        file.create_virtual_dataset("virtual", virtual)
        file.create_dataset("elsewhere", (3,), "f8", external=[(str(tmp_path / "secret.bin"), 0, 24)])
    for name, reason in (
        ("linked", "linked is a link to another place"),
        ("soft", "soft is a link to another place"),
        ("virtual", "virtual has its numbers in another file"),
        ("elsewhere", "elsewhere has its numbers in another file"),
    ):
        with pytest.raises(ValueError, match=rf"a\.h5: .*{reason}"):
            hdf5.read(path, **{"layouts" if name == "elsewhere" else "arrays": [name]})


def test_sizes_are_checked_before_memory_is_taken(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (2**20, 2**10), "f8", chunks=(2**10, 2**10), compression="gzip")
        cells = file.create_dataset("IsT", (1, 1), h5py.ref_dtype)
        cells[0, 0] = file.create_dataset("picture", (3, 2**20, 2**10), "u1", chunks=(1, 2**10, 2**10)).ref
    with pytest.raises(ValueError, match="larger than 1024 MiB"):
        hdf5.read(path, arrays=["a"])
    with pytest.raises(ValueError, match="larger than 256 MiB"):
        matlab.read_image(str(path), 0)


def answers(monkeypatch, code):
    """The other process runs this code instead."""
    real = hdf5.subprocess.run

    def run(command, **options):
        return real([sys.executable, "-c", code], **{**options, "timeout": min(options["timeout"], 1)})

    monkeypatch.setattr(hdf5, "subprocess", types.SimpleNamespace(run=run, TimeoutExpired=hdf5.subprocess.TimeoutExpired))


@pytest.mark.parametrize(
    "code, reason",
    [
        (f"import os; os.kill(os.getpid(), {int(signal.SIGSEGV)})", f"reading it ended with status -{int(signal.SIGSEGV)}"),
        ("import time; time.sleep(60)", "reading it did not end"),
        (f"import os; os.kill(os.getpid(), {int(signal.SIGXCPU)})", "reading it takes too long"),
        ("raise SystemExit(3)", "reading it ended with status 3"),
    ],
)
def test_a_process_that_dies_or_hangs_is_an_error_of_the_file(path, monkeypatch, code, reason):
    with h5py.File(path, "w") as file:
        file["a"] = 1.0
    answers(monkeypatch, code)
    with pytest.raises(ValueError, match=rf"a\.h5: the HDF5 file is damaged: {reason}"):
        hdf5.read(path, arrays=["a"])


def test_random_damage_is_an_error_of_the_file(path):
    with h5py.File(path, "w", userblock_size=512) as file:
        cells = file.create_dataset("IsT", (1, 1), h5py.ref_dtype)
        cells[0, 0] = file.create_dataset("#refs#/0", data=np.ones((3, 60, 50), "u1"), chunks=(1, 30, 50), compression="gzip").ref
        file["phisT"] = np.ones((87, 1))
    sound, refused = path.read_bytes(), 0
    for seed in range(6):
        draw, content = random.Random(seed), bytearray(sound)
        for _ in range(64):
            content[draw.randrange(512, len(content))] = draw.randrange(256)
        path.write_bytes(content[: draw.randrange(600, len(content))] if seed % 3 == 0 else content)
        try:
            matlab.load(path, ["phisT"])
            matlab.read_image(str(path), 0)
        except (ValueError, OSError):
            refused += 1
    assert refused > 3


def test_a_packed_dataset_whose_parts_do_not_fit(path):
    def write(**changes):
        with h5py.File(path, "w") as file:
            arrays = {
                "images": np.zeros((2, 8, 8, 3), "u1"),
                "landmarks": np.random.default_rng(0).uniform(0, 8, (2, 68, 2)).astype("f4"),
                "weights": np.ones((2, 68), "f4"),
                "boxes": np.array([[0, 0, 8, 8.0]] * 2, "f4"),
                "matrices": np.tile(np.eye(2, 3), (2, 1, 1)),
                "subsets/hard": np.array([0]),
            }
            for name, array in (arrays | changes).items():
                if array is not None and name not in ("train", "scheme"):
                    file[name] = array
            for name in ("names", "origins"):
                file.create_dataset(name, data=["a", "b"], dtype=h5py.string_dtype())
            file.create_group("attributes")
            said = {"format": "kfacealign packed faces 1", "dataset": "x", "scheme": "ibug68", "normalizer": "inter_ocular"}
            file.attrs.update(said | {"box": "file", "train": 1, "size": 8, "enlarge": 1.25})
            file.attrs.update({name: value for name, value in changes.items() if name in ("train", "scheme")})

    write()
    assert len(packed(path).test) == 1
    for changes, reason in (
        ({"weights": np.ones((2, 67), "f4")}, r"weights has shape \(2, 67\), expected \(2, 68\)"),
        ({"landmarks": None}, "it has no landmarks"),
        ({"images": np.zeros((1, 8, 8, 3), "u1")}, "it has 1 crops and 2 landmarks"),
        ({"images": np.zeros((2, 8, 8, 3), "f4")}, r"images has shape \(2, 8, 8, 3\) and type <f4"),
        ({"subsets/hard": np.array([5])}, "subset hard is no list of positions of 1 test faces"),
        ({"train": 7}, "it has 2 faces, 7 of them for training"),
        ({"scheme": "ibug99"}, "it has the scheme 'ibug99'"),
        ({"landmarks": np.full((2, 68, 2), np.nan, "f4")}, r"a\.h5#0 \(a\): landmark 0 is \[nan, nan\]"),
    ):
        write(**changes)
        with pytest.raises(ValueError, match=reason):
            packed(path)
