"""The pictures of a unit: of hostile archives and odd tables nothing but pictures and reasons comes."""

import gzip
import io
import os
import tarfile

import pytest

from kfacealign.cli.labelling import storage, tar_source
from kfacealign.cli.labelling.pictures import pictures
from kfacealign.cli.labelling.units import Unit

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def listed(kind, path, start=0, base="", **options):
    found = list(pictures(Unit(kind=kind, paths=[str(path)], **options), start, base=str(base)))
    assert [picture.number for picture in found] == list(range(start, start + len(found)))
    return [(picture.path, picture.content or picture.reason) for picture in found]


def archive(path, members, mode="w"):
    with tarfile.open(path, mode, format=tarfile.PAX_FORMAT) as file:
        for name, content in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def link(name, kind, target):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


NAMES = ["../../../outside.jpg", "/etc/passwd.png", "new\nline.jpg", "a" * 300 + ".jpg", "twice.jpg", "twice.jpg", "UPPER.JPEG"]


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", ".tar.xz"])
def test_members_of_any_name_are_read_and_nothing_is_written(suffix, tmp_path):
    """Names lead nowhere; links, folders, devices and labels are no pictures."""
    others = [(link("link.jpg", tarfile.SYMTYPE, "/etc/passwd"), b""), (link("hard.jpg", tarfile.LNKTYPE, "twice.jpg"), b"")]
    others += [(link("folder.jpg", tarfile.DIRTYPE, ""), b""), (link("pipe.jpg", tarfile.FIFOTYPE, ""), b""), ("x.json", b"{}")]
    mode = f"w:{suffix[5:]}"
    path = archive(tmp_path / f"x{suffix}", [*others, *((name, name.encode() * 3) for name in NAMES), others[-1]], mode)
    before = sorted(tmp_path.rglob("*"))
    expected = [(f"{path}/{name}", name.encode() * 3) for name in NAMES]
    assert listed("tar", path) == expected
    assert listed("tar", path, 3) == expected[3:]
    assert listed("tar", f"file://{path}") == [(f"file://{name}", content) for name, content in expected]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_relative_path_is_meant_from_the_folder_of_the_plan(tmp_path):
    archive(tmp_path / "x.tar", [("a.jpg", b"1")])
    assert listed("tar", "x.tar", base=tmp_path) == [("x.tar/a.jpg", b"1")]


def test_an_archive_that_is_cut_gives_what_it_has(tmp_path):
    path = archive(tmp_path / "x.tar", [("a.jpg", b"1" * 600), ("b.jpg", b"2" * 600)])
    content = path.read_bytes()
    header = "a header is cut or damaged, or the end is missing"
    garbage = content[:1536] + b"x" * 512 + content[2048:]
    for cut, told in (
        (content[:2236], "it ends within 'b.jpg'"),
        (content[:1836], header),
        (content[:1536], header),
        (garbage, header),
    ):
        path.write_bytes(cut)
        (name, first), (where, reason) = listed("tar", path)
        assert (name, first, where) == (f"{path}/a.jpg", b"1" * 600, str(path))
        assert reason.startswith("the archive is damaged behind") and told in reason
    packed = gzip.compress(content)
    path.write_bytes(packed[: len(packed) // 2])
    assert "the archive is damaged" in listed("tar", path)[-1][1]


@pytest.mark.parametrize("content", [b"", b"\0" * 1024, b"no archive at all" * 100, b"\x1f\x8bnothing", b"BZ"])
def test_what_is_no_archive_is_one_failure(content, tmp_path):
    (tmp_path / "x.tar").write_bytes(content)
    ((path, reason),) = listed("tar", tmp_path / "x.tar")
    assert path == str(tmp_path / "x.tar") and ("archive" in reason)


def test_a_member_beyond_the_limit_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST", 1000)
    path = archive(tmp_path / "x.tar", [("a.jpg", b"1" * 1001), ("b.jpg", b"2" * 1000)])
    assert listed("tar", path) == [(f"{path}/a.jpg", "larger than 0 MiB"), (f"{path}/b.jpg", b"2" * 1000)]


def test_a_header_that_would_fill_the_memory_ends_the_archive(tmp_path):
    """An extended header says itself how long it is: 2**40 bytes here, of which none is read."""
    header = tarfile.TarInfo("long")
    header.type, header.size = tarfile.XHDTYPE, 2**40
    first = archive(tmp_path / "x.tar", [("a.jpg", b"1")]).read_bytes()[:1024]
    path = tmp_path / "y.tar"
    path.write_bytes(first + header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 4096)
    (_, content), (_, reason) = listed("tar", path)
    assert content == b"1" and "a header of 1,099,511,627,776 bytes" in reason


def test_a_sparse_member_is_no_picture(tmp_path):
    """GNU's sparse files may be said to be of any size; one of 2**50 bytes must not be filled up."""
    info = tarfile.TarInfo("sparse.jpg")
    info.type, info.size = tarfile.GNUTYPE_SPARSE, 512
    buffer = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    buffer[386:410] = b"%011o\0%011o\0" % (0, 512)
    buffer[483:495] = b"\x80" + (2**50).to_bytes(11, "big")
    buffer[148:156] = b"%06o\0 " % (sum(buffer[:148]) + 8 * 32 + sum(buffer[156:512]))
    path = tmp_path / "x.tar"
    path.write_bytes(bytes(buffer) + b"1" * 512 + b"\0" * 1024)
    assert listed("tar", path) == [(f"{path}/sparse.jpg", "a sparse file is not read")]


def test_the_stream_goes_forwards_alone():
    stream = tar_source.Forward(io.BytesIO(b"0123456789"))
    assert (stream.read(2), stream.seek(5), stream.read(2), stream.tell()) == (b"01", 5, b"56", 7)
    with pytest.raises(ValueError, match="backwards"):
        stream.seek(6)
    with pytest.raises(ValueError, match="a header of"):
        stream.read(2**25)


def test_rows_of_a_table(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST", 5)
    path = tmp_path / "x.parquet"
    values = [b"0", None, b"2" * 6, b"3", b""] + [b"%d" % number for number in range(5, 40)]
    parquet.write_table(pa.table({"image": values}), path, row_group_size=20)
    found = listed("parquet", path, column="image", groups=[0, 1])
    assert [name for name, _ in found] == [f"{path}#{row}" for row in range(40)]
    assert [content for _, content in found[:4]] == [b"0", "there is no picture in this row", "larger than 0 MiB", b"3"]
    assert [content for _, content in found[5:]] == values[5:]
    second = listed("parquet", path, 3, column="image", groups=[1], first=20)
    assert second == found[23:]


def test_rows_of_structs(tmp_path):
    path = tmp_path / "x.parquet"
    values = [{"bytes": b"0", "path": "a.jpg"}, None, {"bytes": None, "path": "c.jpg"}]
    parquet.write_table(pa.table({"image": values}), path)
    nothing = "there is no picture in this row"
    expected = [(f"{path}#0", b"0"), (f"{path}#1", nothing), (f"{path}#2", nothing)]
    assert listed("parquet", path, column="image", groups=[0]) == expected


def test_a_table_damaged_since_it_was_planned_is_one_failure(tmp_path):
    path = tmp_path / "x.parquet"
    parquet.write_table(pa.table({"image": [os.urandom(2000) for _ in range(40)]}), path, compression="none")
    content = bytearray(path.read_bytes())
    content[4:200] = b"\xff" * 196  # the first page's header
    path.write_bytes(content)
    ((name, reason),) = listed("parquet", path, column="image", groups=[0])
    assert name == str(path) and "damaged" in reason


def test_files_and_what_was_refused(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"1")
    os.mkfifo(tmp_path / "pipe.jpg")
    paths = ["a.jpg", "missing.jpg", "pipe.jpg", f"file://{tmp_path}/a.jpg", f"file://{tmp_path}/gone.jpg", "what://ever.jpg"]
    found = list(pictures(Unit(kind="files", paths=paths), 0, base=str(tmp_path)))
    assert [picture.path for picture in found] == paths
    assert [picture.content for picture in found] == [b"1", None, None, b"1", None, None]
    assert [picture.reason for picture in found[:3]] == ["", "No such file or directory", "not a regular file"]
    assert all(picture.reason for picture in found[4:])
    (refused,) = pictures(Unit(kind="refused", paths=["*.gif"], reason="there is none"), 0, base="")
    assert (refused.path, refused.content, refused.reason) == ("*.gif", None, "there is none")
