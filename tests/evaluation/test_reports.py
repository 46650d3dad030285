import json

import cv2
import numpy as np
import pytest
import scipy.integrate

from kfacealign.data import Crops, Faces
from kfacealign.evaluation.evaluating import evaluate, predict
from kfacealign.evaluation.reports import report
from kfacealign.metrics.distribution import auc, ced, failure_rate

ERRORS = (2.0, 6.0, 10.0, 20.0)


def faces_with(errors):
    """Truth and prediction of aflw19 faces, every point off by this percentage of the inter-ocular distance of 50."""
    face = np.stack([np.linspace(0, 90, 19), np.linspace(10, 100, 19)], axis=-1).astype("float32")
    face[6], face[11] = (20, 20), (70, 20)
    truth = np.repeat(face[None], len(errors), axis=0)
    return truth, truth + np.array([[[0.5 * error, 0]] for error in errors], "float32").reshape(-1, 1, 2)


def strict(text):
    def refuse(token):
        raise ValueError(f"{token} is not JSON")

    return json.loads(text, parse_constant=refuse)


class Oracle:
    """An aligner that finds the landmarks of its crops, moved by `offset` crop sides."""

    scheme, input_size, enlarge = "aflw19", 32, 1.25

    def __init__(self, faces, offset=0.0):
        self.landmarks, self.offset, self.seen = Crops(faces, 32).landmarks, offset, 0

    def align(self, images, verbose=0):
        assert images.shape[1:] == (32, 32, 3)
        found = self.landmarks[self.seen : self.seen + len(images)] + np.float32(self.offset)
        self.seen += len(images)
        return found, np.ones(found.shape[:2], "float32")


def photographs(folder, count, broken=()):
    truth, _ = faces_with(np.zeros(count))
    images = [folder / f"{index}.png" for index in range(count)]
    for index, path in enumerate(images):
        assert cv2.imwrite(str(path), np.full((110, 100, 3), 7 * index % 256, "uint8"))
        if index in broken:
            path.write_bytes(path.read_bytes()[:40])
    return Faces("aflw19", images, truth + np.arange(count).reshape(-1, 1, 1) % 3, names=[path.name for path in images])


def test_failures_are_strictly_above_the_threshold():
    assert failure_rate([1, 10, 10.001, 30], 10) == 50
    assert failure_rate([10, 10], 10) == 0


def test_auc_by_hand():
    assert auc([0, 0], 10) == 1
    assert auc([10, 50], 10) == 0
    np.testing.assert_allclose(auc([2, 6, 30], 8), (0.75 + 0.25 + 0) / 3)


@pytest.mark.parametrize("threshold", [8.0, 10.0])
def test_auc_is_the_integral_of_the_distribution(threshold):
    errors = np.random.default_rng(3).gamma(3, 2, 200)
    x = np.arange(0, threshold + 5e-5, 1e-4)
    share = np.searchsorted(np.sort(errors), x, side="right") / len(errors)
    np.testing.assert_allclose(auc(errors, threshold), scipy.integrate.simpson(share, x=x) / threshold, atol=1e-4)


def test_ced():
    x, y = ced([3, 1, 2, 2])
    np.testing.assert_array_equal(x, [1, 2, 2, 3])
    np.testing.assert_array_equal(y, [0.25, 0.5, 0.75, 1])


def test_rows_by_hand():
    truth, predicted = faces_with(ERRORS)
    subsets = {"hard": [2, 3], "flags": np.array([True, False, True, False]), "none": []}
    rows = report(truth, predicted, "aflw19", subsets=subsets).rows()
    assert list(rows) == ["full", "hard", "flags", "none"]
    assert list(rows["full"]) == ["faces", "nme", "fr@8", "auc@8", "fr@10", "auc@10", "point_variance"]
    assert rows["full"]["faces"] == 4
    np.testing.assert_allclose(list(rows["full"].values())[1:-1], [9.5, 50, 1 / 4, 25, 1.2 / 4], rtol=1e-5)
    assert rows["full"]["point_variance"] == pytest.approx(0, abs=1e-6)  # every face is shifted, no more
    np.testing.assert_allclose(list(rows["hard"].values())[:-1], [2, 15, 100, 0, 50, 0], atol=1e-5)
    np.testing.assert_allclose(list(rows["flags"].values())[:-1], [2, 6, 50, 0.375, 0, 0.4], rtol=1e-5)
    assert rows["none"] == {"faces": 0, **dict.fromkeys(list(rows["full"])[1:])}


def test_regions_and_landmarks_by_hand():
    truth, _ = faces_with((0, 0))
    predicted = truth.copy()
    predicted[0, 18, 0] += 5  # the chin, 10 %
    predicted[1, 15, 1] -= 15  # a corner of the mouth, 30 %
    weights = np.ones((2, 19))
    weights[1, 18] = 0
    made = report(truth, predicted, "aflw19", weights=weights)
    expected = {"brows": 0, "eyes": 0, "nose": 0, "mouth": 5, "contour": 10}
    assert made.regions() == pytest.approx(expected, abs=1e-4)
    landmarks = made.landmarks()
    assert len(landmarks) == 19
    assert landmarks["chin"] == pytest.approx(10, abs=1e-4) and landmarks["mouth_0"] == pytest.approx(15, abs=1e-4)
    np.testing.assert_allclose(made.face_errors, [10 / 19, 30 / 18], rtol=1e-4)


def test_errors_of_each_landmark():
    truth, predicted = faces_with((10, 20))
    weights = np.ones((2, 19))
    weights[1, 4], weights[:, 5] = 0, 0
    made = report(truth, predicted, "aflw19", weights=weights)
    expected = np.full(19, 15.0)
    expected[4:6] = 10, np.nan
    np.testing.assert_allclose(made.landmark_errors, expected, rtol=1e-5)
    assert made.landmarks()["right_brow_2"] is None and made.landmarks()["right_brow_1"] == pytest.approx(10, rel=1e-5)


def test_faces_that_do_not_count():
    """Not annotated, without eye corners, and of no size."""
    truth, predicted = faces_with((5, 50, 50, 50))
    weights = np.ones((4, 19))
    weights[1], weights[2, 6] = 0, 0
    truth[3] = 7
    made = report(truth, predicted, "aflw19", weights=weights)
    np.testing.assert_array_equal(made.counted, [True, False, False, False])
    assert made.summary()["faces"] == 1 and made.summary()["nme"] == pytest.approx(5)
    assert made.regions()["nose"] == pytest.approx(5, abs=1e-4)
    content = strict(made.to_json())
    assert content["skipped"] == 3
    assert [face["nme"] for face in content["faces"]] == [5.0, None, None, None]
    assert "faces not counted: 3" in str(made)


def test_no_face_counts():
    truth, predicted = faces_with((5, 5))
    made = report(truth, predicted, "aflw19", weights=np.zeros((2, 19)), subsets={"all": [0, 1]})
    content = strict(made.to_json())
    assert content["subsets"]["full"]["faces"] == 0 and content["subsets"]["all"]["nme"] is None
    assert content["regions"]["nose"] is None and content["landmarks"]["chin"] is None
    assert "-" in str(made) and "| full | 0 | - |" in made.markdown()


def test_an_empty_test_set():
    made = report(np.zeros((0, 19, 2)), np.zeros((0, 19, 2)), "aflw19")
    assert made.rows()["full"]["faces"] == 0
    assert strict(made.to_json())["faces"] == []


def test_other_normalisers():
    truth, predicted = faces_with((4, 8))  # off by 2 and 4
    made = report(truth, predicted, "aflw19", normalizer="image", image_size=np.array([100, 400]))
    np.testing.assert_allclose(made.face_errors, [2, 1], rtol=1e-5)
    assert report(truth, predicted, "aflw19", normalizer="box").face_errors[0] == pytest.approx(200 / 90, rel=1e-5)


def test_json_has_everything(tmp_path):
    truth, predicted = faces_with(ERRORS)
    made = report(truth, predicted, "aflw19", subsets={"hard": [2, 3]}, names=list("abcd"), thresholds=(7.5,))
    path = made.save(tmp_path / "report.json")
    content = strict(path.read_text())
    assert (content["scheme"], content["normalizer"], content["unit"]) == ("aflw19", "inter_ocular", "percent")
    assert list(content["subsets"]["hard"]) == ["faces", "nme", "fr@7.5", "auc@7.5", "point_variance"]
    assert content["point_variance_unit"] == "percent squared"
    assert content["faces"][2] == {"name": "c", "nme": 10.0}
    assert set(content["regions"]) == {"brows", "eyes", "nose", "mouth", "contour"}
    assert len(content["landmarks"]) == 19
    assert [file.name for file in tmp_path.iterdir()] == ["report.json"]


def test_tables():
    truth, predicted = faces_with(ERRORS)
    swapped = 2 * truth - predicted
    predicted[:3:2, :9] = swapped[:3:2, :9]  # nine points off to the left, ten to the right: e^2 (1 - 1 / 19^2)
    made = report(truth, predicted, "aflw19", subsets={"hard": [2, 3]})
    text = str(made)
    headings = ("NME", "FR 8 %", "AUC 8 %", "FR 10 %", "AUC 10 %", "Point-Var")
    for word in ("inter-ocular", "aflw19", *headings, "hard", "eyes", "9.50", "0.300"):
        assert word in text
    assert made.markdown().splitlines() == [
        "| subset | faces | NME | FR 8 % | AUC 8 % | FR 10 % | AUC 10 % | Point-Var |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
        "| full | 4 | 9.50 | 50.00 | 0.250 | 25.00 | 0.300 | 25.93 |",
        "| hard | 2 | 15.00 | 100.00 | 0.000 | 50.00 | 0.000 | 49.86 |",
    ]
    assert repr(made) == "<Report of 4 faces, aflw19, inter_ocular>"


def test_wrong_arguments():
    truth, predicted = faces_with(ERRORS)
    with pytest.raises(ValueError, match=r"must both be \(N, 19, 2\)"):
        report(truth, predicted[:2], "aflw19")
    with pytest.raises(ValueError, match="subset 'hard' names faces that are not among the 4"):
        report(truth, predicted, "aflw19", subsets={"hard": [4]})
    with pytest.raises(ValueError, match="no normaliser 'nose'"):
        report(truth, predicted, "aflw19", normalizer="nose")
    with pytest.raises(ValueError, match="do not fit"):
        report(truth, predicted, "aflw19", names=["a"])
    predicted[2, 5] = np.nan
    with pytest.raises(ValueError, match="not finite for 1 of 4 faces, the first is 2"):
        report(truth, predicted, "aflw19")


def test_evaluate_measures_in_the_photograph(tmp_path):
    """Moved by a hundredth of the crop's side, which is 1.25 times the face's 90 pixels: 1.125 px along x and y."""
    faces = photographs(tmp_path, 5)
    np.testing.assert_allclose(evaluate(Oracle(faces), faces).face_errors, 0, atol=1e-4)
    made = evaluate(Oracle(faces, 0.01), faces, subsets={"first": [0]}, thresholds=(3.0,))
    np.testing.assert_allclose(made.face_errors, 100 * np.hypot(1.125, 1.125) / 50, rtol=1e-4)
    assert made.names == faces.names and made.rows()["first"]["fr@3"] == 100
    by_crop = evaluate(Oracle(faces, 0.01), Crops(faces, 32), normalizer="image")
    np.testing.assert_allclose(by_crop.face_errors, np.hypot(1, 1), rtol=1e-4)


def test_evaluate_skips_unreadable_photographs(tmp_path):
    faces = photographs(tmp_path, 4, broken=(1,))
    with pytest.warns(UserWarning, match="1.png: cannot be read"):
        made = evaluate(Oracle(faces, 0.01), faces)
    np.testing.assert_array_equal(made.counted, [True, False, True, True])
    assert made.summary()["faces"] == 3


def test_evaluate_shows_progress_on_a_terminal_only(tmp_path, monkeypatch, capsys):
    faces = photographs(tmp_path, 9)
    crops = Crops(faces, 32)
    predict(Oracle(faces), crops, batch_size=2)
    assert capsys.readouterr().out.strip() == ""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich takes this and TERM for a terminal
    monkeypatch.setenv("TERM", "xterm")
    predict(Oracle(faces), crops, batch_size=2)
    assert "evaluating" in capsys.readouterr().out
    predict(Oracle(faces), crops, batch_size=9)
    assert capsys.readouterr().out == ""


def test_evaluate_refuses_what_does_not_fit(tmp_path):
    faces = photographs(tmp_path, 2)
    with pytest.raises(ValueError, match="there is no face to evaluate"):
        evaluate(Oracle(faces), faces[:0])
    other = Oracle(faces)
    other.scheme = "ibug68"
    with pytest.raises(ValueError, match="the model predicts ibug68, the faces have aflw19"):
        evaluate(other, faces)
