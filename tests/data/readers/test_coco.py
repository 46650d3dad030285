"""COCO's keypoints, on files written by hand and on MMPose's samples."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.readers.coco import coco

AFLW19 = schemes.get("aflw19")
POINTS = np.random.default_rng(0).uniform(5, 90, (4, 19, 2)).round(2)
CATEGORY = {"id": 1, "name": "face", "keypoints": list(AFLW19.point_names), "skeleton": [[1, 2], [2, 3]]}


def annotation(image, points, flags=2, **more):
    flags = np.broadcast_to(flags, len(points)).tolist()
    keypoints = [value for (x, y), flag in zip(points.tolist(), flags, strict=True) for value in (x, y, flag)]
    return {"id": 7, "image_id": image, "category_id": 1, "keypoints": keypoints, **more}


def content(annotations, names=("a.jpg", "deep/ü b.jpg"), category=CATEGORY):
    images = [{"id": number, "file_name": name, "width": 100, "height": 100} for number, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": [category]}


def write(path, *arguments, **more):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content(*arguments, **more)))
    for name in ("a.jpg", "deep/ü b.jpg"):
        (path.parent / name).parent.mkdir(parents=True, exist_ok=True)
        (path.parent / name).touch()


def test_the_first_pixel_and_boxes(tmp_path):
    """A keypoint at (0, 0) is in the middle of the first pixel; a box at (0, 0) begins at the corner of the image."""
    points = POINTS[0].copy()
    points[:2] = [[0, 0], [9, 19]]
    write(tmp_path / "faces_test.json", [annotation(0, points, bbox=[0, 0, 10, 20])])
    with pytest.warns(UserWarning, match=r"1 points of 1 faces are at \(0,0\)"):
        made = coco(tmp_path)
    np.testing.assert_array_equal(made.test.landmarks[0, :2], [[0.5, 0.5], [9.5, 19.5]])
    np.testing.assert_array_equal(made.test.boxes, [[0, 0, 10, 20]])
    assert made.scheme == AFLW19 and made.test.occluded is None and len(made.train) == 0
    for first, expected in ((1, [8.5, 18.5]), (0.5, [9, 19])):
        made = coco(tmp_path, first_pixel=first, missing=[(0, 0)])
        np.testing.assert_array_equal(made.test.landmarks[0, 1], expected)
        assert made.test.weights[0].tolist() == [0, *[1] * 18]


def test_flags(tmp_path):
    flags = np.full(19, 2)
    flags[:3], flags[3:5] = 0, 1
    write(tmp_path / "train.json", [annotation(0, POINTS[0], flags), annotation(1, POINTS[1])])
    faces = coco(tmp_path).train
    np.testing.assert_array_equal(faces.weights[0], flags > 0)
    np.testing.assert_array_equal(faces.occluded, [flags == 1, np.zeros(19, bool)])
    np.testing.assert_allclose(faces.landmarks[0, 3:], POINTS[0, 3:] + 0.5, atol=1e-5)
    low, high = POINTS[0, 3:].min(0) + 0.5, POINTS[0, 3:].max(0) + 0.5
    np.testing.assert_allclose(faces.boxes[0], [*low, *high], atol=1e-4)


def test_lists_whose_flags_only_say_that_points_are_annotated(tmp_path):
    write(tmp_path / "train.json", [annotation(0, POINTS[0], [0, *[1] * 18]), annotation(1, POINTS[1], 1)])
    faces = coco(tmp_path).train
    assert faces.occluded is None and faces.weights.sum() == 37


def test_parts_folders_and_several_faces_of_a_picture(tmp_path):
    (tmp_path / "images").mkdir()
    write(tmp_path / "images" / "x.json", [])
    (tmp_path / "images" / "x.json").unlink()
    (tmp_path / "annotations").mkdir()
    faces = [annotation(0, POINTS[0], bbox=[1, 2, 3, 4]), annotation(1, POINTS[1]), annotation(1, POINTS[2])]
    (tmp_path / "annotations" / "person_keypoints_train2017.json").write_text(json.dumps(content(faces)))
    (tmp_path / "annotations" / "person_keypoints_val2017.json").write_text(json.dumps(content(faces[:1])))
    (tmp_path / "annotations" / "captions_val2017.json").write_text("[not read")
    made = coco(tmp_path)
    assert (made.train.names, made.test.names) == (["a.jpg", "deep/ü b.jpg", "deep/ü b.jpg"], ["a.jpg"])
    assert made.train.images[1] == str(tmp_path / "images" / "deep" / "ü b.jpg")
    assert made.train.origins[0].endswith("person_keypoints_train2017.json, annotation 7")
    (tmp_path / "images").rename(tmp_path / "train2017")
    with pytest.warns(UserWarning, match="1 photographs are missing"):
        assert coco(tmp_path).train.images[0] == str(tmp_path / "train2017" / "a.jpg")


def test_annotations_without_keypoints_and_crowds_are_passed_over(tmp_path):
    faces = [{"id": 1, "image_id": 0, "category_id": 1, "bbox": [0, 0, 1, 1]}, annotation(0, POINTS[0] * 0, 0)]
    write(tmp_path / "train.json", [*faces, annotation(0, POINTS[0], bbox=[])])
    assert len(coco(tmp_path).train) == 1
    write(tmp_path / "train.json", faces)
    with pytest.raises(FileNotFoundError, match="no annotation in its files has keypoints"):
        coco(tmp_path)


def test_schemes(tmp_path):
    backwards = {**CATEGORY, "keypoints": list(AFLW19.point_names[::-1])}
    write(tmp_path / "train.json", [annotation(0, POINTS[0][::-1])], category=backwards)
    np.testing.assert_allclose(coco(tmp_path).train.landmarks[0], POINTS[0] + 0.5, atol=1e-5)
    write(tmp_path / "train.json", [annotation(0, POINTS[0])], category={**CATEGORY, "keypoints": []})
    assert coco(tmp_path).scheme == AFLW19
    own = {**CATEGORY, "keypoints": ["left_eye", "right_eye", "nose"]}
    write(tmp_path / "train.json", [annotation(0, POINTS[0, :3])], category=own)
    made = coco(tmp_path, scheme="ibug68")
    assert made.scheme.point_names == ("left_eye", "right_eye", "nose") and made.scheme.mirror == (1, 0, 2)
    assert made.scheme.contours[0].points == (0, 1) and made.normalizer == "box"


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c["images"][0].update(file_name="../secret.jpg"), r"image 0: '\.\./secret\.jpg' leads out"),
        (lambda c: c["images"][0].update(file_name="/etc/passwd"), r"image 0: '/etc/passwd' leads out"),
        (lambda c: c["images"][1].update(id=0), "image 1: the id 0 is there twice"),
        (lambda c: c["annotations"][0].update(image_id=5), "annotation 7: image_id is 5, which none of the images has"),
        (lambda c: c["annotations"][0]["keypoints"].pop(), "annotation 7: keypoints has 56 numbers, expected three a point"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, "5"), "annotation 7: keypoints holds '5', expected numbers"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, 1e7), "is a decimal point lost"),
        (lambda c: c["annotations"][0]["keypoints"].__setitem__(0, None), "has null for a point whose flag says"),
        (
            lambda c: c["annotations"][0]["keypoints"].__setitem__(2, 3),
            "annotation 7: a flag of keypoints is 3, expected 0, 1 or 2",
        ),
        (lambda c: c["annotations"][0].update(bbox=[1, 2, 3]), "annotation 7: bbox is 3 values, expected 4 numbers"),
        (lambda c: c["categories"][0]["keypoints"].pop(), "annotation 7: 19 keypoints, its category has 18"),
        (lambda c: c.update(annotations={}), "annotations is an object, expected a list"),
        (lambda c: c.pop("images"), "images is absent, expected a list"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*change places in a mirror")
def test_malformed_files_are_named(tmp_path, change, message):
    made = content([annotation(0, POINTS[0])])
    change(made)
    (tmp_path / "train.json").write_text(json.dumps(made))
    with pytest.raises(ValueError, match=rf"train\.json.*{message}"):
        coco(tmp_path)


@pytest.mark.parametrize(
    "folder, scheme, count, hidden, first",
    [
        ("300w", "ibug68", 2, None, (268.0, 398.882)),
        ("300wlp", "ibug68", 2, None, (144.780853, 253.391785)),
        ("aflw", "aflw19", 2, None, (337.283414, 205.789049)),
        ("cofw", "cofw29", 2, 15, (46.562535, 120.075756)),
        ("lapa", "jd106", 2, None, (406.0, 644.0)),
        ("wflw", "wflw98", 4, None, (440.696106, 132.732559)),
    ],
)
def test_mmpose_samples(folder, scheme, count, hidden, first):
    root = os.environ.get("KFACEALIGN_DATA")
    if not root or not (Path(root) / "mmpose_samples").is_dir():
        pytest.skip("KFACEALIGN_DATA names no folder of real data with mmpose_samples")
    made = coco(Path(root) / "mmpose_samples" / folder)
    assert (made.scheme.name, len(made.train), len(made.test)) == (scheme, 0, count)
    np.testing.assert_allclose(made.test.landmarks[0, 0], np.array(first) + 0.5, atol=1e-4)
    assert (None if made.test.occluded is None else made.test.occluded.sum()) == hidden
    assert all(os.path.isfile(image) for image in made.test.images)
