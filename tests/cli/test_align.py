"""The `kfacealign` command, from its arguments to its files and messages."""

import argparse
import json
import os
import subprocess
import sys

import cv2
import keras
import numpy as np
import pytest

from kfacealign import data, deploy, geometry, models, photo, schemes
from kfacealign.cli.arguments import add_second_look
from kfacealign.cli.main import main
from kfacealign.codecs import Heatmap
from kfacealign.data import SyntheticFaces, five_points
from kfacealign.data.readers.pts import read_pts, write_points

CELLS = np.stack([np.arange(19) % 8, np.arange(19) // 8], axis=-1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that finds landmark k of any crop in cell CELLS[k] of 8 x 8, and what was exported from it."""
    maps = np.zeros((8, 8, 19), "float32")
    maps[CELLS[:, 1], CELLS[:, 0], np.arange(19)] = 0.5
    image = keras.Input((16, 16, 3), name="image")
    dense = keras.layers.Dense(maps.size, kernel_initializer="zeros")
    heatmap = keras.layers.Reshape(maps.shape)(dense(keras.layers.GlobalAveragePooling2D()(image)))
    dense.bias.assign(maps.ravel())
    model = models.FaceAligner(keras.Model(image, {"heatmap_1": heatmap}), Heatmap(8), "aflw19", enlarge=1.25)
    folder = tmp_path_factory.mktemp("cli")
    model.save(folder / "m.keras")
    deploy.export(model, folder / "m.tflite")
    picture = np.random.default_rng(0).integers(0, 255, (90, 120, 3), "uint8")
    cv2.imwrite(str(folder / "photo.png"), picture)
    return folder


def failure(capsys, *arguments):
    """Exit status and stderr of a command that must not succeed."""
    status = main([str(argument) for argument in arguments])
    return status, capsys.readouterr().err


# === The command line ===


def test_help_names_the_commands_and_nothing_else_is_printed():
    result = subprocess.run([sys.executable, "-m", "kfacealign", "--help"], capture_output=True, text=True)
    assert result.returncode == 0 and result.stderr == ""
    for command in ("align", "evaluate", "export", "codecs", "synthetic"):
        assert command in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: COMMAND"),
        (["align", "a.jpg", "--model", "m", "--box", "1,2,3"], "expected four numbers x0,y0,x1,y1"),
        (["align", "a.jpg", "--model", "m", "--box", "9,2,3,4"], "x0 must be less than x1"),
        (["export", "--model", "m.keras", "--out", "x", "--precision", "int4"], "invalid choice: 'int4'"),
        (["synthetic", "wflw", "x", "--train", "-3"], "expected a number"),
    ],
)
def test_mistakes_in_the_arguments(arguments, message, capsys):
    with pytest.raises(SystemExit) as error:
        main(arguments)
    assert error.value.code == 2
    assert message in capsys.readouterr().err


def test_errors_are_one_line_unless_debugging(tmp_path, capsys):
    status, message = failure(capsys, "align", "a.jpg", "--model", tmp_path / "no.keras")
    assert status == 2
    assert message.startswith("kfacealign: error: ") and "no.keras: no such model" in message
    assert message.count("\n") == 1
    status, message = failure(capsys, "align", "a.jpg", "--model", tmp_path / "no.keras", "--debug")
    assert status == 2 and "Traceback" in message


# === align ===


@pytest.mark.parametrize("model", ["m.keras", "m.tflite"])
def test_align_writes_picture_points_and_json(folder, tmp_path, capsys, model):
    # The square of side 50 around the box has its corner at (5, 15).
    arguments = ["align", folder / "photo.png", "--model", folder / model, "--box", "10,20,50,60", "--out", tmp_path]
    assert main([str(argument) for argument in arguments]) == 0
    expected = np.array([5.0, 15.0]) + CELLS / 8 * 50

    result = json.loads((tmp_path / "photo.json").read_text())
    assert (result["width"], result["height"], result["scheme"]) == (120, 90, "aflw19")
    assert "outer top-left corner" in result["coordinates"]
    (face,) = result["faces"]
    assert face["box"] == [5.0, 15.0, 55.0, 65.0]
    np.testing.assert_allclose(face["landmarks"], expected, atol=1e-3)
    np.testing.assert_allclose(face["scores"], 0.5)

    lines = (tmp_path / "photo.pts").read_text().split("\n")
    assert lines[:3] == ["version: 1", "n_points: 19", "{"]
    np.testing.assert_allclose([[float(x) for x in line.split()] for line in lines[3:22]], expected + 0.5, atol=1e-3)

    assert cv2.imread(str(tmp_path / "photo_landmarks.png")).shape == (90, 120, 3)
    assert sorted(os.listdir(tmp_path)) == ["photo.json", "photo.pts", "photo_landmarks.png"]
    shown = capsys.readouterr().out
    for name in os.listdir(tmp_path):
        assert str(tmp_path / name) in shown


def test_align_a_second_time_by_five_points(folder, tmp_path):
    arguments = [
        "align",
        folder / "photo.png",
        "--model",
        folder / "m.tflite",
        "--box",
        "10,20,50,60",
        "--five-points",
        "--out",
        tmp_path,
    ]
    assert main([str(argument) for argument in arguments]) == 0
    result = json.loads((tmp_path / "photo.json").read_text())
    first = np.array([5.0, 15.0]) + CELLS / 8 * 50
    matrix = geometry.invert_affine(five_points.crop_matrices(first, "aflw19", 16, enlarge=1.25))
    np.testing.assert_allclose(result["faces"][0]["landmarks"], geometry.apply_affine(matrix, CELLS / 8 * 16), atol=2e-3)
    assert result["align"] == "five_points" and result["faces"][0]["box"] == [5.0, 15.0, 55.0, 65.0]


def test_align_with_the_mirrored_crop(folder, tmp_path, capsys):
    arguments = [folder / "photo.png", "--box", "10,20,50,60", "--flip", "--out", tmp_path]
    assert main([str(argument) for argument in ["align", "--model", folder / "m.keras", *arguments]]) == 0
    result = json.loads((tmp_path / "photo.json").read_text())
    mirrored = (CELLS / 8 * [-1, 1] + [1, 0])[list(schemes.get("aflw19").mirror)]
    np.testing.assert_allclose(result["faces"][0]["landmarks"], np.array([5.0, 15.0]) + 25 * (CELLS / 8 + mirrored), atol=1e-3)
    assert result["align"] == "box"
    for command in (["align", *arguments], ["evaluate", "--dataset", "synthetic", "--flip"]):
        status, message = failure(capsys, *command, "--model", folder / "m.tflite")
        assert status == 2 and "chosen by export --flip" in message


def test_a_bad_photo_is_named_and_skipped(folder, tmp_path, capsys):
    (tmp_path / "cut.png").write_bytes((folder / "photo.png").read_bytes()[:300])
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "photo.png").write_bytes((folder / "photo.png").read_bytes())
    photos = [tmp_path / name for name in ("cut.png", "missing.jpg", "empty.jpg", "photo.png")]
    out = tmp_path / "out"
    arguments = ["align", *photos, "--model", folder / "m.tflite", "--box=10,20,50,60", "--out", out]
    assert main([str(argument) for argument in arguments]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    for name in ("cut.png", "missing.jpg", "empty.jpg"):
        assert f"{name}: skipped" in shown
    assert "3 of 4 photographs failed" in shown
    assert sorted(os.listdir(out)) == ["photo.json", "photo.pts", "photo_landmarks.png"]


def test_a_photo_without_a_face_asks_for_a_box(folder, tmp_path, capsys):
    arguments = ["align", folder / "photo.png", "--model", folder / "m.tflite", "--out", tmp_path]
    assert main([str(argument) for argument in arguments]) == 1
    assert "no face found" in capsys.readouterr().out


def test_a_real_face_is_found(folder, tmp_path):
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA is not set")
    samples = os.path.join(os.environ["KFACEALIGN_DATA"], "samples")
    truth = read_pts(os.path.join(samples, "takeo.pts"))
    assert main(["align", os.path.join(samples, "takeo.ppm"), "--model", str(folder / "m.tflite"), "--out", str(tmp_path)]) == 0
    box = np.array(json.loads((tmp_path / "takeo.json").read_text())["faces"][0]["box"])
    assert (truth > box[:2]).all() and (truth < box[2:]).all()
    assert np.ptp(truth, axis=0).max() > 0.6 * (box[2] - box[0])


@pytest.mark.parametrize("detector", ["blazeface", "haar"])
def test_the_detector_and_the_mean_scores_are_told(folder, tmp_path, capsys, detector):
    face = SyntheticFaces(3, size=256).render(6)
    cv2.imwrite(str(tmp_path / "face.png"), face.image[..., ::-1])
    command = ["align", str(tmp_path / "face.png"), "--model", str(folder / "m.tflite"), "--out", str(tmp_path / "out")]
    assert main([*command, "--detector", detector]) == 0
    shown = capsys.readouterr().out
    assert f"detector: {detector}" in shown and "1 face, mean score 0.50 ->" in shown
    (found,) = json.loads((tmp_path / "out" / "face.json").read_text())["faces"]
    assert found["mean_score"] == 0.5 and 0 < found["detector_score"] < 1
    assert main([*command, "--detector", detector, "--min-score", "1", "--overwrite"]) == 1
    assert "no face found" in capsys.readouterr().out


def test_a_face_on_its_side(tmp_path):
    face = SyntheticFaces(3, size=256).render(1)
    cv2.imwrite(str(tmp_path / "side.png"), np.rot90(face.image[..., ::-1]))
    assert main(["align", str(tmp_path / "side.png"), "--any-rotation", "--out", str(tmp_path)]) == 0
    truth = face.landmarks["ibug68"]
    truth = np.stack([truth[:, 1], 256 - truth[:, 0]], axis=-1)  # as np.rot90 turns
    (found,) = json.loads((tmp_path / "side.json").read_text())["faces"]
    assert np.linalg.norm(found["landmarks"] - truth, axis=-1).mean() < 0.06 * np.ptp(truth, axis=0).max()


def test_a_face_in_a_box_that_is_upside_down_is_read_again_unless_told_not_to(tmp_path):
    face = SyntheticFaces(3, size=256).render(1)
    cv2.imwrite(str(tmp_path / "face.png"), np.rot90(face.image[..., ::-1], 2))
    truth = 256 - face.landmarks["ibug68"]
    box = ",".join(f"{value:.1f}" for value in geometry.landmark_box(truth))
    errors = {}
    for look in ("rolled", "none", "all"):
        given = [] if look == "rolled" else ["--second-look", look]
        assert main(["align", str(tmp_path / "face.png"), f"--box={box}", *given, "--out", str(tmp_path / look)]) == 0
        (found,) = json.loads((tmp_path / look / "face.json").read_text())["faces"]
        errors[look] = np.linalg.norm(found["landmarks"] - truth, axis=-1).mean()
    assert errors["rolled"] == errors["all"] < 0.6 * errors["none"]


def test_the_flag_takes_the_second_looks_that_there_are():
    parser = argparse.ArgumentParser()
    add_second_look(parser)
    (action,) = [action for action in parser._actions if action.dest == "second_look"]
    assert tuple(action.choices) == photo.LOOKS and action.default == "rolled"


def test_an_unknown_detector(folder, tmp_path, capsys):
    model = folder / "m.tflite"
    status, message = failure(capsys, "align", "a.jpg", "--model", model, "--detector", "mtcnn", "--out", tmp_path)
    assert status == 2 and "no detector 'mtcnn'; there are blazeface, haar" in message


@pytest.mark.parametrize("box", ["5000,5000,5100,5100", "-500,-500,-400,-400", "60,60,60.01,60.01", "0,0,1e9,1e9"])
def test_a_box_beside_the_photograph_is_named(folder, tmp_path, capsys, box):
    arguments = ["align", folder / "photo.png", "--model", folder / "m.tflite", f"--box={box}", "--out", tmp_path]
    assert main([str(argument) for argument in arguments]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "photo.png: skipped: the box" in shown and "in a photograph of 120 x 90 pixels" in shown
    assert os.listdir(tmp_path) == []


# === evaluate ===


def test_evaluate_prints_and_writes_a_report(folder, tmp_path, capsys):
    faces = tmp_path / "faces" / "test"
    faces.mkdir(parents=True)
    (tmp_path / "faces" / "train").mkdir()
    for part, count in (("train", 1), ("test", 2)):
        for index in range(count):
            stem = tmp_path / "faces" / part / str(index)
            cv2.imwrite(f"{stem}.png", np.full((90, 120, 3), 99, "uint8"))
            write_points(f"{stem}.pts", 20.0 + 5.0 * CELLS)
    (tmp_path / "faces" / "test" / "1.png").write_bytes(b"damaged")
    arguments = ["--model", folder / "m.tflite", "--dataset", "pts", "--data-dir", tmp_path / "faces", "--out", tmp_path / "out"]
    with pytest.warns(UserWarning, match="1.png"):
        assert main(["evaluate", *map(str, arguments), "--normalizer", "box"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "1 training and 2 test faces" in shown and "1 skipped" in shown
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    # The box of the points is 35 wide and 10 high around (37.5, 25); its square of side 43.75 begins at (15.625, 3.125).
    errors = np.linalg.norm(np.array([15.625, 3.125]) + CELLS / 8 * 43.75 - (20 + 5 * CELLS), axis=-1)
    assert report["normalizer"] == "box"
    np.testing.assert_allclose(report["subsets"]["full"]["nme"], 100 * errors.mean() / np.sqrt(350), rtol=1e-4)
    for name in ("report.json", "ced.png", "predictions.png"):
        assert (tmp_path / "out" / name).exists() and str(tmp_path / "out" / name) in shown.replace(" ", "")


def test_evaluate_aligns_by_five_points(folder, tmp_path):
    truth = geometry.apply_affine([[0.0, -40.0, 80.0], [40.0, 0.0, 30.0]], schemes.get("aflw19").mean_shape)  # lying on its side
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        cv2.imwrite(str(tmp_path / part / "0.png"), np.full((90, 120, 3), 99, "uint8"))
        write_points(tmp_path / part / "0.pts", truth)
    arguments = ["--model", folder / "m.tflite", "--dataset", "pts", "--data-dir", tmp_path, "--align", "five_points"]
    assert main(["evaluate", *map(str, arguments), "--normalizer", "box", "--out", str(tmp_path / "out")]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    matrix = geometry.invert_affine(five_points.crop_matrices(truth, "aflw19", 16, enlarge=1.25))
    errors = np.linalg.norm(geometry.apply_affine(matrix, CELLS / 8 * 16) - truth, axis=-1)
    assert report["align"] == "five_points"
    np.testing.assert_allclose(
        report["subsets"]["full"]["nme"], 100 * errors.mean() / np.sqrt(np.ptp(truth, axis=0).prod()), rtol=1e-3
    )


def test_evaluate_needs_a_dataset_of_the_models_scheme(folder, tmp_path, capsys):
    status, message = failure(capsys, "evaluate", "--model", folder / "m.tflite", "--dataset", "pts")
    assert status == 2 and "--dataset pts needs --data-dir" in message
    status, message = failure(capsys, "evaluate", "--model", folder / "m.tflite", "--dataset", "wflw", "--data-dir", tmp_path)
    assert status == 2 and "WFLW" in message and message.count("\n") == 1


# === export ===


def test_export_writes_a_model_that_works(folder, tmp_path, capsys):
    np.save(tmp_path / "crops.npy", np.zeros((2, 16, 16, 3), "uint8"))
    for extra in (
        [],
        ["--precision", "int8", "--calibration", str(tmp_path / "crops.npy")],
        ["--precision", "int8", "--calibration", str(folder)],
    ):
        out = tmp_path / "exported.tflite"
        assert main(["export", "--model", str(folder / "m.keras"), "--out", str(out), *extra]) == 0
        assert "written:" in capsys.readouterr().out
        landmarks, _ = deploy.load(out).align(np.zeros((1, 16, 16, 3)))
        np.testing.assert_allclose(landmarks[0], CELLS / 8, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "{folder}/m.tflite", "--out", "x"], "only a .keras file can be exported"),
        (["--model", "{folder}/none.keras", "--out", "x"], "no such model"),
        (["--model", "{folder}/m.keras", "--out", "{tmp}/x.tflite", "--precision", "int8"], "--precision int8 and --calibration"),
        (
            ["--model", "{folder}/m.keras", "--out", "{tmp}/x.tflite", "--calibration", "{tmp}"],
            "--precision int8 and --calibration",
        ),
        (
            ["--model", "{folder}/m.keras", "--out", "{tmp}/x.tflite", "--precision", "int8", "--calibration", "{tmp}"],
            "holds no image",
        ),
    ],
)
def test_export_mistakes(folder, tmp_path, capsys, arguments, message):
    arguments = [argument.format(folder=folder, tmp=tmp_path) for argument in arguments]
    status, shown = failure(capsys, "export", *arguments)
    assert status == 2 and message in shown


# === codecs ===


def test_quantization_prints_a_table(capsys):
    if "KFACEALIGN_DATA" not in os.environ:
        pytest.skip("KFACEALIGN_DATA is not set")
    path = os.path.join(os.environ["KFACEALIGN_DATA"], "annotations", "300w", "face_landmarks_300w_valid_challenge.csv")
    assert main(["codecs", "quantization", "--annotations", path]) == 0
    shown = capsys.readouterr().out
    assert "135 faces" in shown and "heatmap in heatmap 64x64, 8x8" in shown
    assert main(["codecs", "quantization", "--annotations", path, "--scheme", "aflw19"]) == 2
    assert "expected 38 columns of coordinates after center_h (aflw19), found 136" in capsys.readouterr().err


# === synthetic ===


def test_synthetic_faces_are_written_and_read(tmp_path, capsys):
    settings = ["--size", "64", "--seed", "3"]
    assert main(["synthetic", "wflw", str(tmp_path / "wflw"), "--train", "2", "--test", "1", *settings]) == 0
    assert f"written: {tmp_path / 'wflw'}" in capsys.readouterr().out.replace("\n", "")
    faces = data.wflw(tmp_path / "wflw")
    assert (len(faces.train), len(faces.test)) == (2, 1)
    assert main(["synthetic", "pts", str(tmp_path / "pts"), "--train", "1", "--test", "2", "--scheme", "aflw19", *settings]) == 0
    assert len(data.pts(tmp_path / "pts", scheme="aflw19").test) == 2
    assert main(["synthetic", "clips", str(tmp_path / "clips"), "--clips", "1", "--frames", "3", *settings]) == 0
    assert len(list((tmp_path / "clips").rglob("*.pts"))) == 3


def test_synthetic_faces_do_not_replace_other_things(tmp_path, capsys):
    (tmp_path / "thesis.txt").touch()
    status, message = failure(capsys, "synthetic", "wflw", tmp_path, "--train", "1")
    assert status == 2 and "holds something else" in message
    assert (tmp_path / "thesis.txt").exists()
