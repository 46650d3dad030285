"""What the readers of annotation tools' files share: names of photographs, parts, faces that are collected."""

import os

import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.readers import label_files
from kfacealign.data.readers.label_files import Collected, annotation_files, find_image, inside, part_of

AFLW19 = schemes.get("aflw19")
POINTS = np.random.default_rng(0).uniform(5, 90, (40, 19, 2)).round(2)


@pytest.mark.parametrize("name", ["a.jpg", "deep/er/ä b.jpg", "a..b.jpg", "./a.jpg", "xy:z.jpg", "a#1.jpg", "..a/b.jpg"])
def test_names_below_the_folder(name):
    assert inside("here", name) == os.path.normpath(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "/etc/passwd",
        "../a.jpg",
        "a/../../b.jpg",
        "a/..",
        "..\\a.jpg",
        "C:\\a.jpg",
        "c:/a",
        "\\\\host\\a.jpg",
        "a/",
        "a\0b",
    ]
    + ["x" * 5000, "\ud800.jpg"],
)
def test_names_that_lead_out_of_the_folder_or_nowhere(name):
    with pytest.raises(ValueError, match=r"here: .*(leads out of the dataset's folder|names no photograph)"):
        inside("here", name)


def test_photographs_are_looked_for_in_folders_by_their_order(tmp_path):
    for name in ("one/a.jpg", "two/a.jpg", "two/deep/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    bases = [str(tmp_path / "none"), str(tmp_path / "one"), str(tmp_path / "two")]
    assert find_image(bases, "a.jpg") == str(tmp_path / "one" / "a.jpg")
    assert find_image(bases, "deep\\b.jpg") == str(tmp_path / "two" / "deep" / "b.jpg")
    assert find_image(bases, "absent.jpg") == str(tmp_path / "none" / "absent.jpg")


def test_words_for_parts():
    words = {
        "train.json": "train",
        "person_keypoints_val2017.json": "val",
        "wflw_testing.xml": "test",
        "Training-set.json": "train",
    }
    words |= {"latest.json": "", "constraints.xml": "", "result.json": "", "valid": "val"}
    assert {name: part_of(f"test/{name}") for name in words} == words


def test_files_of_annotations(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a directory nor a file"):
        annotation_files(tmp_path / "nowhere", ".json")
    (tmp_path / "a.jpg").touch()
    with pytest.raises(FileNotFoundError, match=r"holds no NAME\.json file, .* it holds a\.jpg"):
        annotation_files(tmp_path, ".json")
    (tmp_path / "b.json").touch()
    assert annotation_files(tmp_path, ".json") == (str(tmp_path), [str(tmp_path / "b.json")])
    (tmp_path / "annotations").mkdir()
    inner = tmp_path / "annotations" / "c.json"
    inner.touch()
    assert annotation_files(tmp_path, ".json") == (str(tmp_path), [str(inner)])
    assert annotation_files(inner, ".json") == (str(tmp_path), [str(inner)])


def collected(parts):
    found = Collected("Tool")
    for place, part in enumerate(parts):
        found.add(part, f"{place}.jpg", f"{place}.jpg", f"list:{place}", POINTS[place])
    return found


@pytest.mark.filterwarnings("ignore:Tool. .* photographs are missing")
def test_parts(tmp_path):
    made = collected(["train", "val", "train", ""]).dataset(str(tmp_path), AFLW19, offset=0)
    assert (made.train.names, made.test.names) == (["0.jpg", "2.jpg", "3.jpg"], ["1.jpg"])
    with pytest.warns(UserWarning, match=r"val \(1 faces\) and test \(2\) the test part is test; val is left out"):
        made = collected(["train", "val", "test", "test"]).dataset(str(tmp_path), AFLW19, offset=0)
    assert (made.train.names, made.test.names) == (["0.jpg"], ["2.jpg", "3.jpg"])
    made = collected([""] * 40).dataset(str(tmp_path), AFLW19, offset=0)
    assert len(collected([""]).dataset(str(tmp_path), AFLW19, offset=0).test) == 0
    again = collected([""] * 40).dataset(str(tmp_path), AFLW19, offset=0)
    assert (len(made.train), len(made.test)) == (36, 4) and made.test.names == again.test.names
    assert len(collected(["test"]).dataset(str(tmp_path), AFLW19, offset=0).train) == 0


@pytest.mark.filterwarnings("ignore:Tool. .* photographs are missing")
def test_the_faces_of_a_photograph_stay_in_one_part(tmp_path):
    found = Collected("Tool")
    for place in range(40):
        found.add("", f"{place // 4}.jpg", "x", f"list:{place}", POINTS[place])
    made = found.dataset(str(tmp_path), AFLW19, offset=0)
    assert len(made.test) == 4 and len(set(made.test.images)) == 1 and not set(made.test.images) & set(made.train.images)


@pytest.mark.filterwarnings("ignore:Tool. .* photographs are missing")
def test_boxes_hidden_points_and_points_that_are_not_annotated(tmp_path):
    found = Collected("Tool")
    points = POINTS[0].copy()
    points[3] = np.nan
    hidden = np.arange(19) < 4
    found.add("train", "a", "a", "list:1", points, hidden=hidden, box=np.array([1.0, 2, 30, 40]))
    found.add("train", "b", "b", "list:2", POINTS[1])
    made = found.dataset(str(tmp_path), AFLW19, offset=0).train
    assert made.weights[0].tolist() == [1, 1, 1, 0, *[1] * 15] and made.occluded[0].tolist() == [True] * 3 + [False] * 16
    np.testing.assert_allclose(made.boxes, [[1, 2, 30, 40], [*POINTS[1].min(0), *POINTS[1].max(0)]], atol=1e-4)
    assert found.dataset(str(tmp_path), AFLW19, offset=0, says_hidden=False).train.occluded is None
    marked = found.dataset(str(tmp_path), AFLW19, offset=0.5, missing=[POINTS[1][7] - 0.5]).train
    assert marked.weights[1, 7] == 0 and marked.weights[1].sum() == 18
    with pytest.raises(ValueError, match=r"list:3: its box is \[5.0, 5.0, 5.0, 5.0\]"):
        found.add("train", "c", "c", "list:3", POINTS[2], box=np.full(4, 5.0))


def test_all_faces_together_have_a_limit(monkeypatch):
    monkeypatch.setattr(label_files, "MOST", 40)
    with pytest.raises(ValueError, match="list:2: more than 40 points in all faces"):
        collected(["train", "train", "train"])


def test_faces_of_fewer_than_two_points_are_left_out(tmp_path):
    found = Collected("Tool")
    lonely = np.full((19, 2), np.nan)
    lonely[2] = 7
    found.add("train", "a", "a", "list:1", lonely)
    with (
        pytest.raises(FileNotFoundError, match="no face with landmarks"),
        pytest.warns(UserWarning, match="1 faces with fewer than two points, left out: list:1"),
    ):
        found.dataset(str(tmp_path), AFLW19, offset=0)
    with pytest.raises(ValueError, match="1 faces with fewer than two points"):
        found.dataset(str(tmp_path), AFLW19, offset=0, strict=True)
