import io
import zipfile

import numpy as np
import pytest

from kfacealign.data.readers import npz

ARRAYS = {
    "a": np.arange(12.0).reshape(3, 4),
    "b": np.asfortranarray(np.arange(6).reshape(2, 3)).astype(">f4"),
    "names": np.array(["x", "ü"]),
    "number": np.float32(3),
    "nothing": np.zeros((0, 5)),
    "flags": np.array([True, False]),
}


def member(array=None, *, header=None, content=b""):
    file = io.BytesIO()
    if header is None:
        np.save(file, array)
    else:
        np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + content


def archive(path, **members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_it_reads_what_numpy_wrote(tmp_path, save):
    save(tmp_path / "a.npz", **ARRAYS)
    read = npz.read(tmp_path / "a.npz", [*ARRAYS, "other"])
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(read[name], array)
        assert read[name].shape == array.shape and read[name].dtype.isnative


def header(descr="<f8", shape=(2,)):
    return {"descr": descr, "fortran_order": False, "shape": shape}


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"no array", "a is no .npy"),
        (b"", "a is no .npy"),
        (member(header=header("|O"), content=b"\x80\x04N."), "a holds neither numbers nor texts"),
        (member(header=header([("x", "<f8")]), content=bytes(16)), "a holds neither numbers nor texts"),
        (member(header=header("<c16"), content=bytes(32)), "a holds neither numbers nor texts"),
        (member(header=header(), content=bytes(15)), r"a has not the bytes of an array of shape \(2,\)"),
        (member(header=header(shape=(2**36, 2**36)), content=bytes(16)), "a has not the bytes of an array"),
        (member(header=header("<U1"), content=b"\xff" * 8), "a holds what is no text"),
        (b"\x93NUMPY\2\0\xff\xff\xff\x7f", "a has a header of"),
        (b"\x93NUMPY\1\0\x50\0" + b"(" * 80, "a holds neither numbers nor texts"),
    ],
)
def test_what_is_no_plain_array_is_named(tmp_path, content, reason):
    with pytest.raises(ValueError, match=rf"a\.npz: not an \.npz file of plain arrays, or a damaged one \({reason}"):
        npz.read(archive(tmp_path / "a.npz", a=content), ["a"])


def test_more_than_the_limit_is_refused_before_it_is_taken(tmp_path, monkeypatch):
    assert npz.LIMIT <= 2**28
    monkeypatch.setattr(npz, "LIMIT", 2**20)
    path = archive(tmp_path / "a.npz", a=member(np.zeros(2**16)), b=member(np.zeros(2**16)))
    assert npz.read(path, ["a"])["a"].shape == (2**16,)
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        npz.read(path, ["a", "b"])


def test_a_wrong_checksum_and_a_cut_file(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.arange(100.0))
    sound = path.read_bytes()
    place = sound.index(np.float64(50).tobytes())
    for content in (sound[:place] + b"\1" + sound[place + 1 :], sound[:-30], b"PK\3\4", b""):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"a\.npz: not an \.npz file"):
            npz.read(path, ["a"])


def test_encrypted_members_and_other_compressions(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.ones(3))
    content = path.read_bytes()
    for offset, value, reason in ((8, b"\1", "a is encrypted"), (10, b"\x0e", "a is compressed in a way that is not read")):
        changed = bytearray(content)
        changed[content.index(b"PK\1\2") + offset : content.index(b"PK\1\2") + offset + 1] = value
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=reason):
            npz.read(path, ["a"])


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_array_that_is_there_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        for _ in range(2):
            file.writestr("a.npy", member(np.ones(2)))
    with pytest.raises(ValueError, match="a is there twice"):
        npz.read(tmp_path / "a.npz", ["a"])
