"""From the words of a command line to units: what is found, in which order, and what is refused with a reason."""

import io
import sys

import numpy as np
import pytest

from kfacealign.cli.labelling import storage, units
from kfacealign.data import image_files

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def folder(tmp_path):
    """b.jpg, a.png, below/c.jpg, shards/0.tar, rows.parquet, and what is none of them."""
    grey = np.full((8, 8, 3), 90, np.uint8)
    for name in ("b.jpg", "a.png", "below/c.jpg", ".hidden/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        image_files.write(tmp_path / name, grey)
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards/0.tar").write_bytes(b"")
    (tmp_path / "notes.md").write_text("nothing")
    parquet.write_table(pa.table({"image": [b"1"] * 5, "label": range(5)}), tmp_path / "rows.parquet", row_group_size=2)
    return tmp_path


def found(*words, out="nowhere"):
    inputs = units.find([str(word) for word in words], out=[out, f"{out}.parts"] if str(out).endswith(".parquet") else [out])
    return [[path.rpartition("/")[2] for path in part] for part in (inputs.pictures, inputs.tars, inputs.parquets)]


def test_a_folder_is_read_with_its_subfolders(folder):
    assert found(folder) == [["a.png", "b.jpg", "c.jpg"], ["0.tar"], ["rows.parquet"]]


def test_patterns_files_and_links(folder):
    (folder / "link.jpg").symlink_to(folder / "b.jpg")
    assert found(folder / "*.jpg", folder / "b.jpg") == [["b.jpg"], [], []]
    assert found(f"{folder}/shards/*.tar", folder / "a.png") == [["a.png"], ["0.tar"], []]


def test_the_folder_of_the_results_is_not_searched(folder):
    assert found(folder, out=folder / "below")[0] == ["a.png", "b.jpg"]
    (folder / "rows.parquet.parts").mkdir()
    (folder / "rows.parquet.parts" / "shard-00000.parquet").write_bytes(b"")
    for words in ([folder], [folder / "*.parquet", folder / "*.jpg"]):
        assert found(*words, out=folder / "rows.parquet")[2] == []


def test_urls_of_files_folders_and_patterns(folder):
    spaced = folder / "with space%20.jpg"
    (folder / "b.jpg").rename(spaced)
    url = f"file://{folder}"
    pictures, tars, parquets = found(url)
    assert (pictures, tars, parquets) == (["a.png", "c.jpg", "with%20space%2520.jpg"], ["0.tar"], ["rows.parquet"])
    assert found(f"{url}/*.png", f"{url}/with%20space%2520.jpg")[0] == ["a.png", "with%20space%2520.jpg"]


def test_urls_of_the_web_are_pictures_unless_they_are_shards():
    urls = ["https://host/a.jpg?sign=/x*[1]", "http://host/id/7", "https://host/b.tar?x=y.jpg", "https://host/c.parquet"]
    inputs = units.find(urls, out=["nowhere"])
    assert (inputs.pictures, inputs.tars, inputs.parquets) == (urls[:2], urls[2:3], urls[3:])


def test_storages_of_fsspec():
    memory = pytest.importorskip("fsspec").filesystem("memory")
    memory.pipe({"/bucket/a b.jpg": b"1", "/bucket/below/c.png": b"2", "/bucket/notes.md": b"3", "/bucket/_x/d.png": b"4"})
    inputs = units.find(["memory://bucket"], out=["nowhere"])
    assert inputs.pictures == ["memory://bucket/a b.jpg", "memory://bucket/below/c.png"]
    assert [storage.content_of(url) for url in inputs.pictures] == [b"1", b"2"]
    assert units.find(["memory://bucket/*.jpg"], out=["nowhere"]).pictures == inputs.pictures[:1]


@pytest.mark.parametrize("word", ["nothing-there/", "*.gif", "file:///nothing/there", "nobodyknows://x/y"])
def test_what_gives_nothing_is_told(word, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if word == "nothing-there/":
        (tmp_path / word).mkdir()
    with pytest.raises(ValueError, match=r"no picture was found: .+: ."):
        units.find([word], out=["out"])


def test_lists_come_from_files_and_standard_input(folder, monkeypatch):
    (folder / "list.txt").write_bytes(b"a.png\r\n\n-\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"b.jpg\0new\nline.jpg\0")))
    words, told = units.expanded(["list.txt", "-", "below"])
    assert words == ["a.png", "./-", "b.jpg", "new\nline.jpg", "below"]
    assert [text[:5] for text in told] == ["list ", "list ", "below"] and told[0] != told[1]
    (folder / "list.txt").write_bytes(b"\n")
    with pytest.raises(ValueError, match=r"list\.txt: the list is empty"):
        units.expanded(["list.txt"])


def inputs(pictures=(), parquets=()):
    return units.Inputs(pictures=list(pictures), tars=["x.tar"], parquets=list(parquets), problems=[("*.gif", "none")], notes=[])


def test_pictures_are_shared_out():
    for count, workers, sizes in ((0, 2, []), (40, 2, [16, 16, 8]), (320, 2, [20] * 16), (100_000, 2, [1000] * 100)):
        planned = list(units.planned(inputs(map(str, range(count))), workers=workers))
        assert [len(unit.paths) for unit in planned if unit.kind == "files"] == sizes
        assert [path for unit in planned[:-2] for path in unit.paths] == [str(number) for number in range(count)]
        assert [(unit.kind, unit.paths, unit.reason) for unit in planned[-2:]] == [
            ("tar", ["x.tar"], ""),
            ("refused", ["*.gif"], "none"),
        ]


def test_row_groups_are_shared_out(folder, monkeypatch):
    monkeypatch.setattr(units, "MOST", 3)
    path = str(folder / "rows.parquet")
    planned = [unit for unit in units.planned(inputs(parquets=[path]), workers=1) if unit.kind == "parquet"]
    assert [(unit.groups, unit.first, unit.column) for unit in planned] == [([0, 1], 0, "image"), ([2], 4, "image")]


BYTES = pa.array([b"1"])
STRUCT = pa.array([{"bytes": b"1", "path": "x"}])
COLUMNS = [
    ({"picture": BYTES, "n": [1]}, None, "picture"),
    ({"whatever": STRUCT, "n": [1]}, None, "whatever"),
    ({"mask": BYTES, "image": BYTES}, None, "image"),
    ({"mask": BYTES, "image": BYTES}, "mask", "mask"),
    ({"one": BYTES, "two": BYTES}, None, "several do; name it by --column: one .binary., two .binary."),
    ({"n": [1]}, None, "no column holds the bytes of image files"),
    ({"n": [1]}, "image", "there is no column 'image'; there are n .int64."),
    ({"n": ["x"]}, "n", "the column 'n' holds string, not the bytes"),
    ({"image": pa.array([{"path": "x"}])}, None, "no column holds the bytes"),
]


@pytest.mark.parametrize(("columns", "asked", "expected"), COLUMNS)
def test_the_column_of_pictures(columns, asked, expected, tmp_path):
    path = str(tmp_path / "x.parquet")
    parquet.write_table(pa.table(columns), path)
    unit = next(unit for unit in units.planned(inputs(parquets=[path]), workers=1, column=asked) if unit.paths == [path])
    if expected in columns:
        assert (unit.kind, unit.column) == ("parquet", expected)
    else:
        assert unit.kind == "refused"
        with pytest.raises(ValueError, match=expected):
            raise ValueError(unit.reason)


def test_a_file_that_is_no_parquet_is_refused_and_named(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 nothing of it PAR1")
    paths = [str(tmp_path / "x.parquet"), str(tmp_path / "missing.parquet")]
    planned = [unit for unit in units.planned(inputs(parquets=paths), workers=1) if unit.paths[0] in paths]
    assert [unit.kind for unit in planned] == ["refused"] * 2
    assert "no Parquet file" in planned[0].reason and planned[1].reason == "No such file or directory"
