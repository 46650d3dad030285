import pytest

from kfacealign.files import replacing


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
