"""YOLO-pose datasets in Ultralytics' layout."""

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.readers.yolo import yolo

AFLW19 = schemes.get("aflw19")
WIDTH, HEIGHT = 200, 100
POINTS = np.random.default_rng(0).uniform(5, 90, (4, 19, 2)).round(2)
FLIP = f"flip_idx: {list(AFLW19.mirror)}\n"


def row(points, flags=None, box=(0.5, 0.5, 0.25, 0.5), kind=0):
    words = [kind, *box]
    for place, (x, y) in enumerate(points):
        words += [x / WIDTH, y / HEIGHT, *([] if flags is None else [flags[place]])]
    return " ".join(map(str, words)) + "\n"


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imencode(path.suffix, np.zeros((HEIGHT, WIDTH, 3), "uint8"))[1].tofile(str(path))


def write(root, labels, yaml="train: images/train\nval: images/val\nkpt_shape: [19, 3]\n" + FLIP):
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    for name, text in labels.items():
        picture(root / "images" / name)
        if text is not None:
            path = (root / "labels" / name).with_suffix(".txt")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


ALL = [2] * 19


def test_the_first_pixel_and_boxes(tmp_path):
    """1/400 of 200 pixels and 1/200 of 100 are the middle of the first pixel; 1 is the far edge of the image."""
    points = POINTS[0].copy()
    points[:2] = [[0.5, 0.5], [200, 100]]
    write(tmp_path, {"train/a b.png": row(points, ALL, (0.5, 0.5, 1, 1)), "val/x.png": row(POINTS[1], ALL)})
    made = yolo(tmp_path)
    np.testing.assert_allclose(made.train.landmarks[0, :2], [[0.5, 0.5], [200, 100]])
    np.testing.assert_allclose([made.train.boxes[0], made.test.boxes[0]], [[0, 0, 200, 100], [75, 25, 125, 75]])
    assert made.scheme == AFLW19 and made.train.occluded is None and made.train.names == ["images/train/a b.png"]


def test_flags_several_faces_and_pictures_without_any(tmp_path):
    flags = [0, 1, *[2] * 17]
    labels = {"train/deep/ü.png": row(POINTS[0], flags) + "\n" + row(POINTS[1], ALL, kind=1), "train/none.png": None}
    write(tmp_path, {**labels, "train/empty.png": "", "val/a.png": row(POINTS[2], ALL)})
    faces = yolo(tmp_path).train
    assert len(faces) == 2 and faces.weights[0].tolist() == [0, *[1] * 18] and np.argwhere(faces.occluded).tolist() == [[0, 1]]
    assert [origin.rpartition("labels/")[2] for origin in faces.origins] == ["train/deep/ü.txt:1", "train/deep/ü.txt:3"]


def test_points_of_two_numbers(tmp_path):
    points = POINTS[0].copy()
    points[4] = -1
    write(tmp_path, {"train/a.png": row(points)}, "train: images/train\nkpt_shape: [19, 2]\n" + FLIP)
    assert yolo(tmp_path).train.weights[0].tolist() == [*[1] * 4, 0, *[1] * 14]


def test_names_of_points(tmp_path):
    names = "\n".join(f"    - {name}" for name in AFLW19.point_names[::-1])
    yaml = f"path: .\ntrain: images/train\nkpt_shape: [19, 3]\nnames: [face]\nkpt_names:\n  0:\n{names}\n"
    write(tmp_path, {"train/a.png": row(POINTS[0][::-1], ALL)}, yaml)
    np.testing.assert_allclose(yolo(tmp_path).train.landmarks[0], POINTS[0], atol=1e-4)
    own = "train: images/train\nkpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\nkpt_names: {0: [one eye, other eye, nose]}\n"
    write(tmp_path, {"train/a.png": row(POINTS[0][:3], ALL[:3])}, own)
    scheme = yolo(tmp_path).scheme
    assert scheme.point_names == ("one eye", "other eye", "nose") and scheme.mirror == (1, 0, 2)


def test_layouts_of_other_tools(tmp_path):
    """Roboflow's paths lead one folder up, Ultralytics' own files name a folder; a list of images may stand for a folder."""
    picture(tmp_path / "train" / "images" / "a.png")
    (tmp_path / "train" / "labels").mkdir()
    (tmp_path / "train" / "labels" / "a.txt").write_text(row(POINTS[0], ALL))
    end = "\nkpt_shape: [19, 3]\n" + FLIP
    (tmp_path / "data.yaml").write_text(f"train: ../train/images{end}")
    assert len(yolo(tmp_path).train) == 1
    (tmp_path / "data.yaml").write_text(f"path: train\ntrain: images\nval:{end}")
    assert len(yolo(tmp_path).train) == 1
    (tmp_path / "list.txt").write_text("./train/images/a.png\n")
    (tmp_path / "data.yaml").rename(tmp_path / "mine.yml")
    (tmp_path / "mine.yml").write_text(f"test: list.txt{end}")
    assert yolo(tmp_path).test.names == ["train/images/a.png"] == yolo(tmp_path / "mine.yml").test.names


def test_labels_without_image_and_images_that_cannot_be_read(tmp_path):
    labels = {"train/a.png": row(POINTS[0], ALL), "train/b.png": row(POINTS[1], ALL), "train/c.png": row(POINTS[2], ALL)}
    write(tmp_path, labels, "train: images/train\nkpt_shape: [19, 3]\n" + FLIP)
    (tmp_path / "images" / "train" / "b.png").unlink()
    (tmp_path / "images" / "train" / "c.png").write_bytes(b"words")
    with pytest.warns(UserWarning) as warned:
        assert yolo(tmp_path).train.names == ["images/train/a.png"]
    messages = " ".join(str(warning.message) for warning in warned)
    assert "1 .txt without an image, left out" in messages and "b.txt" in messages
    assert "1 images cannot be read, their faces are left out" in messages and "c.png" in messages


@pytest.mark.parametrize(
    "label, message",
    [
        ("0 0.5 0.5 0.1 0.1 0.5\n", r"a\.txt:1: 6 numbers, expected 62"),
        (row(POINTS[0], ALL) + row(POINTS[0], [3, *ALL[1:]]), r"a\.txt:2: a flag of a point is 3"),
        (row(POINTS[0], ALL).replace("0.25", "nan", 1), r"a\.txt:1: width is 'nan'"),
        (row(POINTS[0], ALL).replace("0.25", "1,5", 1), r"a\.txt:1: width is '1,5'"),
    ],
)
def test_malformed_labels_are_named(tmp_path, label, message):
    write(tmp_path, {"train/a.png": label}, "train: images/train\nkpt_shape: [19, 3]\n" + FLIP)
    with pytest.raises(ValueError, match=message):
        yolo(tmp_path)


@pytest.mark.parametrize(
    "yaml, message",
    [
        ("train: /etc\nkpt_shape: [19, 3]\n", "'/etc' leads out"),
        ("train: ../../..\nkpt_shape: [19, 3]\n", "leads out"),
        ("train: images/train\n", "kpt_shape is None, expected"),
        ("train: images/train\nkpt_shape: [19, 4]\n", r"kpt_shape is \[19, 4\]"),
        ("train: images/train\nkpt_shape: [3, 3]\nkpt_names: {0: [a, b]}\n", "kpt_names has not 3 names"),
        ("train: images/train\nkpt_shape: [3, 3]\nflip_idx: [0, 1]\n", "flip_idx has not 3 whole numbers"),
        ("train: {a: 1}\nkpt_shape: [19, 3]\n", "is no folder of images"),
        ("- train\n", "expected keys"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "anchors"),
        ("train: !!python/object/apply:os.system ['touch owned']\n", "tags"),
        ("[" * 5000, "levels"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*change places in a mirror")
def test_malformed_descriptions_are_named(tmp_path, yaml, message):
    write(tmp_path, {"train/a.png": row(POINTS[0], ALL)}, yaml)
    with pytest.raises(ValueError, match=rf"data\.yaml.*{message}"):
        yolo(tmp_path)


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no \.yaml file; expected data\.yaml"):
        yolo(tmp_path)
    (tmp_path / "data.yaml").write_text("train: images/train\nkpt_shape: [19, 3]\n")
    with pytest.raises(FileNotFoundError, match=r"data\.yaml: .*images/train is missing"):
        yolo(tmp_path)
