import json

import cv2
import numpy as np
import pytest
import scipy.stats

from kfacealign.cli.main import main
from kfacealign.data import Faces
from kfacealign.evaluation import comparison, report, run_files


def test_comparison_by_hand():
    first = np.array([2.0, 4.0, 6.0, 8.0, np.nan])
    made = comparison.compare(first, np.array([1.0, 4.0, 5.0, 9.5, 3.0]))
    assert (made.faces, made.better, made.worse, made.equal) == (4, 2, 1, 1)
    assert (made.first, made.second, made.difference) == (5.0, 4.875, -0.125)
    assert made.p_value == 1.0  # 2 of 3
    assert made.low < made.difference < made.high
    assert comparison.compare(first, first * np.nan) is None
    assert comparison.compare(first, first).p_value == 1.0


def test_sign_test_of_ten_to_one():
    made = comparison.compare(np.zeros(12), np.array([-1.0] * 10 + [1.0, 0.0]))
    assert made.p_value == pytest.approx(2 * (1 + 11) / 2**11)


def test_the_interval_is_that_of_scipy():
    values = np.random.default_rng(1).exponential(1, 300) - 0.8
    low, high = comparison.bootstrap_interval(values, resamples=4000, confidence=90, seed=3)
    assert comparison.bootstrap_interval(values, resamples=4000, confidence=90, seed=3) == (low, high)
    assert comparison.bootstrap_interval(values, resamples=4000, confidence=90, seed=4) != (low, high)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, n_resamples=4000, confidence_level=0.9, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose([low, high], expected, atol=0.01)


def test_the_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for seed in range(200):
        low, high = comparison.bootstrap_interval(rng.normal(1, 2, 60), resamples=400, confidence=90, seed=seed)
        inside += low <= 1 <= high
    assert 160 <= inside <= 196


def test_blocks_of_resamples_are_all_drawn(monkeypatch):
    monkeypatch.setattr(comparison, "BLOCK", 50)
    low, high = comparison.bootstrap_interval(np.arange(20.0), resamples=999, confidence=95)
    assert 5 < low < 9.5 < high < 14


def test_people_make_the_interval_wider():
    """Frames of a person are alike, so ten people of nine equal frames are ten values, not ninety."""
    values = np.repeat(np.random.default_rng(1).uniform(2, 14, 10), 9)
    names = [f"Person_{person}_{clip}{frame}" for person in range(10) for clip in range(3) for frame in range(3)]
    groups = comparison.people(names)
    assert groups.tolist() == np.repeat(np.arange(10), 9).tolist()
    assert len(set(comparison.people(["001", "002", "A_1", "A_2"]))) == 3
    alone, together = comparison.bootstrap_interval(values), comparison.bootstrap_interval(values, groups=groups)
    np.testing.assert_allclose(together, comparison.bootstrap_interval(values[::9]), atol=0.15)
    assert np.ptp(together) > 2 * np.ptp(alone)


def test_a_resample_of_unequal_people_is_the_mean_over_all_their_faces():
    low, high = comparison.bootstrap_interval([0, 0, 0, 8], groups=[0, 0, 0, 1], confidence=99.9)
    assert (low, high) == (0, 8)
    middle = comparison.bootstrap_interval([0, 0, 0, 8], groups=[0, 0, 0, 1], confidence=1e-9)
    assert middle == (2, 2)  # one person of each: 8 / 4


def test_the_faces_that_changed_most():
    assert comparison.most_changed(np.array([0.5, -2, np.nan, 3, -1, 0]), 2) == ([1, 4], [3, 0])
    assert comparison.most_changed(np.array([0.0, np.nan]), 2) == ([], [])


def test_wrong_arguments():
    with pytest.raises(ValueError, match="are not paired"):
        comparison.compare(np.zeros(2), np.zeros(3))
    with pytest.raises(ValueError, match="expected at least 1, and between 0 and 100"):
        comparison.compare(np.zeros(2), np.ones(2), confidence=100.0)


# === Reports and the command ===


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs a and b on 12 faces; b is better on the first eight, and has them in another order."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    truth = rng.uniform(10, 90, (12, 19, 2)).astype("float32")
    truth[:, 6], truth[:, 11] = (20, 30), (70, 30)
    images = []
    for index in range(12):
        images.append(str(folder / f"{index}.png"))
        cv2.imwrite(images[-1], rng.integers(0, 256, (100, 100, 3), "uint8"))
    order = rng.permutation(12)
    for name, offset, chosen in (("a", np.full(12, 2.0), np.arange(12)), ("b", np.r_[np.ones(8), 2.5, 3, 4, 2], order)):
        faces = Faces("aflw19", [images[i] for i in chosen], truth[chosen], names=[f"face {i}" for i in chosen])
        predicted = truth + offset.reshape(-1, 1, 1) * [1, 0]
        made = report(faces.landmarks, predicted[chosen], "aflw19", subsets={"hard": chosen >= 8}, names=faces.names)
        run_files.write_run(folder / name, made, faces, size=32)
    return folder


def test_a_report_is_read_back(folder):
    made = comparison.read_run(folder / "a")
    assert made.label == "a" and made.scheme == "aflw19" and made.normalizer == "inter_ocular" and made.threshold == 10
    np.testing.assert_allclose(made.errors, 4.0)
    np.testing.assert_array_equal(made.subsets["hard"], [8, 9, 10, 11])
    assert comparison.labels([made, made]) == [str(made.path)] * 2


def test_a_report_without_positions(folder, tmp_path):
    content = json.loads((folder / "a" / "report.json").read_text())
    del content["subset_positions"]
    (tmp_path / "old.json").write_text(json.dumps(content))
    assert comparison.read_run(tmp_path / "old.json").subsets == {}


def test_the_command(folder, tmp_path, capsys):
    assert main(["compare", str(folder / "a"), str(folder / "b" / "report.json"), "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "first: a, second: b" in printed and "face 10" in printed
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ced.png", "changed.png", "compare.json"]
    content = json.loads((tmp_path / "out" / "compare.json").read_text())
    row = content["against_first"]["b"]["subsets"]["full"]
    assert (row["faces"], row["better"], row["worse"], row["equal"]) == (12, 8, 3, 1)
    assert row["difference"] == pytest.approx((-8 * 2 + 1 + 2 + 4) / 12, abs=1e-4)
    hard = content["against_first"]["b"]["subsets"]["hard"]
    assert hard["faces"] == 4 and hard["difference"] == pytest.approx(7 / 4, abs=1e-4)
    assert [face["name"] for face in content["against_first"]["b"]["changed"]["worse"]] == ["face 10", "face 9", "face 8"]
    assert cv2.imread(str(tmp_path / "out" / "changed.png")).std() > 0


def test_three_runs_and_no_pictures(folder, tmp_path, capsys):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "report.json").write_bytes((folder / name / "report.json").read_bytes())
    paths = [str(tmp_path / "a"), str(tmp_path / "b"), str(folder / "b")]
    assert main(["compare", *paths, "--out", str(tmp_path / "out"), "--resamples", "50"]) == 0
    assert "no picture of the faces that changed" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ced.png", "compare.json"]
    assert len(json.loads((tmp_path / "out" / "compare.json").read_text())["against_first"]) == 2


def edited(folder, tmp_path, **changes):
    content = json.loads((folder / "a" / "report.json").read_text())
    (tmp_path / "report.json").write_text(json.dumps({**content, **changes}))
    return tmp_path


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"normalizer": "box"}, "differ in their normaliser: inter_ocular and box"),
        ({"scheme": "cofw29"}, "differ in their scheme: aflw19 and cofw29"),
        ({"faces": [{"name": "face 0", "nme": 1.0}]}, "11 of the first are not in the second, for instance face 1"),
        ({"faces": [{"name": "face 0", "nme": 1.0}] * 2}, "report.json: names of faces occur twice"),
        ({"faces": [{"nme": 1.0}]}, "report.json: not the report of a run"),
        ({"subsets": {}}, "report.json: not the report of a run"),
    ],
)
def test_runs_that_cannot_be_compared(folder, tmp_path, capsys, changes, message):
    assert main(["compare", str(folder / "a"), str(edited(folder, tmp_path, **changes)), "--out", str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err


def test_one_or_no_report(folder, tmp_path, capsys):
    assert main(["compare", str(folder / "a")]) == 2
    assert "one report is not enough" in capsys.readouterr().err
    assert main(["compare", str(folder / "a"), str(tmp_path)]) == 2
    assert "report.json is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{", '{"faces": 3}', '{"faces": [{"name": "a", "nme": 1e999}]}', '{"faces": [{"name": "a", "nme": "1"}]}'],
)
def test_a_damaged_report_is_named(tmp_path, text):
    (tmp_path / "report.json").write_text(text)
    with pytest.raises(ValueError, match=r"report\.json: not the report of a run"):
        comparison.read_run(tmp_path)


def test_positions_beyond_the_faces(folder, tmp_path):
    run = comparison.read_run(folder / "a")
    other = comparison.read_run(edited(folder, tmp_path, subset_positions={"hard": [len(run.names)]}))
    with pytest.raises(ValueError, match=r"report\.json: the subset 'hard' has a face 12, there are 12"):
        comparison.pair(run, other)


def test_damaged_predictions(tmp_path):
    path, arrays = (
        tmp_path / "predictions.npz",
        {
            "names": np.array(["a", "b"]),
            "images": np.array(["a.jpg", "b.jpg"]),
            "landmarks": np.zeros((2, 19, 2), "float32"),
            "truth": np.zeros((2, 19, 2), "float32"),
            "weights": np.ones((2, 19), "float32"),
        },
    )
    np.savez(path, **arrays)
    assert run_files.read_predictions(path)["images"].tolist() == ["a.jpg", "b.jpg"]
    for change, reason in (
        ({"truth": np.zeros((2, 18, 2))}, r"truth have shape \(2, 18, 2\)"),
        ({"names": np.zeros(2)}, "names have shape"),
        ({"landmarks": np.zeros((2, 19))}, r"landmarks have shape \(2, 19\)"),
        ({"truth": np.full((2, 19, 2), np.inf)}, "truth hold a number that is not finite"),
        ({"images": np.array([None, None])}, "images holds neither numbers nor texts"),
    ):
        np.savez(path, **{**arrays, **change})
        with pytest.raises(ValueError, match=rf"predictions\.npz: .*{reason}"):
            run_files.read_predictions(path)
    del arrays["truth"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"predictions\.npz: .*truth is missing"):
        run_files.read_predictions(path)
