import io
import os
import types

import pytest

from kfacealign.cli import photo_list
from kfacealign.cli.photo_list import find_photos, split_list


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A function that writes empty files in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)

    def write(*names):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()

    return write


def found(*words, out="out"):
    return find_photos(words, out=out, is_overlay=lambda path, searched: path.endswith("drawn.png"))


def test_folders_are_read_with_their_subfolders(tree):
    tree("p/b.JPG", "p/a.png", "p/n/x.jpeg", "p/n/x.txt", "p/.h.jpg", "p/.thumbs/t.jpg", "p/a/z.jpg", "p/dir.jpg/in.jpg")
    photos = found("p")
    assert photos.below == ["a/z.jpg", "a.png", "b.JPG", "dir.jpg/in.jpg", "n/x.jpeg"]
    assert photos.paths == [f"p/{name}" for name in photos.below] and photos.problems == photos.notes == []
    os.chdir("p")
    assert found(".").paths == photos.below


def test_links_are_followed_once(tree):
    tree("p/z/x.jpg", "elsewhere/y.jpg", "elsewhere/more/k.jpg")
    os.symlink("..", "p/z/up")
    os.symlink(".", "p/z/self")
    os.symlink("z", "p/a")  # sorts before the folder itself
    os.symlink("../elsewhere", "p/e")
    os.symlink("../p", "elsewhere/back")
    os.symlink("z/x.jpg", "p/link.jpg")
    os.symlink("nowhere.jpg", "p/broken.jpg")
    photos = found("p")
    assert photos.below == ["broken.jpg", "e/more/k.jpg", "e/y.jpg", "z/x.jpg"]
    assert "1 link to photographs that are listed anyway" in photos.notes[0]


def test_a_web_of_links_is_read_in_no_time(tree):
    for number in range(40):
        tree(f"p/{number}/x.jpg")
        for other in range(40):
            os.symlink(f"../{other}", f"p/{number}/to{other}")
    assert len(found("p").paths) == len(found("p/**/*.jpg").paths) == 40


def test_a_photograph_is_listed_once(tree, tmp_path):
    tree("p/x.jpg", "p/y.jpg")
    assert found("p/y.jpg", "p", "./p/x.jpg", tmp_path / "p" / "y.jpg", "p/*.jpg").paths == ["p/y.jpg", "p/x.jpg"]


@pytest.mark.parametrize(
    ("words", "below"),
    [
        (["p"], ["a/x.jpg", "b/x.jpg"]),
        (["p/a", "p/b"], ["a/x.jpg", "b/x.jpg"]),
        (["p/*/*.jpg"], ["a/x.jpg", "b/x.jpg"]),
        (["p/a/x.jpg", "p/b/x.jpg"], ["a/x.jpg", "b/x.jpg"]),
        (["p/a/x.jpg"], ["x.jpg"]),
        (["p/a", "y.jpg"], ["p/a/x.jpg", "y.jpg"]),
        (["p/a/../b/x.jpg"], ["x.jpg"]),
        (["p/*/../../y.jpg"], ["y.jpg"]),
    ],
)
def test_names_are_below_what_all_inputs_have_in_common(tree, words, below):
    tree("p/a/x.jpg", "p/b/x.jpg", "y.jpg")
    assert found(*words).below == below


@pytest.mark.parametrize(
    ("pattern", "paths"),
    [
        ("p/*.jpg", ["p/a.jpg", "p/b.jpg"]),
        ("p/?.jp*", ["p/a.jpg", "p/b.jpg"]),
        ("p/[!a].jpg", ["p/b.jpg"]),
        ("p/**/*.jpg", ["p/a.jpg", "p/b.jpg", "p/n/c.jpg", "p/n/m/d.jpg"]),
        ("**/m/*.jpg", ["p/n/m/d.jpg"]),
        ("p/**", ["p/a.jpg", "p/b.jpg", "p/e.png", "p/n/c.jpg", "p/n/m/d.jpg"]),
        ("p/*", ["p/a.jpg", "p/b.jpg", "p/e.png", "p/n/c.jpg", "p/n/m/d.jpg"]),
        ("p/e*", ["p/e.png"]),  # and not its .json
        ("p/*.raw", ["p/q.raw"]),  # a suffix that is asked for
        ("p/**/**/d.jpg", ["p/n/m/d.jpg"]),
    ],
)
def test_patterns(tree, pattern, paths):
    tree("p/a.jpg", "p/b.jpg", "p/n/c.jpg", "p/n/m/d.jpg", "p/e.png", "p/e.json", "p/q.raw", "p/.h.jpg", "p/.t/k.jpg")
    assert found(pattern).paths == paths
    assert found(os.path.abspath(pattern)).paths == [os.path.abspath(path) for path in paths]


def test_what_exists_goes_before_a_pattern(tree):
    tree("IMG [e].jpg", "IMG e.jpg", "d[1]/x.jpg", "d1/y.jpg", "*.jpg")
    assert found("IMG [e].jpg").paths == ["IMG [e].jpg"]
    assert found("d[1]").paths == ["d[1]/x.jpg"]
    assert found("d[1]/*.jpg").paths == ["d[1]/x.jpg"]
    assert found("*.jpg").paths == ["*.jpg"]


def test_the_folder_of_results_is_passed_over(tree):
    tree("p/x.jpg", "p/out/x_picture.png", "p/out/n/y.png")
    for words in (["p"], ["p/*"], ["p/**/*.*"], ["p/**"]):
        assert found(*words, out="p/out").paths == ["p/x.jpg"]
    assert found("p/out", out="p/out").paths == ["p/out/n/y.png", "p/out/x_picture.png"]  # unless it is what was given
    assert len(found("p", out="p").paths) == 3


def test_pictures_of_an_earlier_run_are_passed_over_and_counted(tree):
    tree("p/x.jpg", "p/x_drawn.png")
    photos = found("p")
    assert (
        photos.paths == ["p/x.jpg"] and "1 picture of earlier results" in photos.notes[0] and "p/x_drawn.png" in photos.notes[0]
    )


@pytest.mark.parametrize(
    "content",
    [
        b"p/x.jpg\np/y z.jpg\n",
        b"p/x.jpg\r\n\r\np/y z.jpg",
        b"\xef\xbb\xbfp/x.jpg\np/y z.jpg\n./p/x.jpg\n",
        b"p/x.jpg\0p/y z.jpg\0",
    ],
)
def test_a_list_on_standard_input(tree, monkeypatch, content):
    tree("p/x.jpg", "p/y z.jpg", "first.jpg")
    monkeypatch.setattr(photo_list.sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(content)))
    assert found("first.jpg", "-").paths == ["first.jpg", "p/x.jpg", "p/y z.jpg"]


def test_names_in_a_list():
    assert split_list(b"a\nb\0c\n\0-\0") == ["a\nb", "c\n", "./-"]
    assert split_list(b"caf\xe9.jpg\n") == [os.fsdecode(b"caf\xe9.jpg")]
    assert split_list(b"\n\n") == []


def test_what_gives_nothing_is_named(tree):
    tree("p/x.jpg", "empty/notes.txt")
    photos = found("p", "none*.jpg", "empty", "gone.jpg")
    assert photos.paths == ["p/x.jpg", "gone.jpg"]  # a file that is named is missed when it is read
    assert [path for path, _ in photos.problems] == ["none*.jpg", "empty"]


def test_a_folder_that_cannot_be_read_is_named(tree, monkeypatch):
    tree("p/x.jpg", "p/secret/y.jpg")
    listdir = os.listdir

    def refuse(folder):
        if str(folder).endswith("secret"):
            raise PermissionError(13, "Permission denied", folder)
        return listdir(folder)

    monkeypatch.setattr(os, "listdir", refuse)
    photos = found("p")
    assert photos.paths == ["p/x.jpg"] and photos.problems == [("p/secret", "Permission denied")]


@pytest.mark.parametrize(("words", "reason"), [(["no*.jpg"], "matches no photograph"), (["e"], "no photograph in this folder")])
def test_nothing_found_is_an_error(tree, words, reason):
    tree("e/notes.txt")
    with pytest.raises(ValueError, match=f"^no photograph was found: .*{reason}"):
        found(*words)


def test_an_empty_list_is_an_error(monkeypatch):
    monkeypatch.setattr(photo_list.sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(b"\n")))
    with pytest.raises(ValueError, match="the list is empty"):
        found("-")
