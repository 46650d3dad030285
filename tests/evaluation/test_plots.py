import json
import warnings

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from kfacealign import schemes
from kfacealign.data import Faces
from kfacealign.evaluation import plots, run_files
from kfacealign.evaluation.reports import report


def run_of(folder, count, uncounted=(), subsets=None):
    """A report of faces in tiny images; the faces named in `uncounted` have an unreadable one."""
    rng = np.random.default_rng(0)
    truth = rng.uniform(5, 55, (count, 19, 2)).astype("float32")
    truth[:, 6], truth[:, 11] = (10, 20), (50, 20)
    images = [folder / f"{index}.png" for index in range(count)]
    for index, path in enumerate(images):
        pixels = rng.integers(0, 256, (60, 60, 3), "uint8")
        path.write_bytes(b"no image" if index in uncounted else cv2.imencode(".png", pixels)[1].tobytes())
    weights = np.ones((count, 19))
    weights[list(uncounted)] = 0
    predicted = truth + np.linspace(0, 5, count).reshape(-1, 1, 1)
    return report(truth, predicted, "aflw19", weights=weights, subsets=subsets), Faces("aflw19", images, truth)


@pytest.mark.parametrize(
    "count, uncounted",
    [(20, (0, 7)), (5, ()), (1, ()), (2, (0,)), (3, (0, 1, 2))],
    ids=["many", "five", "one", "one of two", "none counts"],
)
def test_write_run(tmp_path, count, uncounted):
    made, faces = run_of(tmp_path, count, uncounted, {"first": [0], "empty": []})
    out = tmp_path / "new" / "run"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        written = run_files.write_run(out, made, faces, size=64)
    pictures = ["ced.png", "landmark_errors.png", "predictions.png"]
    assert [path.name for path in written] == ["report.json", *pictures, "predictions.npz", "report.html"]
    assert sorted(out.iterdir()) == sorted(written)
    assert json.loads(written[0].read_text())["subsets"]["full"]["faces"] == count - len(uncounted)
    for path in written[1:4]:
        assert cv2.imread(str(path)).std() > 0


def test_curves_are_those_of_the_report(tmp_path):
    made, _ = run_of(tmp_path, 4, subsets={"first": [0], "empty": []})
    axes = plots.ced_figure(made).axes[0]
    assert [line.get_label().split(":")[0] for line in axes.get_lines()] == ["full", "first"]
    full = axes.get_lines()[0]
    np.testing.assert_allclose(full.get_xdata()[1:5], np.sort(made.face_errors))
    np.testing.assert_array_equal(full.get_ydata()[:5], [0, 25, 50, 75, 100])
    assert full.get_xdata()[-1] >= max(made.thresholds) and full.get_ydata()[-1] == 100
    assert full.get_label() == f"full: AUC {made.summary()['auc@10']:.3f}"


@pytest.mark.parametrize("name", list(schemes.SCHEMES))
def test_groups_of_landmarks(name):
    scheme = schemes.get(name)
    groups = plots.landmark_groups(scheme)
    assert sorted(point for points in groups.values() for point in points) == list(range(scheme.num_points))
    for left in [group for group in groups if group.startswith("left ")]:
        middle = {point for point in groups[left] if scheme.mirror[point] == point}
        mirrored = {scheme.mirror[point] for point in set(groups[left]) - middle}
        assert mirrored == set(groups[left.replace("left", "right")]) and len(middle) <= 1
        assert scheme.mean_shape[groups[left], 0].max() < 0.5 + 1e-3


def test_eight_groups_of_the_figure():
    groups = plots.landmark_groups("wflw98")
    names = [f"{side} {part}" for part in ("contour", "brow", "eye") for side in ("left", "right")]
    assert sorted(groups) == sorted([*names, "nose", "mouth"])
    assert groups["left contour"] == list(range(17)) and groups["right eye"] == [*range(68, 76), 97]
    assert list(plots.landmark_groups("menpo39")) == ["contour", "brows", "nose", "eyes", "mouth"]


def test_bars_are_the_errors_in_the_order_of_the_groups(tmp_path):
    errors = np.arange(1.0, 30)
    errors[4] = np.nan
    axes = Figure().add_subplot()
    figure = plots.landmark_errors(errors, "cofw29", target=axes, title="mine", reference=errors + 1)
    assert figure is axes.figure and axes.get_title() == "mine"
    order = [int(label.get_text()) for label in axes.get_xticklabels()]
    assert order == [point for points in plots.landmark_groups("cofw29").values() for point in points]
    heights = [bar.get_height() for bar in axes.patches]
    np.testing.assert_array_equal(heights, np.nan_to_num(errors[order]))
    np.testing.assert_array_equal(axes.get_lines()[-1].get_ydata(), errors[order] + 1)
    assert axes.texts[0].get_text() == "left brow\n3.33"  # 1, 3 and 6 of its points 0, 2, 4 and 5
    assert axes.get_ylabel() == "error, % of inter-ocular"
    plots.landmark_errors(errors, "cofw29", target=tmp_path / "errors.png", normalizer="box")
    assert cv2.imread(str(tmp_path / "errors.png")).std() > 0
    with pytest.raises(ValueError, match=r"cofw29 has 29 landmarks, got errors of shape \(19,\)"):
        plots.landmark_errors(np.zeros(19), "cofw29")


def test_landmarks_of_one_face(tmp_path):
    made, _ = run_of(tmp_path, 3)
    made.weights[2, 0] = 0
    axes = plots.landmark_figure(made, index=2).axes[0]
    heights = dict(
        zip([label.get_text() for label in axes.get_xticklabels()], [bar.get_height() for bar in axes.patches], strict=True)
    )
    assert heights.pop("0") == 0
    np.testing.assert_allclose(list(heights.values()), made.face_errors[2], rtol=1e-4)


def test_rows_of_the_gallery(tmp_path):
    made, faces = run_of(tmp_path, 21, uncounted=(20,))
    shown = [axis.get_xlabel() for axis in plots.gallery_figure(made, faces, size=32).axes]
    errors = [f"{error:.2f} %" for error in made.face_errors[:20]]  # they grow with the position
    assert shown == errors[19:13:-1] + errors[7:13] + errors[:6]


def test_the_picture_of_a_face_shows_truth_and_prediction(tmp_path):
    made, faces = run_of(tmp_path, 3)
    cv2.imwrite(faces.images[2], np.zeros((60, 60, 3), "uint8"))
    picture = plots.face_picture(made, faces, 2, size=128).astype(int)
    assert picture.shape == (128, 128, 3)
    for colour in (plots.GREEN, plots.RED):
        assert (picture == colour).all(-1).sum() >= 19
