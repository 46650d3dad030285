"""`kfacealign score`: files in, figures out."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.integrate

from kfacealign import schemes
from kfacealign.cli.main import main
from kfacealign.evaluation import landmark_files


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Truth (named) and predictions (named, shuffled, 0-based) of 40 faces with occlusion."""
    folder = tmp_path_factory.mktemp("score")
    rng = np.random.default_rng(0)
    truth = 100 * schemes.get("cofw29").mean_shape + rng.normal(0, 3, (40, 29, 2))
    found = truth + rng.normal(0, 2, truth.shape) * rng.uniform(0.1, 3, (40, 1, 1))
    hidden = rng.random((40, 29)) < 0.2
    scores = np.clip(hidden * 0.6 + rng.random((40, 29)) * 0.6, 0, 1)
    names = np.array([f"{index}.jpg" for index in range(40)])
    order = rng.permutation(40)
    np.savez(folder / "truth.npz", landmarks=truth, names=names, occlusion=hidden)
    np.savez(folder / "found.npz", landmarks=found[order] - 0.5, names=names[order], occlusion=scores[order])
    np.savez(folder / "arrays.npz", truth=truth, found=found, hidden=hidden, scores=scores)
    return folder


def score(folder, *more, truth="truth.npz", found="found.npz", scheme="cofw29"):
    files = ["--truth", str(folder / truth), "--predictions", str(folder / found)]
    return main(["score", "--scheme", scheme, *files, *map(str, more)])


def lengths(truth):
    scheme = schemes.get("cofw29")
    left, right = scheme.eye_corners
    width, height = np.ptp(truth[..., 0], axis=1), np.ptp(truth[..., 1], axis=1)
    pupils = truth[:, scheme.pupils[0][0]] - truth[:, scheme.pupils[1][0]]
    return {
        "inter_ocular": np.linalg.norm(truth[:, left] - truth[:, right], axis=1),
        "inter_pupil": np.linalg.norm(pupils, axis=1),
        "box": np.sqrt(width * height),
        "diagonal": np.hypot(width, height),
        "image": np.full(len(truth), 128.0),
    }


def test_figures_are_those_of_numpy_and_scipy(folder, tmp_path, capsys):
    assert score(folder, "--first-pixel", 0, "--image-size", 128, "--thresholds", 7, "--out", tmp_path) == 0
    arrays = np.load(folder / "arrays.npz")
    content = json.loads((tmp_path / "score.json").read_text())
    assert list(content["normalizers"]) == ["inter_ocular", "inter_pupil", "box", "diagonal", "image"]
    for name, length in lengths(arrays["truth"]).items():
        points = 100 * np.linalg.norm(arrays["found"] - arrays["truth"], axis=2) / length[:, None]
        errors, figures = points.mean(1), content["normalizers"][name]
        np.testing.assert_allclose(figures["nme"], errors.mean(), rtol=1e-5)
        assert figures["fr@7"] == pytest.approx(100 * (errors > 7).mean())
        grid = np.linspace(0, 7, 10**4 + 1)
        shares = (np.sort(errors)[None] <= grid[:, None]).mean(1)
        assert abs(figures["auc@7"] - scipy.integrate.simpson(shares, x=grid) / 7) < 1e-4
        for region, members in schemes.get("cofw29").regions.items():
            np.testing.assert_allclose(figures["regions"][region], points[:, list(members)].mean(), rtol=1e-5)
    found = arrays["scores"] >= 0.5
    right = (found & arrays["hidden"]).sum()
    assert content["occlusion"]["precision"] == pytest.approx(100 * right / found.sum())
    assert content["occlusion"]["recall"] == pytest.approx(100 * right / arrays["hidden"].sum())
    printed = capsys.readouterr().out
    assert f"{content['normalizers']['box']['nme']:.2f}" in printed and "occlusion at 0.5: precision" in printed
    names = ["ced.png", "landmark_errors.png", "report.json", "score.json"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


def test_threshold_of_occlusion(folder, capsys):
    assert score(folder, "--occlusion-threshold", 2) == 0
    assert "occlusion at 2: precision -, recall 0.00 %" in capsys.readouterr().out


def test_a_protocol(folder, tmp_path, capsys):
    assert score(folder, "--first-pixel", 0, "--protocol", "cofw", "--out", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "COFW: 29 points" in printed and "40 faces were measured, the published figures are of 507" in printed
    rows = json.loads((tmp_path / "table.json").read_text())["tables"]["nme"]["rows"]
    own = next(row for row in rows if row.get("run"))
    figures = json.loads((tmp_path / "score.json").read_text())["normalizers"]
    assert own["method"] == "found"
    assert own["values"]["nme_inter_pupil"] == pytest.approx(figures["inter_pupil"]["nme"])
    assert own["values"]["fr10_inter_ocular"] == pytest.approx(figures["inter_ocular"]["fr@10"])


def test_one_normaliser_and_predictions_of_more_faces(folder, tmp_path, capsys):
    arrays = np.load(folder / "truth.npz")
    np.savez(tmp_path / "truth.npz", landmarks=arrays["landmarks"][:7], names=arrays["names"][:7])
    assert score(folder, "--normalizer", "box", truth=tmp_path / "truth.npz") == 0
    printed = capsys.readouterr().out
    assert "33 predictions are of faces" in printed and "inter-ocular" not in printed and "occlusion" not in printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda points, names: (points[:39], None), "has 40 faces and .*bad.npz 39"),
        (lambda points, names: (points, np.where(names == "3.jpg", "4.jpg", names)), "4.jpg is there twice"),
        (lambda points, names: (points, np.where(names == "3.jpg", "x", names)), r"no prediction for 1 of 40 faces: 3.jpg"),
        (lambda points, names: (points[:, :28], names), r"landmarks have shape \(40, 28, 2\)"),
    ],
    ids=["count", "duplicate", "missing", "points"],
)
def test_bad_predictions(folder, tmp_path, capsys, change, message):
    arrays = np.load(folder / "truth.npz")
    points, names = change(arrays["landmarks"], arrays["names"])
    np.savez(tmp_path / "bad.npz", landmarks=points, **({} if names is None else {"names": names}))
    assert score(folder, found=tmp_path / "bad.npz") == 2
    assert re.search(message, capsys.readouterr().err)


def test_bad_truth(folder, tmp_path, capsys):
    arrays = dict(np.load(folder / "truth.npz"))
    left, right = schemes.get("cofw29").eye_corners
    arrays["landmarks"][5, left] = arrays["landmarks"][5, right]
    np.savez(tmp_path / "truth.npz", **arrays)
    assert score(folder, truth=tmp_path / "truth.npz") == 2
    assert "truth.npz, face 5 (5.jpg): the normaliser inter_ocular has length 0" in capsys.readouterr().err
    assert score(folder, "--normalizer", "diagonal", truth=tmp_path / "truth.npz") == 0
    arrays["landmarks"][6] = 1
    np.savez(tmp_path / "truth.npz", **arrays)
    assert score(folder, "--normalizer", "diagonal", truth=tmp_path / "truth.npz") == 2
    assert "face 6 (6.jpg): all landmarks are equal" in capsys.readouterr().err


def test_wrong_arguments(folder, capsys):
    assert score(folder, "--normalizer", "image") == 2
    assert "needs --image-size" in capsys.readouterr().err
    assert score(folder, "--protocol", "wflw") == 2
    assert "the protocol wflw is for wflw98 or ibug68, the faces have cofw29" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        score(folder, "--thresholds", 0)
    assert "expected a number above 0, got '0'" in capsys.readouterr().err
    assert score(folder, "--normalizer", "inter_ocular", scheme="menpo39") == 2
    assert "menpo39 has no normaliser 'inter_ocular'" in capsys.readouterr().err


def test_the_published_annotation_of_cofw68(tmp_path, capsys):
    """Predictions in the benchmark's text format against its own files."""
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA does not name the folder of real data")
    folder = Path(os.environ["KFACEALIGN_DATA"]) / "annotations" / "cofw68" / "test_annotations"
    truth = landmark_files.read(folder, "ibug68")
    found = truth.landmarks + np.array([0, 1], "float32")
    with open(tmp_path / "found.txt", "w") as file:
        for place in np.random.default_rng(0).permutation(507):
            for row in ([truth.names[place]], *(found[place].T + 0.5), truth.occlusion[place]):
                file.write(" ".join(map(str, row)) + "\n")
    options = ["--protocol", "cofw68", "--out", tmp_path / "out"]
    assert score(tmp_path, *options, truth=folder, found="found.txt", scheme="ibug68") == 0
    content = json.loads((tmp_path / "out" / "score.json").read_text())
    length = np.linalg.norm(truth.landmarks[:, 36] - truth.landmarks[:, 45], axis=1)
    np.testing.assert_allclose(content["normalizers"]["inter_ocular"]["nme"], (100 / length).mean(), rtol=1e-4)
    assert content["occlusion"]["precision"] == content["occlusion"]["recall"] == 100
    assert "measured, the published" not in capsys.readouterr().out


def test_missing_points_and_faces_are_counted(folder, tmp_path, capsys):
    arrays = dict(np.load(folder / "truth.npz"))
    arrays["landmarks"][3, 4], arrays["landmarks"][5, :2] = -1, np.nan
    np.savez(tmp_path / "truth.npz", **arrays)
    found = dict(np.load(folder / "found.npz"))
    kept = ~np.isin(found["names"], ["7.jpg", "9.jpg"])
    found = {name: array[kept] for name, array in found.items()}
    found["landmarks"][found["names"].tolist().index("8.jpg"), 0] = np.nan
    np.savez(tmp_path / "found.npz", **found)
    options = {"truth": tmp_path / "truth.npz", "found": tmp_path / "found.npz"}
    assert score(folder, "--normalizer", "box", **options) == 2
    assert "no prediction for 2 of 40 faces: 7.jpg, 9.jpg" in capsys.readouterr().err
    more = ["--normalizer", "box", "--first-pixel", 0, "--missing", "-1", "--missing-faces", "skip", "--out", tmp_path / "out"]
    assert score(folder, *more, **options) == 0
    printed = capsys.readouterr().out
    assert "2 of 40 faces have no prediction and are left out: 7.jpg, 9.jpg" in printed
    assert "truth.npz: 3 points of 2 faces are not annotated and are left out" in printed
    assert "found.npz: 1 points of 1 faces have no prediction and are left out" in printed
    # By hand: the mean over the faces of the mean over the points that count.
    whole = np.load(folder / "arrays.npz")
    counted = np.ones((40, 29), bool)
    counted[3, 4], counted[5, :2], counted[8, 0] = False, False, False
    distances = np.linalg.norm(whole["found"] - whole["truth"], axis=2)
    errors = []
    for face in sorted(set(range(40)) - {7, 9}):
        width, height = np.ptp(whole["truth"][face][counted[face]], axis=0)
        errors.append(100 * distances[face][counted[face]].mean() / np.sqrt(width * height))
    figures = json.loads((tmp_path / "out" / "score.json").read_text())["normalizers"]["box"]
    assert figures["faces"] == 38 and figures["nme"] == pytest.approx(np.mean(errors), rel=1e-4)


def test_a_mark_that_was_not_named_is_warned_of(folder, tmp_path, capsys):
    arrays = dict(np.load(folder / "truth.npz"))
    arrays["landmarks"][3, 4] = 0
    np.savez(tmp_path / "truth.npz", **arrays)
    assert score(folder, "--normalizer", "box", truth=tmp_path / "truth.npz") == 0
    assert "truth.npz, face 3: 1 points of 1 faces are at (0,0)" in capsys.readouterr().out
