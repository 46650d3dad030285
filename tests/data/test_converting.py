"""From a dataset to each format and back: nothing of landmarks, weights, hidden points and boxes is lost but what is told."""

import json
import os
import re
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from kfacealign import schemes
from kfacealign.data import catalogue, converting
from kfacealign.data.converting import FORMATS, convert
from kfacealign.data.faces import Dataset, Faces

NAMES = ["train/a b.png", "train/ü/Zoë (1).png", "train/ü/a b.png", "test/c#1.png"]
SIZES = [(101, 83), (200, 150), (64, 71), (97, 301)]
FIVE = schemes.Scheme(
    "five",
    point_names=("left eye", "right eye", "nose", "left mouth & more", "right mouth & more"),
    mirror=(1, 0, 2, 4, 3),
    regions={"all": (0, 1, 2, 3, 4)},
    contours=(),
    eye_corners=None,
    pupils=None,
)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    for name, (width, height) in zip(NAMES, SIZES, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.random.default_rng(width).integers(0, 255, (height, width, 3), "uint8")).save(root / name)
    return root


def made(root, scheme="aflw19", *, hidden=True, whole=False, low=1, high=63):
    """Five faces in four photographs: two in one of them, points that are not annotated, boxes that are not the landmarks'."""
    scheme, rng = schemes.get(scheme), np.random.default_rng(0)
    parts = []
    for places in ([0, 1, 1, 2], [3]):
        shape = (len(places), scheme.num_points)
        points = rng.uniform(low, high, (*shape, 2)).astype("float32")
        points = np.floor(points) + 0.5 if whole else points
        weights = (rng.random(shape) > 0.2).astype("float32")
        weights[:, :2] = 1
        occluded = (rng.random(shape) > 0.7) & (weights > 0) if hidden else None
        boxes = np.array([1, 2, 60, 62]) + np.arange(len(places))[:, None] + (0 if whole else np.float32(0.3))
        images = [str(root / NAMES[place]) for place in places]
        parts.append(Faces(scheme, images, points, weights=weights, occluded=occluded, boxes=boxes))
    return Dataset(name="made", scheme=scheme, train=parts[0], test=parts[1], subsets={}, enlarge=1.25, normalizer="box")


def assert_same(faces, again, folder, *, exactly=True, hidden=True):
    """The same faces in any order; photographs of the same bytes."""
    keys = [points[weights > 0].mean() for points, weights in zip(faces.landmarks, faces.weights, strict=True)]
    others = np.array([points[weights > 0].mean() for points, weights in zip(again.landmarks, again.weights, strict=True)])
    order = [int(np.argmin(np.abs(others - key))) for key in keys]
    assert sorted(order) == list(range(len(faces)))
    again = again[order]
    np.testing.assert_array_equal(again.weights, faces.weights)
    known = faces.weights > 0
    if exactly:
        np.testing.assert_array_equal(again.landmarks[known], faces.landmarks[known])
        np.testing.assert_array_equal(again.boxes, faces.boxes)
    else:
        assert np.abs(again.landmarks - faces.landmarks)[known].max() <= 0.5 and np.abs(again.boxes - faces.boxes).max() <= 0.5
    if faces.occluded is None or not hidden:
        assert again.occluded is None
    else:
        np.testing.assert_array_equal(again.occluded, faces.occluded)
    for image, other in zip(faces.images, again.images, strict=True):
        assert os.path.commonpath([os.path.realpath(folder), os.path.realpath(other)]) == os.path.realpath(folder)
        assert Path(image).read_bytes() == Path(other).read_bytes()


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind != "dlib"])
@pytest.mark.parametrize("scheme", ["aflw19", "ibug68", FIVE], ids=["aflw19", "ibug68", "five"])
def test_nothing_is_lost(photographs, tmp_path, kind, scheme):
    dataset = made(photographs, scheme)
    told = convert(dataset, kind, tmp_path / "out", progress=False)
    assert (told.faces, told.photographs, told.failures) == (5, 4, [])
    again = catalogue.get(kind).read(tmp_path / "out", scheme=FIVE if kind == "ljson" and scheme is FIVE else None)
    assert again.scheme.point_names == dataset.scheme.point_names and again.scheme.mirror == dataset.scheme.mirror
    for part in ("train", "test"):
        assert_same(getattr(dataset, part), getattr(again, part), tmp_path / "out")
    assert bool(told.notes) == (kind == "ljson" and scheme is FIVE)


def test_dlib_has_whole_pixels(photographs, tmp_path):
    dataset = made(photographs, whole=True, hidden=False)
    told = convert(dataset, "dlib", tmp_path / "out", progress=False)
    again = catalogue.get("dlib").read(tmp_path / "out")
    for part in ("train", "test"):
        assert_same(getattr(dataset, part), getattr(again, part), tmp_path / "out")
    assert len(told.notes) == 1 and "called by numbers" in told.notes[0]
    dataset = made(photographs)
    told = convert(dataset, "dlib", tmp_path / "other", progress=False)
    again = catalogue.get("dlib").read(tmp_path / "other")
    for part in ("train", "test"):
        assert_same(getattr(dataset, part), getattr(again, part), tmp_path / "other", exactly=False, hidden=False)
    assert "rounded to whole pixels" in told.notes[1] and "hidden is lost" in told.notes[2]
    numbers = re.findall(r'(?:x|y|top|left|width|height)="([^"]*)"', (tmp_path / "other" / "train.xml").read_text())
    assert len(numbers) > 100 and all(re.fullmatch("-?[0-9]+", number) for number in numbers)


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("yolo", "dlib")])
def test_points_outside_of_the_photograph_are_kept(photographs, tmp_path, kind):
    dataset = made(photographs, hidden=False, low=-40, high=400)
    convert(dataset, kind, tmp_path / "out", progress=False)
    again = catalogue.get(kind).read(tmp_path / "out")
    for part in ("train", "test"):
        assert_same(getattr(dataset, part), getattr(again, part), tmp_path / "out")


def test_yolo_takes_no_points_outside_of_the_photograph(photographs, tmp_path):
    dataset = made(photographs, hidden=False, low=-9, high=120)
    told = convert(dataset, "yolo", tmp_path / "out", progress=False)
    sizes = {NAMES[place]: np.array(SIZES[place]) for place in range(4)}
    lost = 0
    for part in ("train", "test"):
        faces = getattr(dataset, part)
        size = np.stack([sizes[os.path.relpath(image, photographs)] for image in faces.images])[:, None]
        lost += int(((faces.weights > 0) & ((faces.landmarks < 0) | (faces.landmarks > size)).any(-1)).sum())
    assert lost and told.notes == [f"{lost} points outside of their photograph are written as not annotated, as YOLO takes none"]
    again = catalogue.get("yolo").read(tmp_path / "out")
    kept = sum(float(part.weights.sum()) for part in (again.train, again.test))
    assert kept == sum(float(part.weights.sum()) for part in (dataset.train, dataset.test)) - lost
    for path in (tmp_path / "out" / "labels").rglob("*.txt"):
        for line in path.read_text().splitlines():
            values = np.array(line.split(), float)
            assert values.min() >= 0 and np.delete(values, np.s_[7::3]).max() <= 1


@pytest.mark.parametrize("kind", list(FORMATS))
def test_one_part_alone(photographs, tmp_path, kind):
    dataset = made(photographs)
    dataset.train = dataset.train[:0]
    convert(dataset, kind, tmp_path / "out", progress=False)
    again = catalogue.get(kind).read(tmp_path / "out")
    assert (len(again.train), len(again.test)) == (0, 1)


def test_coco_by_hand(photographs, tmp_path):
    """The middle of the first pixel is (0, 0) in keypoints; the box is measured from the corner of the image."""
    points = np.full((1, 19, 2), 10.25)
    points[0, :3] = [[0.5, 0.5], [12.3, 7.1], [0, 0]]
    weights = np.array([[1, 1, 0, *[1] * 16]])
    faces = Faces("aflw19", [str(photographs / NAMES[0])], points, weights=weights, boxes=[[0, 0, 10.5, 20]])
    dataset = made(photographs)
    dataset.train = faces
    convert(dataset, "coco", tmp_path / "out", progress=False)
    content = json.loads((tmp_path / "out" / "annotations" / "train.json").read_text())
    assert content["annotations"][0]["keypoints"][:12] == [0, 0, 2, 11.8, 6.6, 2, 0, 0, 0, 9.75, 9.75, 2]
    assert content["annotations"][0]["bbox"] == [0, 0, 10.5, 20] and content["annotations"][0]["num_keypoints"] == 18
    assert content["images"] == [{"id": 1, "file_name": "train/a b.png", "width": 101, "height": 83}]
    assert content["categories"][0]["keypoints"] == list(dataset.scheme.point_names)
    convert(dataset, "ljson", tmp_path / "menpo", progress=False)
    groups = json.loads((tmp_path / "menpo" / "train" / "a b.ljson").read_text())["groups"]
    assert groups["face"]["landmarks"]["points"][:4] == [[0, 0], [6.6, 11.8], [None, None], [9.75, 9.75]]
    assert groups["face_box"]["landmarks"]["points"] == [[-0.5, -0.5], [19.5, -0.5], [19.5, 10], [-0.5, 10]]
    convert(dataset, "dlib", tmp_path / "dlib", progress=False)
    text = (tmp_path / "dlib" / "train.xml").read_text()
    assert '<part name="00" x="0" y="0"/>' in text and '<part name="01" x="12" y="7"/>' in text and 'name="02"' not in text
    convert(dataset, "cvat", tmp_path / "cvat", progress=False)
    text = (tmp_path / "cvat" / "annotations.xml").read_text()
    assert 'outside="0" occluded="0" points="0.5,0.5"' in text and 'points="12.3,7.1"' in text and 'outside="1"' in text
    assert 'xtl="0.0" ytl="0.0" xbr="10.5" ybr="20.0"' in text
    convert(dataset, "yolo", tmp_path / "yolo", progress=False)
    words = (tmp_path / "yolo" / "labels" / "train" / "a b.txt").read_text().split()
    assert [float(word) for word in words[1:7]] == pytest.approx([5.25 / 101, 10 / 83, 10.5 / 101, 20 / 83, 0.5 / 101, 0.5 / 83])
    convert(dataset, "labelstudio", tmp_path / "ls", progress=False)
    results = json.loads((tmp_path / "ls" / "train.json").read_text())[0]["annotations"][0]["result"]
    assert results[1]["value"]["x"] == pytest.approx(50 / 101) and results[1]["value"]["y"] == pytest.approx(50 / 83)
    assert (results[1]["original_width"], results[1]["original_height"], results[1]["parentID"]) == (101, 83, results[0]["id"])


def test_what_no_format_holds_is_told(photographs, tmp_path):
    dataset = made(photographs)
    dataset.train.attributes = {"blur": np.ones(4, bool)}
    dataset.subsets = {"pose": np.arange(1)}
    told = convert(dataset, "coco", tmp_path / "out", progress=False)
    assert told.notes == ["coco holds no subsets and attributes of faces: pose, blur"]


def test_photographs_that_cannot_be_read(photographs, tmp_path):
    dataset = made(photographs)
    dataset.train.images[0] = str(tmp_path / "absent.png")
    told = convert(dataset, "coco", tmp_path / "out", progress=False)
    assert told.faces == 4 and told.failures[0][0].endswith("absent.png")
    dataset = made(tmp_path)
    with pytest.raises(ValueError, match=r"no face to convert whose photograph can be read, the first: .*a b\.png"):
        convert(dataset, "coco", tmp_path / "other", progress=False)
    assert sorted(os.listdir(tmp_path)) == ["out"]


def test_what_exists_is_not_replaced(photographs, tmp_path):
    dataset, out = made(photographs), tmp_path / "out"
    out.mkdir()
    convert(dataset, "coco", out, progress=False)  # an empty folder is none that could lose something
    before = (out / "annotations" / "train.json").read_bytes()
    dataset.train.landmarks[:] += 1
    with pytest.raises(FileExistsError, match="exists: choose another --out, or --overwrite"):
        convert(dataset, "coco", out, progress=False)
    assert (out / "annotations" / "train.json").read_bytes() == before
    convert(dataset, "coco", out, overwrite=True, progress=False)
    assert (out / "annotations" / "train.json").read_bytes() != before
    (out / "images" / "mine.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds images/mine\.txt, which is not written again"):
        convert(dataset, "coco", out, overwrite=True, progress=False)
    assert (out / "images" / "mine.txt").read_text() == "mine" and os.listdir(tmp_path) == ["out"]
    for path in (photographs, photographs.parent, photographs / "train"):
        with pytest.raises(FileExistsError, match="holds the photographs that are converted"):
            convert(dataset, "ljson", path, overwrite=True, progress=False)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(out)
    for name in ("file", "link"):
        with pytest.raises(FileExistsError, match="is no folder"):
            convert(dataset, "coco", tmp_path / name, overwrite=True, progress=False)
    with pytest.raises(ValueError, match="no format 'voc'; there are coco"):
        convert(dataset, "voc", tmp_path / "voc", progress=False)


def test_every_format_is_a_dataset():
    assert set(converting.FORMATS) <= set(catalogue.CATALOGUE) and set(converting.FORMATS) <= set(catalogue.DATASETS)
