"""CVAT's XML for images, as its exporter writes it."""

import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.data.readers.cvat import cvat

NAMES = schemes.get("aflw19").point_names
POINTS = np.random.default_rng(0).uniform(5, 90, (4, 19, 2)).round(2)
MORE = 'source="manual" z_order="0"'


def head(names=NAMES, subset=""):
    of_points = "".join(f"<label><name>{n}</name><type>points</type><parent>face</parent></label>" for n in names)
    labels = f"<label><name>face</name><type>skeleton</type><svg>&lt;circle&gt;</svg></label>{of_points}"
    return f"<version>1.1</version><meta><task><subset>{subset}</subset><labels>\n{labels}\n</labels></task></meta>\n"


def skeleton(points, names=NAMES, group="", outside=(), occluded=()):
    lines = [f'<skeleton label="face" {MORE}{group and f""" group_id="{group}" """}>']
    for place, (name, (x, y)) in enumerate(zip(names, points, strict=True)):
        seen = f'outside="{int(place in outside)}" occluded="{int(place in occluded)}"'
        lines.append(f'<points label="{name}" source="manual" {seen} points="{x:.2f},{y:.2f}"></points>')
    return "\n".join([*lines, "</skeleton>"])


def box(group, corners):
    texts = " ".join(f'{name}="{value:.2f}"' for name, value in zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))
    return f'<box label="head" source="manual" occluded="0" {texts} z_order="0" group_id="{group}"></box>'


def write(root, images, first=None, name="annotations.xml"):
    root.mkdir(exist_ok=True)
    body = "".join(
        f'<image id="{n}" {attributes} width="100" height="90">\n{inner}\n</image>\n'
        for n, (attributes, inner) in enumerate(images)
    )
    text = f'<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n{head() if first is None else first}{body}</annotations>\n'
    (root / name).write_text(text, encoding="utf-8")
    for place in ("a b.jpg", "ü/b.png"):
        (root / "images" / place).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / place).touch()


def test_the_first_pixel_and_boxes(tmp_path):
    """CVAT measures from the corner of the image: the middle of the first pixel is at 0.5, the far edge at the width."""
    points = POINTS[0].copy()
    points[:2] = [[0.5, 0.5], [100, 90]]
    write(tmp_path, [('name="a b.jpg"', skeleton(points, group=3) + box(3, (0, 0, 100, 90)))])
    faces = cvat(tmp_path).train
    np.testing.assert_array_equal(faces.landmarks[0, :2], [[0.5, 0.5], [100, 90]])
    np.testing.assert_array_equal(faces.boxes[0], [0, 0, 100, 90])
    assert faces.scheme.name == "aflw19" and faces.occluded is None and faces.images == [str(tmp_path / "images" / "a b.jpg")]


def test_groups_hidden_points_and_subsets(tmp_path):
    two = skeleton(POINTS[0], group=1, outside=(0, 18), occluded=(0, 4)) + box(2, (1, 2, 3, 4)) + skeleton(POINTS[1], group=2)
    write(tmp_path, [('name="ü/b.png" subset="Train"', two), ('name="a b.jpg" subset="Validation"', skeleton(POINTS[2]))])
    made = cvat(tmp_path)
    assert (made.train.names, made.test.names) == (["ü/b.png"] * 2, ["a b.jpg"])
    assert np.flatnonzero(made.train.weights[0] == 0).tolist() == [0, 18]
    assert np.argwhere(made.train.occluded).tolist() == [[0, 4]]
    low, high = POINTS[0, 1:18].min(0), POINTS[0, 1:18].max(0)
    np.testing.assert_allclose(made.train.boxes, [[*low, *high], [1, 2, 3, 4]], atol=1e-4)
    lines = (tmp_path / "annotations.xml").read_text().splitlines()
    places = [int(origin.rpartition(":")[2]) for origin in made.train.origins]
    assert all("<skeleton" in lines[place - 1] for place in places)


def test_the_order_of_the_points_is_that_of_the_labels(tmp_path):
    """A scheme of numbers: the head's order counts, and without a head the numbers themselves."""
    names = [str(number) for number in range(1, 69)]
    points = np.random.default_rng(1).uniform(5, 80, (68, 2)).round(2)
    shuffled = np.random.default_rng(2).permutation(68)
    inner = skeleton(points[shuffled], [names[place] for place in shuffled])
    for first in (head(names), ""):
        write(tmp_path, [('name="a b.jpg"', inner)], first)
        faces = cvat(tmp_path).train
        assert faces.scheme.name == "ibug68"
        np.testing.assert_allclose(faces.landmarks[0], points, atol=1e-5)


def test_shapes_of_several_points(tmp_path):
    text = ";".join(f"{x:.2f},{y:.2f}" for x, y in POINTS[0])
    inner = f'<points label="face" occluded="0" points="{text}" {MORE}/><points label="dot" points="1,2"/>'
    write(tmp_path, [('name="a b.jpg"', inner)], "")
    faces = cvat(tmp_path).train
    np.testing.assert_allclose(faces.landmarks[0], POINTS[0], atol=1e-5)
    assert faces.scheme.name == "aflw19"


@pytest.mark.parametrize(
    "images, message",
    [
        ([('name="../x.jpg"', skeleton(POINTS[0]))], r"xml:\d+: '\.\./x\.jpg' leads out"),
        ([('name="a b.jpg" subset="../.."', skeleton(POINTS[0]))], r"xml:\d+: '\.\./\.\.' leads out"),
        (
            [('name="a b.jpg"', skeleton(POINTS[0]).replace('label="left_brow_0"', 'label="ear"'))],
            r"xml:\d+: no point 'ear' of 'face'",
        ),
        (
            [('name="a b.jpg"', skeleton(POINTS[0]).replace("left_brow_1", "left_brow_0"))],
            r"xml:\d+: a second point 'left_brow_0'",
        ),
        ([('name="a b.jpg"', skeleton(POINTS[0]).replace(",", ";", 1))], r"xml:\d+: points is .*expected x,y"),
        ([('name="a b.jpg"', skeleton(POINTS[0]).replace(f"{POINTS[0][0, 0]:.2f}", "nan", 1))], r"xml:\d+: x is 'nan'"),
        ([('name="a b.jpg"', skeleton(POINTS[0], group=1) + box(1, (5, 5, 5, 5)))], r"xml:\d+: its box is"),
        ([('name="a b.jpg"', "<polygon/>")], None),
    ],
)
def test_malformed_files_are_named(tmp_path, images, message):
    write(tmp_path, images)
    with pytest.raises(FileNotFoundError if message is None else ValueError, match=message or "no skeleton"):
        cvat(tmp_path)


def test_tracks_are_refused(tmp_path):
    write(tmp_path, [], '<track id="0" label="face"></track>')
    with pytest.raises(ValueError, match=r"annotations\.xml:3: a track: export the task as 'CVAT for images 1.1'"):
        cvat(tmp_path)
