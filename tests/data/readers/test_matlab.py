import h5py
import numpy as np
import pytest
import scipy.io

from kfacealign.data.readers import matlab


def test_both_versions_show_the_same_array(tmp_path):
    array = np.arange(6.0).reshape(2, 3)
    scipy.io.savemat(tmp_path / "old.mat", {"a": array, "b": array[:1]})
    with h5py.File(tmp_path / "new.mat", "w", userblock_size=512) as file:
        file["a"], file["b"] = array.T, array[:1].T
    for name in ("old.mat", "new.mat"):
        b, a = matlab.load(tmp_path / name, ["b", "a"])
        np.testing.assert_array_equal(a, array)
        np.testing.assert_array_equal(b, array[:1])
    assert [matlab.version(tmp_path / name) for name in ("old.mat", "new.mat")] == ["5", "7.3"]


def test_a_missing_variable_is_named(tmp_path):
    scipy.io.savemat(tmp_path / "old.mat", {"a": 1})
    with pytest.raises(ValueError, match=r"old\.mat: no variable b in it, it holds a"):
        matlab.load(tmp_path / "old.mat", ["a", "b"])


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty"),
        (b"\n<!DOCTYPE html><title>Sign in</title>", r"this is a web page \(HTML\), no MATLAB file.*Download it again"),
        (b"version https://", "no MATLAB file: it begins with b'version"),
    ],
)
def test_what_is_no_matlab_file(tmp_path, content, message):
    (tmp_path / "x.mat").write_bytes(content)
    with pytest.raises(ValueError, match=rf"x\.mat: {message}"):
        matlab.load(tmp_path / "x.mat", ["a"])


def test_a_truncated_file(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"a": np.random.default_rng(0).random((50, 50))}, do_compression=True)
    (tmp_path / "x.mat").write_bytes((tmp_path / "x.mat").read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"x\.mat: the MATLAB file is truncated or damaged"):
        matlab.load(tmp_path / "x.mat", ["a"])
