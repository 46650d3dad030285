import io
import os
import sys

import pytest

from kfacealign.console import make_console, shown
from kfacealign.files import read_bytes, replacing


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


def test_names_are_shown_as_text_that_can_be_encoded():
    assert shown("IMG [edited] é.jpg") == "IMG [edited] é.jpg"
    assert shown(os.fsdecode(b"caf\xe9\n.jpg")) == "caf\\xe9\\n.jpg"


def test_what_standard_output_cannot_encode_ends_no_run(monkeypatch):
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    make_console().print("é [b]\udce9.jpg")
    sys.stdout.flush()
    assert sys.stdout.buffer.getvalue() == b"\\xe9 [b]\\udce9.jpg\n"


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
