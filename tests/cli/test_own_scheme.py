"""Points of one's own through the commands: a scheme is written, checked, drawn, and read wherever `--scheme` is."""

import json

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

from kfacealign import data, evaluation, scheme_files, schemes
from kfacealign.cli.main import main
from kfacealign.data.catalogue import load_dataset
from kfacealign.data.image_files import write
from kfacealign.data.readers.pts import write_points
from kfacealign.training import parse_settings
from kfacealign.training.resuming import describe

# Two eyes, nose, and two points each of an upper and a lower lip, in the order of a tool that knows no sides.
SHAPE = np.array([[30, 30], [45, 55], [60, 30], [35, 70], [55, 70], [36, 75], [54, 75.0]])
MIRROR = (2, 1, 0, 4, 3, 6, 5)
FILE = f"points: 7\nmirror: {list(MIRROR)}\ncontours: {{lips: {{points: [3, 4, 6, 5], closed: true}}}}\neye_corners: [0, 2]\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Twelve faces of 7 points, which are named `mine`."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for place in range(12):
        points = SHAPE + rng.normal(0, 0.3, SHAPE.shape) + rng.uniform(-5, 5, 2)
        points[5:, 1] += 8 * rng.random()
        write(tmp_path / "mine" / f"{place:02}.png", rng.integers(0, 255, (100, 90, 3), "uint8"))
        write_points(tmp_path / "mine" / f"{place:02}.pts", points)
    return tmp_path


def run(capsys, *arguments):
    status = main([*map(str, arguments)])
    captured = capsys.readouterr()
    return status, " ".join((captured.out + captured.err).split())


def test_a_scheme_is_written_and_drawn(folder, capsys):
    status, shown = run(capsys, "datasets", "scheme", "mine", "--draw", "points.png")
    assert status == 0 and "mine: 12 faces of 7 points" in shown
    assert "mirror: 3 pairs and 1 points on the middle" in shown and "written: points.yaml" in shown
    scheme = scheme_files.read("points.yaml")
    assert (scheme.name, scheme.mirror, scheme.contours, scheme.eye_corners) == ("mine", MIRROR, (), None)
    face = 0.5 + (SHAPE - [45, 54.5]) * 0.8 / 49  # a mouth that opens lowers the lower lip by 4 pixels in the mean
    np.testing.assert_allclose(scheme.mean_shape[:5], face[:5], atol=0.025)
    picture = np.asarray(Image.open("points.png"))
    assert picture.shape == (1200, 2400, 3)
    for point, (x, y) in enumerate(scheme.mean_shape * 1200):
        red, green, blue = picture[round(float(y)), round(float(x))].astype(int)
        side = "middle" if point == 1 else "left" if SHAPE[point, 0] < 45 else "right"
        assert {"middle": green > max(red, blue), "left": blue > red + 90, "right": red > blue + 90}[side]
    assert picture[:, 1200:].std() > 30  # a face


def test_a_file_is_not_replaced_unasked(folder, capsys):
    (folder / "points.yaml").write_text("mine")
    status, shown = run(capsys, "datasets", "scheme", "mine")
    assert status == 2 and "points.yaml is there already" in shown and (folder / "points.yaml").read_text() == "mine"
    assert run(capsys, "datasets", "scheme", "mine", "--overwrite", "--name", "seven")[0] == 0
    assert scheme_files.read("points.yaml").name == "seven"


def test_a_scheme_is_compared_with_faces(folder, capsys):
    (folder / "a.yaml").write_text(FILE)
    status, shown = run(capsys, "datasets", "scheme", "mine", "--scheme", "a.yaml", "--draw", "a.png")
    assert status == 0 and "the mirror of a fits the faces" in shown and not (folder / "points.yaml").exists()
    assert (cv2.imread("a.png") < 250).any()
    (folder / "a.yaml").write_text(FILE.replace("2, 1, 0", "0, 1, 2"))
    wrong = "the mirror of 2 points does not fit the mean shape of the faces (0 becomes 0, not 2, 2 becomes 2, not 0)"
    for command in (["scheme", "mine"], ["check", "pts", "mine", "--out", "out"]):
        status, shown = run(capsys, "datasets", *command, "--scheme", "a.yaml")
        assert status == 1 and wrong in shown
    with pytest.warns(UserWarning, match="the mirror of 2 points does not fit"):
        load_dataset("pts", "mine", scheme=scheme_files.read("a.yaml"))


def test_lists_have_points_of_ones_own_too(folder, capsys):
    header = "image_name,scale,center_w,center_h," + ",".join(f"original_{place}_{axis}" for place in range(7) for axis in "xy")
    rows = [f"{place}.png,0.5,45,52," + ",".join(f"{value}" for value in (SHAPE + place).ravel()) for place in range(5)]
    (folder / "lists").mkdir()
    (folder / "lists" / "face_landmarks_mine_train.csv").write_text("\n".join([header, *rows]) + "\n")
    status, shown = run(capsys, "datasets", "scheme", "lists", "--out", "l.yaml")
    assert status == 0 and "5 faces of 7 points" in shown and scheme_files.read("l.yaml").mirror == MIRROR


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none"], "none is no directory"),
        (["empty"], "holds neither .pts files nor CSV lists"),
        (["mine", "--name", "ibug68"], "ibug68 is a scheme of this package"),
    ],
)
def test_what_has_no_points(folder, capsys, arguments, message):
    (folder / "empty").mkdir()
    status, shown = run(capsys, "datasets", "scheme", *arguments)
    assert status == 2 and message in shown and not (folder / "points.yaml").exists()


def test_check_and_pack(folder, capsys):
    (folder / "a.yaml").write_text(FILE)
    status, shown = run(capsys, "datasets", "check", "pts", "mine", "--scheme", "a.yaml", "--out", "out")
    assert status == 0 and "mine (a): 11 training and 1 test faces" in shown
    assert cv2.imread("out/mean_shape.png").shape == (640, 640, 3)
    assert run(capsys, "datasets", "pack", "pts", "mine", "a.h5", "--scheme", "a.yaml", "--size", "32")[0] == 0
    read = load_dataset("packed", "a.h5")
    assert read.scheme.matches(scheme_files.read("a.yaml")) and read.scheme.contours[0].closed
    assert read.normalizer == "inter_ocular" and read.train.scheme.mean_shape is not None
    with h5py.File("a.h5", "r+") as file:
        told = json.loads(file["scheme"][0])
        file["scheme"][0] = json.dumps({**told, "mirror": [1, 2, 0, 3, 4, 5, 6]})
    with pytest.raises(ValueError, match=r"a\.h5: it is damaged: its scheme is wrong: .*not its own inverse"):
        data.packed("a.h5")
    with h5py.File("a.h5", "r+") as file:
        file["scheme"][0] = json.dumps({**told, "name": "other"})
    with pytest.raises(ValueError, match=r"a\.h5: it is damaged: its scheme is not the description of 'a'"):
        data.packed("a.h5")
    with h5py.File("a.h5", "r+") as file:
        del file["scheme"]
    with pytest.raises(ValueError, match=r"a\.h5: it has the scheme 'a', there are wflw98"):
        data.packed("a.h5")


def test_score_and_compare(folder, capsys):
    (folder / "a.yaml").write_text(FILE)
    for name, shift in (("truth", 0), ("one", 3), ("two", 6)):
        np.savez(f"{name}.npz", names=["a"], landmarks=[SHAPE + [shift, 0]])
    status, shown = run(capsys, "score", "--scheme", "a.yaml", "--truth", "truth.npz", "--predictions", "one.npz")
    assert status == 0 and "1 faces, a, errors in percent" in shown and "10.00" in shown  # 3 of 30 pixels between the eyes
    status, shown = run(capsys, "score", "--scheme", "ibug68", "--truth", "truth.npz", "--predictions", "one.npz")
    assert status == 2 and "(N, 68, 2)" in shown
    scheme = scheme_files.read("a.yaml")
    for name, shift in (("one", 3), ("two", 6)):
        evaluation.report(SHAPE[None], SHAPE[None] + [shift, 0], scheme).save(folder / name / "report.json")
    found = evaluation.comparison.read_run("two")
    assert found.definition.matches(scheme) and found.errors[0] == pytest.approx(20)
    assert run(capsys, "compare", "one", "two", "--out", "c")[0] == 0
    told = json.loads((folder / "two" / "report.json").read_text())
    for definition in ({**told["definition"], "mirror": [0]}, {**told["definition"], "name": "x"}, 5):
        (folder / "two" / "report.json").write_text(json.dumps({**told, "definition": definition}))
        with pytest.raises(ValueError, match=r"report\.json: not the report of a run"):
            evaluation.comparison.read_run("two")


def test_a_wrong_file_ends_a_command_before_it_begins(folder, capsys):
    (folder / "a.yaml").write_text(FILE.replace("[2, 1, 0", "[2, 0, 1"))
    for command in (
        ["score", "--truth", "t.npz", "--predictions", "p.npz"],
        ["evaluate", "--model", "m.tflite", "--dataset", "pts"],
        ["datasets", "check", "pts", "mine"],
    ):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--scheme", "a.yaml"])
        assert ended.value.code == 2
        assert "a.yaml:2: mirror: mirror is not its own inverse, point 0 becomes 2" in capsys.readouterr().err


def test_settings_of_a_recipe(folder):
    (folder / "a.yaml").write_text(FILE)
    paper = {"input_size": 64, "epochs": 1, "batch_size": 2, "learning_rate": 1e-3}
    settings = parse_settings("", paper, {}, argv=["--dataset", "pts", "--data-dir", "mine", "--scheme", "a.yaml"])
    faces = load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme)
    described = describe(faces, settings)
    assert described["scheme"] == schemes.described(faces.scheme) and described["scheme"]["name"] == "a"
    assert json.loads(json.dumps(described)) == described
