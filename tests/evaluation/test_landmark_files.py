import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from kfacealign.data.readers.pts import write_points
from kfacealign.evaluation import landmark_files

HEADER = ",".join(["name", *(f"{axis}{point}" for point in range(19) for axis in "xy")])


def shapes(count=3):
    rng = np.random.default_rng(0)
    return rng.uniform(1, 99, (count, 19, 2)).round(2).astype("float32")


def csv_of(path, points, names=None, occlusion=None):
    header = HEADER if names is not None else HEADER.removeprefix("name,")
    header += "" if occlusion is None else "," + ",".join(f"occlusion{point}" for point in range(19))
    lines = [header]
    for face, shape in enumerate(points):
        fields = ([] if names is None else [names[face]]) + [f"{value}" for value in shape.ravel()]
        lines.append(",".join(fields + ([] if occlusion is None else [str(value) for value in occlusion[face]])))
    path.write_text("\n".join(lines) + "\n")
    return path


def cofw_of(path, points, indices, occlusion):
    """Four lines a face, 1-based."""
    text = ""
    for index, shape, hidden in zip(indices, points + 0.5, occlusion, strict=True):
        text += f"{index}\n{' '.join(map(str, shape[:, 0]))}\n{' '.join(map(str, shape[:, 1]))}\n{' '.join(map(str, hidden))}\n"
    path.write_text(text)
    return path


# === Formats ===


def test_every_format_gives_the_same_landmarks(tmp_path):
    points, names, hidden = shapes(), ["a.jpg", "b.jpg", "c.jpg"], np.eye(3, 19)
    np.savez(tmp_path / "p.npz", landmarks=points, names=names, occlusion=hidden)
    csv_of(tmp_path / "p.csv", points, names, hidden)
    cofw_of(tmp_path / "p.txt", points, [1, 2, 3], hidden)
    (tmp_path / "pts" / "deep").mkdir(parents=True)
    for name, shape in zip(("a", "b", "deep/c"), points, strict=True):
        write_points(tmp_path / "pts" / f"{name}.pts", shape)
    (tmp_path / "mat").mkdir()
    for index, shape in enumerate(points, start=9):  # 9, 10, 11
        scipy.io.savemat(tmp_path / "mat" / f"{index}_points.mat", {"Points": shape + 0.5, "Occ": hidden[index - 9][None]})
    for file in ("p.npz", "p.csv", "p.txt", "pts", "mat"):
        made = landmark_files.read(tmp_path / file, "aflw19")
        np.testing.assert_allclose(made.landmarks, points, atol=1e-4)
        assert len(made) == 3 and made.landmarks.dtype == np.float32 and made.weights.all()
        if file == "pts":
            assert made.occlusion is None and made.names == ["a", "b", "deep/c"]
        else:
            np.testing.assert_array_equal(made.occlusion, hidden)
    assert landmark_files.read(tmp_path / "mat", "aflw19").names == ["9", "10", "11"]
    assert landmark_files.read(tmp_path / "p.txt", "aflw19").names == ["1", "2", "3"]


def test_origin_of_the_first_pixel(tmp_path):
    points = shapes()
    np.savez(tmp_path / "p.npz", landmarks=points)
    for first_pixel, offset in ((0.5, 0), (0, 0.5), (1, -0.5)):
        made = landmark_files.read(tmp_path / "p.npz", "aflw19", first_pixel=first_pixel)
        np.testing.assert_allclose(made.landmarks, points + offset, atol=1e-5)
    csv_of(tmp_path / "p.csv", points)
    made = landmark_files.read(tmp_path / "p.csv", "aflw19", first_pixel=0)
    np.testing.assert_allclose(made.landmarks, points + 0.5, atol=1e-5)
    assert made.names is None


def test_columns_of_a_csv_may_be_in_any_order(tmp_path):
    points = shapes(1)
    columns = HEADER.split(",")[::-1]
    values = dict(zip(HEADER.split(",")[1:], points[0].ravel(), strict=True), name="face")
    (tmp_path / "p.csv").write_text(",".join(columns) + "\n" + ",".join(str(values[name]) for name in columns) + "\n\n")
    made = landmark_files.read(tmp_path / "p.csv", "aflw19")
    np.testing.assert_allclose(made.landmarks, points)
    assert made.names == ["face"] and made.origins == [f"{tmp_path / 'p.csv'}:2"]


@pytest.fixture(scope="module")
def annotations():
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA does not name the folder of real data")
    return Path(os.environ["KFACEALIGN_DATA"]) / "annotations"


def test_the_published_files_of_cofw68(annotations):
    made = landmark_files.read(annotations / "cofw68" / "test_annotations", "ibug68")
    assert len(made) == 507 and made.names[:3] == ["1", "2", "3"]
    assert set(np.unique(made.occlusion)) == {0, 1}
    landmark_files.check_truth(made, "ibug68", ["inter_ocular", "inter_pupil", "box", "diagonal"])
    with pytest.raises(FileNotFoundError, match="test_annotations: give that folder"):
        landmark_files.read(annotations / "cofw68", "ibug68")


def test_the_published_lists_of_300w(annotations):
    made = landmark_files.read(annotations / "300w" / "face_landmarks_300w_valid.csv", "ibug68")
    assert len(made) == 689


# === Bad input, one by one ===


def broken_csv(tmp_path, line, field, text):
    path = csv_of(tmp_path / "p.csv", shapes(), ["a", "b", "c"])
    lines = path.read_text().splitlines()
    fields = lines[line - 1].split(",")
    fields[field : field + 1] = text
    lines[line - 1] = ",".join(fields)
    path.write_text("\n".join(lines))
    return path


@pytest.mark.parametrize(
    ("line", "field", "text", "message"),
    [
        (1, 5, [], r"p.csv:1: column x2 is missing \(1 in all\), expected name,x0,y0,x1,y1,...,y18 for aflw19"),
        (1, 38, ["y18", "x19", "y19"], "p.csv:1: column x19 is one too many: aflw19 has 19 points"),
        (3, 4, [], "p.csv:3: expected 39 fields, found 38"),
        (4, 2, ["left"], "p.csv:4: y0 is 'left', expected a finite number"),
        (2, 1, ["nan"], "p.csv:2: x0 is 'nan', expected a finite number"),
        (4, 0, ["a"], r"p.csv:4: a is there twice, before in .*p.csv:2"),
        (4, 0, ["b.png"], r"p.csv:4: b.png is there twice, before in .*p.csv:3"),
    ],
    ids=["missing column", "too many", "fields", "word", "nan", "duplicate", "duplicate with suffix"],
)
def test_bad_csv(tmp_path, line, field, text, message):
    with pytest.raises(ValueError, match=message):
        landmark_files.read(broken_csv(tmp_path, line, field, text), "aflw19")


def test_incomplete_occlusion_columns(tmp_path):
    path = csv_of(tmp_path / "p.csv", shapes(), ["a", "b", "c"], np.zeros((3, 19)))
    path.write_text(path.read_text().replace("occlusion7", "hidden7"))
    with pytest.raises(ValueError, match=r"p.csv:1: column occlusion7 is missing"):
        landmark_files.read(path, "aflw19")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"points": np.zeros((2, 19, 2))}, "no array 'landmarks' in it"),
        ({"landmarks": np.zeros((2, 18, 2))}, r"landmarks have shape \(2, 18, 2\) \(float64\), expected landmarks \(N, 19, 2\)"),
        ({"landmarks": np.zeros((2, 19, 2)), "names": ["a"]}, r"names have shape \(1,\), expected \(2,\)"),
        ({"landmarks": np.zeros((2, 19, 2)), "occlusion": np.zeros(19)}, r"occlusion have shape \(19,\), expected \(2, 19\)"),
        ({"landmarks": np.zeros((0, 19, 2))}, "there is no face in it"),
        ({"landmarks": np.full((2, 19, 2), np.inf)}, "p.npz, face 0: a landmark is not finite; so are 1 more faces"),
        ({"landmarks": np.zeros((2, 19, 2)), "names": ["a", "a"]}, "p.npz, face 1: a is there twice"),
        ({"landmarks": np.array([[None]])}, "not an .npz file of plain arrays"),
    ],
)
def test_bad_npz(tmp_path, arrays, message):
    np.savez(tmp_path / "p.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        landmark_files.read(tmp_path / "p.npz", "aflw19")


def test_bad_cofw_text(tmp_path):
    path = cofw_of(tmp_path / "p.txt", shapes(), [1, 2, 3], np.zeros((3, 19), int))
    text = path.read_text()
    lines = text.splitlines()
    for number, line, message in (
        (5, "face", "p.txt:5: 'face', expected the index of a face"),
        (6, "1 2 3", "p.txt:6: 3 values of x, aflw19 has 19 points"),
        (8, lines[7].replace("0", "?", 1), r"p.txt:8: occlusion0 is '\?', expected a finite number"),
        (9, "1", "p.txt:9: 1 is there twice, before in .*p.txt:1"),
        (12, "", "p.txt:11: 11 lines, expected four a face"),
    ):
        path.write_text("\n".join([*lines[: number - 1], line, *lines[number:]]))
        with pytest.raises(ValueError, match=message):
            landmark_files.read(path, "aflw19")


def test_bad_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing.csv is missing"):
        landmark_files.read(tmp_path / "nothing.csv", "aflw19")
    with pytest.raises(FileNotFoundError, match=r"holds neither .pts nor _points.mat files"):
        landmark_files.read(tmp_path, "aflw19")
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(ValueError, match=r"p.json: landmarks are read from .npz, .csv"):
        landmark_files.read(tmp_path / "p.json", "aflw19")
    (tmp_path / "p.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(ValueError, match=r"p.npz: not an .npz file"):
        landmark_files.read(tmp_path / "p.npz", "aflw19")
    page = tmp_path / "mat" / "1_points.mat"
    page.parent.mkdir()
    page.write_text("<!DOCTYPE html><html>")
    with pytest.raises(ValueError, match=r"1_points.mat: this is a web page \(HTML\), no MATLAB file"):
        landmark_files.read(page.parent, "aflw19")
    scipy.io.savemat(page, {"Points": np.zeros((68, 2)), "Occ": np.zeros((1, 68))})
    with pytest.raises(ValueError, match=r"1_points.mat: Points is \(68, 2\) .* aflw19 has 19 points"):
        landmark_files.read(page.parent, "aflw19")


def test_faces_that_cannot_be_measured(tmp_path):
    points = shapes()
    points[1] = 7
    truth = landmark_files.read(csv_of(tmp_path / "t.csv", points, ["a", "b", "c"]), "aflw19")
    with pytest.raises(ValueError, match=r"t.csv:3 \(b\): all landmarks are equal: the face has no size"):
        landmark_files.check_truth(truth, "aflw19", ["box"])
    points = shapes()
    points[2, 6] = points[2, 11]
    truth = landmark_files.read(csv_of(tmp_path / "t.csv", points, ["a", "b", "c"]), "aflw19")
    with pytest.raises(ValueError, match=r"t.csv:4 \(c\): the normaliser inter_ocular has length 0 \(leave it out"):
        landmark_files.check_truth(truth, "aflw19", ["box", "inter_ocular"])
    landmark_files.check_truth(truth, "aflw19", ["box", "diagonal", "inter_pupil", "image"])
    truth.weights[2, 6] = 0  # not annotated: the face does not count
    landmark_files.check_truth(truth, "aflw19", ["inter_ocular"])


# === Pairs and occlusion ===


def test_pairing(tmp_path):
    points = shapes()
    truth = landmark_files.read(csv_of(tmp_path / "t.csv", points, ["a.jpg", "b.jpg", "x.y"]), "aflw19")
    other = landmark_files.read(csv_of(tmp_path / "p.csv", points[[2, 0, 1, 1]], ["x.y", "a", "b.png", "more"]), "aflw19")
    np.testing.assert_array_equal(landmark_files.match(truth, other), [1, 2, 0])
    with pytest.raises(ValueError, match=r"t.csv: no prediction for 1 of 4 faces: more \(.*p.csv:5\); its own names"):
        landmark_files.match(other, truth)
    unnamed = landmark_files.read(csv_of(tmp_path / "u.csv", points), "aflw19")
    np.testing.assert_array_equal(landmark_files.match(truth, unnamed), [0, 1, 2])
    with pytest.raises(ValueError, match=r"u.csv has 3 faces and .*p.csv 4: without names"):
        landmark_files.match(unnamed, other)


def test_occlusion_by_hand():
    truth = np.array([[1, 1, 0, 0], [1, 0, 0, 0]])
    scores = np.array([[0.9, 0.2, 0.6, 0.0], [0.5, 0.4, 0.0, 0.7]])
    found = landmark_files.occlusion_scores(truth, scores)
    assert found == {"precision": 50.0, "recall": pytest.approx(200 / 3), "hidden": 3, "found": 4}
    assert landmark_files.occlusion_scores(truth, scores, threshold=0.8) == {
        "precision": 100.0,
        "recall": pytest.approx(100 / 3),
        "hidden": 3,
        "found": 1,
    }
    nothing = landmark_files.occlusion_scores(truth * 0, scores * 0)
    assert nothing["precision"] is None and nothing["recall"] is None


# === Points and faces that are missing ===


def test_points_that_are_not_annotated(tmp_path):
    points = shapes()
    points[0, 3], points[2, 4] = np.nan, -1
    np.savez(tmp_path / "p.npz", landmarks=points)
    csv_of(tmp_path / "p.csv", points)
    (tmp_path / "e.csv").write_text((tmp_path / "p.csv").read_text().replace("nan", ""))
    cofw_of(tmp_path / "p.txt", points, [1, 2, 3], np.zeros((3, 19), int))
    for file, mark in (("p.npz", -1), ("p.csv", -1), ("e.csv", -1), ("p.txt", -0.5)):
        made = landmark_files.read(tmp_path / file, "aflw19", missing=[mark])
        assert np.argwhere(made.weights == 0).tolist() == [[0, 3], [2, 4]], file
        assert np.isfinite(made.landmarks).all()
    with pytest.warns(UserWarning, match=r"p\.npz, face 2: 1 points of 1 faces are at \(-1,-1\)"):
        assert (landmark_files.read(tmp_path / "p.npz", "aflw19").weights == 0).sum() == 1


def test_weights_of_an_npz_decide_what_may_be_nan(tmp_path):
    points, weights = shapes(), np.ones((3, 19))
    points[0, 3], points[1, 2], weights[0, 3], weights[1, 5] = np.nan, np.nan, 0, 0
    np.savez(tmp_path / "p.npz", landmarks=points, weights=weights)
    with pytest.raises(ValueError, match=r"p\.npz, face 1: a landmark is not finite$"):
        landmark_files.read(tmp_path / "p.npz", "aflw19")
    weights[1, 2] = 0
    np.savez(tmp_path / "p.npz", landmarks=points, weights=weights)
    np.testing.assert_array_equal(landmark_files.read(tmp_path / "p.npz", "aflw19").weights, weights)
    for wrong in (-weights, np.where(weights > 0, np.nan, 0)):
        np.savez(tmp_path / "p.npz", landmarks=points, weights=wrong)
        with pytest.raises(ValueError, match="weights are numbers of 0 or more"):
            landmark_files.read(tmp_path / "p.npz", "aflw19")


def test_one_coordinate_of_a_point(tmp_path):
    path = cofw_of(tmp_path / "p.txt", shapes(), [1, 2, 3], np.zeros((3, 19), int))
    lines = path.read_text().splitlines()
    lines[5] = " ".join(["nan", *lines[5].split()[1:]])
    path.write_text("\n".join(lines))
    with pytest.raises(ValueError, match=r"p\.txt:5: point 0 has one coordinate"):
        landmark_files.read(path, "aflw19")


def aligned(folder, **photographs):
    """What `kfacealign align` leaves of each photograph's faces."""
    folder.mkdir()
    for name, points in photographs.items():
        files = [f"{name}.pts"] if len(points) == 1 else [f"{name}_{number}.pts" for number in range(1, len(points) + 1)]
        said = [{"landmarks": shape.tolist(), "pts": file} for shape, file in zip(points, files, strict=True)]
        (folder / f"{name}.json").write_text(json.dumps({"photo": f"{name}.jpg", "scheme": "aflw19", "faces": said}))
        for shape, file in zip(points, files, strict=True):
            write_points(folder / file, shape)
    return folder


def test_the_folder_of_align_gives_the_face_that_overlaps_most(tmp_path):
    points = shapes()
    folder = aligned(tmp_path / "out", a=points[:1] + 1, b=np.stack([points[1] + 70, points[1] + 2, points[1] * 0.2]))
    made = landmark_files.read(folder, "aflw19")
    assert made.names == ["a", "b", "b", "b"] and made.several
    truth = landmark_files.read(csv_of(tmp_path / "t.csv", points[:2], ["x/a.jpg", "y/b.png"]), "aflw19")
    order = landmark_files.match(truth, made)
    assert order.tolist() == [0, 2]
    np.testing.assert_allclose(made.landmarks[order], points[:2] + [[[1]], [[2]]], atol=1e-4)
    twice = landmark_files.read(csv_of(tmp_path / "t.csv", points[:2], ["x/a.jpg", "y/a.jpg"]), "aflw19")
    with pytest.raises(ValueError, match="several photographs are called a"):
        landmark_files.match(twice, made)
    with pytest.raises(ValueError, match="predictions of kfacealign align"):
        landmark_files.check_truth(made, "aflw19", ["box"])
    with pytest.raises(ValueError, match=r"a\.json: the landmarks are of 'aflw19', expected ibug68"):
        landmark_files.read(folder, "ibug68")


@pytest.mark.parametrize(
    "text", ["{", "[" * 100_000, '{"photo": 1, "scheme": "aflw19", "faces": [{"landmarks": [[1e999, 2]]}]}', "\xff"]
)
def test_a_damaged_file_of_align_is_named(tmp_path, text):
    folder = aligned(tmp_path / "out", a=shapes(1))
    (folder / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"a\.json"):
        landmark_files.read(folder, "aflw19")


def test_faces_without_prediction(tmp_path):
    points = shapes()
    truth = landmark_files.read(csv_of(tmp_path / "t.csv", points, ["a", "b", "c"]), "aflw19")
    found = landmark_files.read(csv_of(tmp_path / "p.csv", points[:1], ["c"]), "aflw19")
    assert landmark_files.match(truth, found, missing_faces="skip").tolist() == [-1, -1, 0]
    with pytest.raises(ValueError, match=r"no prediction for 2 of 3 faces: a, b \("):
        landmark_files.match(truth, found)
    other = landmark_files.read(csv_of(tmp_path / "p.csv", points[:1], ["d"]), "aflw19")
    with pytest.raises(ValueError, match="no prediction for 3 of 3 faces"):
        landmark_files.match(truth, other, missing_faces="skip")
    part = truth.part(np.array([2]))
    assert part.names == ["c"] and part.landmarks.shape == (1, 19, 2) and part.origins == [f"{tmp_path / 't.csv'}:4"]


def test_files_that_hide_are_no_faces(tmp_path):
    write_points(tmp_path / "a.pts", shapes(1)[0])
    (tmp_path / "._a.pts").write_bytes(b"\0\5\x16\7")
    assert landmark_files.read(tmp_path, "aflw19").names == ["a"]


def test_bad_coordinates_and_texts(tmp_path):
    points = shapes()
    points[1, 2, 0] = 5.55e7
    np.savez(tmp_path / "p.npz", landmarks=points)
    with pytest.raises(ValueError, match=r"p\.npz, face 1: a coordinate is beyond 1,000,000"):
        landmark_files.read(tmp_path / "p.npz", "aflw19")
    path = csv_of(tmp_path / "p.csv", shapes(), ["a", "b", "c"])
    path.write_bytes(path.read_bytes().replace(b"\nb,", b"\n\xe9,"))
    with pytest.raises(ValueError, match=r"p\.csv:3: not UTF-8"):
        landmark_files.read(path, "aflw19")
