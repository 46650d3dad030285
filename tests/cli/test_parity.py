"""Comparing models on the same crops: known differences, and the command."""

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import deploy, models, schemes
from kfacealign.cli.main import main
from kfacealign.cli.parity import certainty
from kfacealign.codecs.codec import Codec
from kfacealign.deploy.measure import parity

POINTS = np.random.default_rng(0).uniform(0.2, 0.8, (3, 19, 2)).astype("float32")


class Fixed:
    """A model that knows the answers."""

    scheme, input_size, enlarge = schemes.get("aflw19"), 16, 1.25

    def __init__(self, landmarks, path):
        self.landmarks, self.path = np.asarray(landmarks, "float32"), path

    def align(self, images, verbose):
        return self.landmarks[: len(images)], np.ones((len(images), 19), "float32")


def test_known_differences():
    moved = POINTS.copy()
    moved[1, 4] += (0.03, -0.04)  # a distance of 0.05
    moved[2, 7, 0] += 0.0005  # less than counts as moved
    crops = np.zeros((3, 16, 16, 3), "uint8")
    first, second = parity.compare(Fixed(POINTS, "a"), [Fixed(moved, "b")], crops)
    assert (first.name, first.maximum, first.moved, first.nme, first.ratio) == ("a", 0.0, 0.0, None, None)
    assert second.name == "b" and second.maximum == pytest.approx(0.05, abs=1e-6)
    assert second.mean == pytest.approx(0.0505 / 57, abs=1e-7) and second.moved == pytest.approx(1 / 57)
    assert second.maximum_pixels == pytest.approx(0.8, abs=1e-5) and second.mean_pixels == pytest.approx(16 * second.mean)


class Sure(Fixed):
    """A calibrated model: each point's ellipse and visibility, one for all points."""

    answers = ("landmarks", "scores", "visibility", "covariance")

    def __init__(self, path, visibility, covariance):
        super().__init__(POINTS, path)
        self.visibility, self.covariance = visibility, covariance

    def align_all(self, images, verbose):
        landmarks, scores = self.align(images, verbose)
        covariance = np.tile(np.float32(self.covariance), (*scores.shape, 1))
        return {"landmarks": landmarks, "scores": scores, "visibility": scores * self.visibility, "covariance": covariance}


def test_further_answers_of_calibrated_models():
    """Deviations are 0.02 and 0.04, and 0.02 and 0.05; the covariance of x and y is none of them."""
    reference = Sure("a", 0.9, [4e-4, 1e-4, 16e-4])
    others = [Sure("b", 0.75, [4e-4, -2e-4, 25e-4]), Fixed(POINTS, "c")]
    first, second, third = parity.compare(reference, others, np.zeros((3, 16, 16, 3), "uint8"))
    assert (first.visibility, first.deviation) == (0.0, 0.0)
    assert second.visibility == pytest.approx(0.15) and second.deviation == pytest.approx(0.01)
    assert (third.visibility, third.deviation) == (None, None) and third.maximum == 0
    told = certainty([second, third])
    assert told[0] == "b: visibility differs by 1.5e-01 at most, a standard deviation by 1.0e-02 of the crop's side"
    assert told[1] == "c is not calibrated: it says neither visibility nor covariance"
    with pytest.raises(ValueError, match="d: covariance that are not finite"):
        parity.compare(reference, [Sure("d", 0.9, [np.inf, 0, 1])], np.zeros((3, 16, 16, 3), "uint8"))


def test_errors_against_the_truth():
    """Both models shift along x, the second three times as far; errors are divided by the box of the truth."""
    truth, weights = POINTS, np.ones((3, 19), "float32")
    weights[2] = 0  # a face that could not be read counts nowhere
    near, far = POINTS + np.array([0.01, 0]), POINTS + np.array([0.03, 0])
    near[2] += 9
    crops = np.zeros((3, 16, 16, 3), "uint8")
    first, second = parity.compare(Fixed(near, "a"), [Fixed(far, "b")], crops, truth=truth, weights=weights, normalizer="box")
    lengths = np.sqrt(np.prod(np.ptp(truth[:2], axis=1), axis=-1))
    assert first.nme == pytest.approx(float(np.mean(1 / lengths)), rel=1e-4)
    assert second.nme == pytest.approx(3 * first.nme, rel=1e-4) and second.ratio == pytest.approx(3, rel=1e-4)


def test_what_cannot_be_compared():
    reference, crops = Fixed(POINTS, "a"), np.zeros((3, 16, 16, 3), "uint8")
    other = Fixed(POINTS, "b")
    other.input_size = 32
    with pytest.raises(ValueError, match="b cannot be compared: its input size is 32, the reference's 16"):
        parity.compare(reference, [other], crops)
    other = Fixed(POINTS, "b")
    other.scheme = schemes.get("cofw29")
    with pytest.raises(ValueError, match="its scheme is cofw29, the reference's aflw19"):
        parity.compare(reference, [other], crops)
    with pytest.raises(ValueError, match="b: landmarks that are not finite"):
        parity.compare(reference, [Fixed(np.full_like(POINTS, np.nan), "b")], crops)
    with pytest.raises(ValueError, match="no crops"):
        parity.compare(reference, [reference], crops[:0])


# === The command ===


@keras.saving.register_keras_serializable(package="tests_parity")
class Brightness(Codec):
    """Every landmark lies at the crop's mean red and green, moved to the right by `shift`."""

    def __init__(self, shift=0.0):
        self.shift = shift

    def get_config(self):
        return {"shift": self.shift}

    def decode(self, outputs):
        points = outputs["color"][:, None, :2] * np.ones((1, 68, 1), "float32") + np.array([self.shift, 0.0], "float32")
        return points, points[..., 0]


def brightness(scheme="ibug68", shift=0.0, size=8):
    image = keras.Input((size, size, 3), name="image")
    color = keras.layers.GlobalAveragePooling2D()(keras.layers.Rescaling(1 / 255)(image))
    return models.FaceAligner(keras.Model(image, {"color": color}), Brightness(shift), scheme)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if keras.config.backend() != "tensorflow":
        pytest.skip("exports are made under TensorFlow")
    folder = tmp_path_factory.mktemp("parity")
    brightness().save(folder / "m.keras")
    deploy.export(brightness(), folder / "m.tflite")
    deploy.export(brightness(shift=0.25), folder / "shifted")
    brightness(size=16).save(folder / "large.keras")
    return folder


def test_an_export_passes_and_another_model_does_not(folder, capsys):
    names = [str(folder / name) for name in ("m.keras", "m.tflite", "shifted")]
    assert main(["parity", *names[:2], "--count", "3"]) == 0
    printed = capsys.readouterr().out
    assert "3 faces of this package's drawing, 8 px, ibug68" in printed and "1.000" in printed
    assert main(["parity", *names, "--count", "3"]) == 2  # a SavedModel is a program
    assert "shifted is a SavedModel, a program" in capsys.readouterr().err
    assert main(["parity", *names, "--count", "3", "--trust"]) == 1
    printed = capsys.readouterr().out
    assert "shifted: a landmark differs by 0.25 of the crop" in printed and "m.tflite: a landmark" not in printed
    assert main(["parity", *names, "--count", "3", "--tolerance", "0.3", "--trust"]) == 0


def test_faces_of_a_folder(folder, tmp_path, capsys):
    root = kfa.data.write_pts(tmp_path / "faces", train=2, test=0, size=64, progress=False) / "train"
    names = [str(folder / name) for name in ("m.keras", "m.tflite")]
    assert main(["parity", *names, "--images", str(root)]) == 0
    printed = capsys.readouterr().out
    assert "2 faces of" in printed and "1.000" in printed
    for file in root.rglob("*.pts"):
        file.unlink()
    assert main(["parity", *names, "--images", str(root)]) == 0
    assert "1.000" not in capsys.readouterr().out  # no truth, no error
    assert main(["parity", *names, "--dataset", "pts", "--images", str(root)]) == 2
    assert "exclude each other" in capsys.readouterr().err


def test_faces_of_a_dataset(folder, tmp_path, capsys):
    root = kfa.data.write_pts(tmp_path / "faces", train=1, test=2, size=64, progress=False)
    names = [str(folder / name) for name in ("m.keras", "m.tflite")]
    assert main(["parity", *names, "--dataset", "pts", "--data-dir", str(root), "--normalizer", "box"]) == 0
    assert "2 faces of pts" in capsys.readouterr().out


def test_mistakes(folder, tmp_path, capsys):
    for arguments, message in (
        ([folder / "m.keras", folder / "large.keras"], "its input size is 16, the reference's 8"),
        ([folder / "m.keras", folder / "missing.tflite"], "no such model"),
        ([folder / "m.keras", folder / "m.tflite", "--images", tmp_path], "holds no image"),
        ([folder / "m.keras", folder / "m.tflite", "--count", "0"], "--count is a number from 1 on"),
    ):
        assert main(["parity", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
