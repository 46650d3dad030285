"""State dicts are read without PyTorch; the files are written here with stand-ins for PyTorch's names."""

import collections
import io
import os
import pickle
import sys
import types
import zipfile

import numpy as np
import pytest

from kfacealign.state_dicts import MAGIC, VERSION, read_state_dict

NUMBERS = np.arange(24, dtype="<f4")


class Storage:
    """Numbers that tensors share."""

    def __init__(self, key, data):
        self.key, self.data = key, data


class Tensor:
    def __init__(self, storage, offset, shape, strides):
        self.arguments = (storage, offset, shape, strides, False, collections.OrderedDict())


class Writer(pickle.Pickler):
    """Writes tensors and storages as `torch.save` does."""

    def __init__(self, stream, torch):
        super().__init__(stream, protocol=2)
        self.torch = torch

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return "storage", self.torch.FloatStorage, value.key, "cpu", len(value.data), None

    def reducer_override(self, value):
        return (self.torch._utils._rebuild_tensor_v2, value.arguments) if isinstance(value, Tensor) else NotImplemented


@pytest.fixture
def torch(monkeypatch):
    """Modules that have PyTorch's names, so that pickles can name them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    exec("def _rebuild_tensor_v2(*arguments): raise AssertionError('run')", utils.__dict__)
    exec("class FloatStorage: pass", torch.__dict__)
    torch._utils = utils
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    yield torch


def rowed(path, torch, content, storages):
    """The older layout."""
    stream = io.BytesIO()
    for value in (MAGIC, VERSION, {"little_endian": True}):
        pickle.dump(value, stream, protocol=2)
    Writer(stream, torch).dump(content)
    pickle.dump([storage.key for storage in storages], stream, protocol=2)
    for storage in storages:
        stream.write(len(storage.data).to_bytes(8, "little") + storage.data.tobytes())
    path.write_bytes(stream.getvalue())


def zipped(path, torch, content, storages):
    """The newer layout."""
    stream = io.BytesIO()
    Writer(stream, torch).dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", stream.getvalue())
        for storage in storages:
            archive.writestr(f"weights/data/{storage.key}", storage.data.tobytes())


@pytest.mark.parametrize("write", [rowed, zipped])
def test_offsets_and_strides_are_respected(tmp_path, torch, write):
    """Of 0, 1, ... 23: rows of 3 from 6 on, and the same twelve numbers as 4 columns of 3, a transposed view."""
    storage = Storage("0", NUMBERS)
    tensors = collections.OrderedDict(rows=Tensor(storage, 6, (4, 3), (3, 1)), columns=Tensor(storage, 6, (3, 4), (1, 3)))
    tensors["scalar"] = Tensor(storage, 5, (), ())
    write(tmp_path / "a.pth", torch, tensors, [storage])
    found = read_state_dict(tmp_path / "a.pth")
    assert list(found) == ["rows", "columns", "scalar"] and found["scalar"] == 5
    np.testing.assert_array_equal(found["rows"], [[6, 7, 8], [9, 10, 11], [12, 13, 14], [15, 16, 17]])
    np.testing.assert_array_equal(found["columns"], found["rows"].T)
    found["rows"][:] = 0
    assert found["columns"][0, 0] == 6


@pytest.mark.parametrize("write", [rowed, zipped])
@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [((25,), (1,), 0), ((4, 6), (6, 1), 1), ((2, 2), (1,), 0), ((2,), (-1,), 3), ((2**40,), (0,), 0)],
)
def test_tensors_beyond_their_storage_are_refused(tmp_path, torch, write, shape, strides, offset):
    storage = Storage("0", NUMBERS)
    write(tmp_path / "a.pth", torch, {"x": Tensor(storage, offset, shape, strides)}, [storage])
    with pytest.raises(ValueError, match=r"a\.pth is no state dict, or a damaged one: a tensor"):
        read_state_dict(tmp_path / "a.pth")


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("write", [rowed, zipped])
def test_nothing_in_the_file_is_run(tmp_path, torch, write):
    write(tmp_path / "a.pth", torch, {"x": Evil(tmp_path / "canary")}, [])
    with pytest.raises(ValueError, match=r"asks for \w+\.mkdir, which would have to be run"):
        read_state_dict(tmp_path / "a.pth")
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("write", [rowed, zipped])
def test_other_content_is_refused(tmp_path, torch, write):
    write(tmp_path / "a.pth", torch, {"x": 3}, [])
    with pytest.raises(ValueError, match="a dict of tensors alone"):
        read_state_dict(tmp_path / "a.pth")


@pytest.mark.parametrize("write", [rowed, zipped])
def test_every_cut_file_is_refused(tmp_path, torch, write):
    storage, path = Storage("0", NUMBERS), tmp_path / "a.pth"
    write(path, torch, {"x": Tensor(storage, 0, (24,), (1,))}, [storage])
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"a\.pth is no state dict, or a damaged one"):
            read_state_dict(path)
