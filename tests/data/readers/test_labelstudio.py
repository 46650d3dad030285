"""Label Studio's JSON exports."""

import json

import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.readers.labelstudio import labelstudio

AFLW19 = schemes.get("aflw19")
POINTS = np.random.default_rng(0).uniform(5, 90, (4, 19, 2)).round(2)
WIDTH, HEIGHT = 200, 100
OF_IMAGE = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "to_name": "img", "origin": "manual"}


def keypoints(points, parent=None, names=AFLW19.point_names, hidden=()):
    made = []
    for place, (name, (x, y)) in enumerate(zip(names, points.tolist(), strict=True)):
        at = {"x": x / WIDTH * 100, "y": y / HEIGHT * 100, "width": 0.3}
        region = {"id": f"{parent}{place}", **OF_IMAGE, **({"parentID": parent} if parent else {})}
        made.append({**region, "type": "keypointlabels", "from_name": "kp", "value": {**at, "keypointlabels": [name]}})
        if place in hidden:
            made.append({**region, "type": "choices", "from_name": "seen", "value": {**at, "choices": ["hidden"]}})
    return made


def rectangle(name, x, y, width, height, **more):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": ["face"], **more}
    return {"id": name, "type": "rectanglelabels", "from_name": "box", **OF_IMAGE, "value": value}


def task(results, url="/data/local-files/?d=images/a%20b.jpg", number=5, **more):
    return {"id": number, "data": {"image": url}, "annotations": [{"result": results, **more}], "predictions": []}


def write(root, *tasks, name="project-1.json"):
    (root / name).write_text(json.dumps(list(tasks)))
    for place in ("images/a b.jpg", "images/deep/ü.png", "images/0123abcd-c.jpg", "images/d.jpg"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()


def test_the_first_pixel_and_boxes(tmp_path):
    """0.25 % of 200 pixels and 0.5 % of 100 are the middle of the first pixel; a box of 100 % is the whole image."""
    results = keypoints(POINTS[0], "b")
    results[0]["value"].update(x=0.25, y=0.5)
    results[1]["value"].update(x=100, y=100)
    write(tmp_path, task([rectangle("b", 0, 0, 100, 100), *results]))
    faces = labelstudio(tmp_path).train
    np.testing.assert_allclose(faces.landmarks[0, :2], [[0.5, 0.5], [200, 100]])
    np.testing.assert_allclose(faces.boxes[0], [0, 0, 200, 100])
    assert faces.scheme == AFLW19 and faces.names == ["images/a b.jpg"] and faces.occluded is None


def test_several_faces_hidden_points_and_points_that_are_not_there(tmp_path):
    first, second = keypoints(POINTS[0], "b1", hidden=(2,)), keypoints(POINTS[1], "b2")
    results = [*first[1:], rectangle("b2", 10, 20, 30, 40), *second, rectangle("b1", 1, 2, 3, 4)]
    write(tmp_path, task(results))
    faces = labelstudio(tmp_path).train
    assert len(faces) == 2 and faces.weights[0].tolist() == [0, *[1] * 18] and np.argwhere(faces.occluded).tolist() == [[0, 2]]
    np.testing.assert_allclose(faces.boxes, [[2, 2, 8, 6], [20, 20, 80, 60]], atol=1e-5)
    np.testing.assert_allclose(faces.landmarks[1], POINTS[1], atol=1e-4)
    assert faces.origins[1].endswith("project-1.json, task 5, face 1")


def test_one_face_without_groups(tmp_path):
    write(tmp_path, task([*keypoints(POINTS[0]), rectangle("other", 1, 2, 30, 40)]))
    np.testing.assert_allclose(labelstudio(tmp_path).train.boxes, [[2, 2, 62, 42]], atol=1e-5)
    write(tmp_path, task(keypoints(POINTS[0]) + keypoints(POINTS[1])))
    with pytest.raises(ValueError, match=r"task 5, result 19: the label 'left_brow_0' is twice in a face: .*drag its points"):
        labelstudio(tmp_path)


def test_which_annotation_counts(tmp_path):
    made = task(keypoints(POINTS[0]), created_at="2024-01-02T00:00:00Z")
    made["annotations"].append({"result": keypoints(POINTS[1]), "created_at": "2024-01-03T00:00:00Z"})
    made["annotations"].append({"result": keypoints(POINTS[2]), "created_at": "2024-01-04", "was_cancelled": True})
    made["annotations"].append({"result": [], "created_at": "2024-01-05"})
    write(tmp_path, made)
    np.testing.assert_allclose(labelstudio(tmp_path).train.landmarks[0], POINTS[1], atol=1e-4)
    made["annotations"][0]["ground_truth"] = True
    write(tmp_path, made)
    np.testing.assert_allclose(labelstudio(tmp_path).train.landmarks[0], POINTS[0], atol=1e-4)


@pytest.mark.parametrize(
    "url, name",
    [
        ("/data/local-files/?d=images/deep/%C3%BC.png", "images/deep/ü.png"),
        ("/data/local-files/?d=mnt/share/project/images/deep/%C3%BC.png", "images/deep/ü.png"),
        ("/data/upload/12/0123abcd-c.jpg", "0123abcd-c.jpg"),
        ("/data/upload/12/ffffffff-d.jpg", "d.jpg"),
        ("https://example.org/some/where/d.jpg?x=1", "d.jpg"),
        ("s3://bucket/deep/a%20b.jpg", "a b.jpg"),
        ("deep/ü.png", "deep/ü.png"),
    ],
)
def test_addresses_of_photographs(tmp_path, url, name):
    write(tmp_path, task(keypoints(POINTS[0]), url))
    faces = labelstudio(tmp_path).train
    assert faces.names == [name] and faces.images[0].endswith(name.removeprefix("images/"))


def test_the_labelling_interface_tells_the_points(tmp_path):
    """Nobody has labelled the last point of `aflw19`, so that only the interface tells that there is one."""
    write(tmp_path, task(keypoints(POINTS[0][:18], names=AFLW19.point_names[:18])))
    labels = "".join(f'<Label value="{name}" background="red"/>' for name in AFLW19.point_names[::-1])
    (tmp_path / "label_config.xml").write_text(
        f'<View><Image name="img" value="$image"/><KeyPointLabels name="kp">{labels}</KeyPointLabels></View>'
    )
    faces = labelstudio(tmp_path).train
    assert faces.scheme == AFLW19 and faces.weights[0].tolist() == [*[1] * 18, 0]
    (tmp_path / "label_config.xml").unlink()
    assert labelstudio(tmp_path, scheme="aflw19").train.weights[0].tolist() == [*[1] * 18, 0]
    assert labelstudio(tmp_path).scheme.num_points == 18


@pytest.mark.filterwarnings("ignore:.*change places in a mirror")
def test_labels_of_ones_own_are_sorted(tmp_path):
    write(tmp_path, task(keypoints(POINTS[0][:3], names=["p 10", "p 9", "chin"])), name="train.json")
    made = labelstudio(tmp_path)
    assert made.scheme.point_names == ("chin", "p 9", "p 10")
    np.testing.assert_allclose(made.train.landmarks[0], POINTS[0][[2, 1, 0]], atol=1e-4)


def changed(path, value):
    def change(made):
        *steps, last = path
        for step in steps:
            made = made[step]
        made[last] = value

    return change


RESULT = (0, "annotations", 0, "result", 0)


@pytest.mark.parametrize(
    "change, message",
    [
        (changed((0, "data", "image"), "/data/local-files/?d=../../etc/passwd"), "task 5: '../../etc/passwd' leads out"),
        (changed((0, "data", "image"), "http://[x"), "task 5: 'http://.x' is no address"),
        (changed((0, "data"), {"text": "hello"}), "task 5: no image in its data"),
        (changed((*RESULT, "image_rotation"), 90), "task 5, result 0: the image is rotated in Label Studio"),
        (changed((*RESULT, "original_width"), 0), "task 5, result 0: an image of 0 x 100 pixels"),
        (changed((*RESULT, "value", "x"), "5"), "task 5, result 0: x is '5', expected a whole number or a number"),
        (changed((*RESULT, "value", "x"), None), "task 5, result 0: x is null"),
        (changed((*RESULT, "value", "keypointlabels"), []), "task 5, result 0: keypointlabels has 0 labels"),
        (changed((0, "annotations"), None), "task 5: annotations is absent or no list: export from Label Studio as JSON, not"),
    ],
)
def test_malformed_files_are_named(tmp_path, change, message):
    made = [task(keypoints(POINTS[0]))]
    change(made)
    write(tmp_path, *made)
    with pytest.raises(ValueError, match=f"project-1.json, {message}"):
        labelstudio(tmp_path)


def test_other_json_files_are_told_apart(tmp_path):
    (tmp_path / "a.json").write_text('{"images": []}')
    with pytest.raises(ValueError, match=r"a\.json: no list of tasks: export from Label Studio as JSON"):
        labelstudio(tmp_path)
    write(tmp_path, task([]), name="a.json")
    with pytest.raises(FileNotFoundError, match="no keypoint has a label"):
        labelstudio(tmp_path)
