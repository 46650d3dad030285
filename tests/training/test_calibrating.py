"""Calibration: what a head learns of errors that are known, how it is scaled, and the command."""

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import data, metrics, models
from kfacealign.cli.main import main
from kfacealign.layers.certainty import CertaintyHead, sampled
from kfacealign.training import calibrating

SIZE = 64


@pytest.fixture
def small(monkeypatch):
    """A function that makes a PIPNet of a scheme, whose backbone is one convolution."""

    def backbone(name, input_size, weights=None, width=1.0, last_expansion=True):
        image = keras.Input((input_size, input_size, 3), name="image")
        pooled = keras.layers.AveragePooling2D(8)(keras.ops.multiply(image, 1 / 255))
        return keras.Model(image, keras.layers.Conv2D(16, 4, strides=4, activation="relu")(pooled), name="backbone")

    monkeypatch.setattr("kfacealign.models.pipnet.make_backbone", backbone)
    return lambda scheme: models.PIPNet(scheme, input_size=SIZE, neighbors=3)


def drawn(count, seed):
    """What a model read of faces of four points: a feature tells how large the errors are and whether the point is seen.

    Errors have the deviation 0.01 or 0.04 along x, and a third of that along y; where they are small, the point is seen nine
    times in ten, and else one time in ten.
    """
    rng = np.random.default_rng(seed)
    hard = rng.uniform(size=(count, 4)) < 0.5
    samples = np.stack([hard, rng.normal(size=hard.shape)], -1).astype("float32")
    deviation = np.where(hard, 0.04, 0.01)[..., None] * [1, 1 / 3]
    ones = np.ones(hard.shape, "float32")
    return hard, calibrating.Read(
        samples=samples,
        mean=samples.mean(1),
        landmarks=rng.uniform(0.3, 0.7, (count, 4, 2)).astype("float32"),
        scores=ones,
        errors=(rng.normal(size=(count, 4, 2)) * deviation).astype("float32"),
        counted=ones,
        visible=(rng.uniform(size=hard.shape) < np.where(hard, 0.1, 0.9)).astype("float32"),
        flagged=ones,
    )


class KnownReader:
    """A reader whose D directions are its C features."""

    model, centre, directions = None, np.zeros(2), np.eye(2)


@pytest.fixture(scope="module")
def learnt():
    return calibrating.learn(KnownReader(), drawn(1500, 0)[1], epochs=12, seed=0, rate=5e-3)


def test_the_ellipse_and_the_visibility_are_learnt(learnt):
    hard, read = drawn(400, 1)
    raw = calibrating.said(learnt, read)
    deviation = np.sqrt(calibrating.covariance_of(raw)[..., [0, 2]])
    easy, difficult = deviation[~hard].mean(0), deviation[hard].mean(0)
    np.testing.assert_allclose(difficult / easy, 4, rtol=0.2)
    np.testing.assert_allclose([easy[0] / easy[1], difficult[0] / difficult[1]], 3, rtol=0.2)
    said = 1 / (1 + np.exp(-raw[..., 3]))
    np.testing.assert_allclose([said[~hard].mean(), said[hard].mean()], [0.9, 0.1], atol=0.05)


def test_kept_back_errors_set_the_size(learnt, monkeypatch):
    """The 90 % ellipse holds 90 % of new errors, also where the head is wrong by a factor of three."""
    kept = {}
    monkeypatch.setattr(calibrating, "CalibratedAligner", lambda model, head, radii: kept.update(head=head, radii=radii))
    held, wrong = drawn(600, 2)[1], drawn(600, 3)[1]
    for factor in (1.0, 3.0):
        three = {**{name: getattr(held, name) for name in held.__dataclass_fields__}, "errors": factor * held.errors}
        calibrating.finished(KnownReader(), learnt, calibrating.Read(**three), held)
        head, radii = kept["head"], kept["radii"]
        covariance = head.scale**2 * calibrating.covariance_of(calibrating.said(learnt, wrong))
        distances = metrics.ellipse_distances(factor * wrong.errors, covariance)
        assert radii[0.9] == pytest.approx(metrics.gaussian_radius(0.9))
        for level in (0.5, 0.8, 0.9):
            assert abs(metrics.coverage(distances, radii[level]) - level) < 0.03
    assert head.scale == pytest.approx(3 * calibrating_scale(learnt, held), rel=1e-4)


def calibrating_scale(head, held):
    distances = metrics.ellipse_distances(held.errors, calibrating.covariance_of(calibrating.said(head, held)))
    return metrics.conformal_radius(distances, 0.9) / metrics.gaussian_radius(0.9)


def test_platt_scaling_by_hand():
    # Of ten points with the logit 0 eight are seen, of ten with the logit 1 two: with Platt's targets 11 / 12 and 1 / 12 the
    # probabilities are 8/10 * 11/12 + 2/10 * 1/12 = 0.75 and 0.25, logits 1.0986 and -1.0986.
    logits = np.repeat([0.0, 1.0], 10)
    seen = np.r_[np.arange(10) < 8, np.arange(10) < 2]
    slope, offset = calibrating.platt(logits, seen)
    np.testing.assert_allclose([offset, slope], [np.log(3), -2 * np.log(3)], rtol=1e-6)
    assert np.isfinite(calibrating.platt(logits, logits > 0.5)).all()  # both kinds apart


def test_the_head_says_the_same_of_the_features_themselves():
    """Centring and projection to directions are folded into the weights."""
    rng = np.random.default_rng(0)
    reader = KnownReader()
    reader.centre, reader.directions = rng.normal(size=6), rng.normal(size=(6, 3))
    head = CertaintyHead(4, 3, width=5)
    head.set_weights([rng.normal(0, 0.5, weight.shape) for weight in head.weights])
    features, landmarks = rng.normal(size=(2, 3, 3, 6)).astype("float32"), rng.uniform(size=(2, 4, 2)).astype("float32")
    scores = rng.uniform(size=(2, 4)).astype("float32")
    projected = calibrating.Reader.projected
    samples, mean = projected(reader, np.asarray(sampled(features, landmarks))), projected(reader, features.mean((1, 2)))
    raw = np.asarray(head.from_samples(samples, mean, landmarks, scores))
    whole = calibrating.unfolded(head, reader, scale=2.0, slope=1.5, offset=0.5)
    found = whole({"features": features, "landmarks": landmarks, "scores": scores})
    np.testing.assert_allclose(found["covariance"], 4 * calibrating.covariance_of(raw), rtol=1e-3)
    np.testing.assert_allclose(found["visibility"], 1 / (1 + np.exp(-(1.5 * raw[..., 3] + 0.5))), rtol=1e-3)


def named(files):
    shape = kfa.schemes.get("aflw19").mean_shape
    return data.Faces("aflw19", files, np.repeat(shape[None] * 100, len(files), axis=0))


def test_people_are_told_by_the_names_of_their_pictures():
    files = [f"f/P{person}_Lee_{frame}.jpg" for person in "abcdefghijkl" for frame in (10, 11, 20)]
    numbers = calibrating.people(named(files))
    assert len(np.unique(numbers)) == 12 and (numbers.reshape(12, 3) == numbers[::3, None]).all()
    first, second = calibrating.split_people(named(files), 0.25, seed=3)
    assert len(second) == 9 and len(first) == 27
    assert not {image[:4] for image in first.images} & {image[:4] for image in second.images}
    # All pictures of 300W are called image_0001.png: each is one of its own.
    assert len(np.unique(calibrating.people(named([f"image_{number:04d}.png" for number in range(30)])))) == 30


def test_points_of_ones_own_need_flags(small):
    model = small("aflw19")
    own = kfa.schemes.Scheme.from_config({**model.scheme.get_config(), "name": "mine"})
    model.scheme = own
    faces = data.Faces(own, ["a.png"], own.mean_shape[None] * 100)
    with pytest.raises(ValueError, match="none with the points of mine are rendered"):
        calibrating.calibrate(model, faces, faces)


def test_the_command(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data.write_pts("FOLDER", train=6, test=4, size=128, progress=False)
    small("ibug68").save("small.keras")
    options = ["--rendered", "16", "--epochs", "2"]
    assert main(["calibrate", "--model", "small.keras", "--data-dir", "FOLDER", *options]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "6 faces to learn from, 4 kept back (test)" in told and "written: small_calibrated.keras" in told
    model, plain = kfa.load("small_calibrated.keras"), kfa.load("small.keras")
    assert set(model.radii) == {0.5, 0.8, 0.9} and model.radii[0.9] == pytest.approx(metrics.gaussian_radius(0.9))
    crops = data.Crops(data.pts("FOLDER").test, size=SIZE, enlarge=model.enlarge).batch(range(4))
    found = model.align_all(crops[0])
    np.testing.assert_array_equal(found["landmarks"], plain.align(crops[0])[0])
    # The ellipses were made to hold nine in ten of these very errors.
    distances = metrics.ellipse_distances(crops[1] - found["landmarks"], found["covariance"])
    held = metrics.coverage(distances, metrics.gaussian_radius(0.9) * 1.001)
    assert 0.9 <= held < 0.92
    assert main(["calibrate", "--model", "small_calibrated.keras", "--data-dir", "FOLDER", *options]) == 2
    assert "calibrated already" in capsys.readouterr().err
    assert main(["calibrate", "--model", "small.keras", "--data-dir", "FOLDER", "--out", "x.tflite"]) == 2
    assert "--out is a file NAME.keras" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["calibrate", "--model", "small.keras", "--rendered", "0"])


def test_flags_of_a_dataset_take_the_place_of_rendered_faces(monkeypatch):
    """No face is rendered where both parts say which points are hidden."""
    reads = []

    class Reader:
        def __init__(self, model):
            pass

        def faces(self, faces, told):
            reads.append(faces)
            return drawn(20, len(reads))[1]

    monkeypatch.setattr(calibrating, "Reader", Reader)
    monkeypatch.setattr(calibrating, "learn", lambda reader, read, **options: read)
    monkeypatch.setattr(calibrating, "finished", lambda reader, head, held, judged: (head, held, judged))
    faces = named(["a.png", "b.png"])
    faces.occluded = np.zeros(faces.weights.shape, bool)

    class Model:
        scheme = faces.scheme

    head, held, judged = calibrating.calibrate(Model(), faces, faces)
    assert len(reads) == 2 and judged is held and head is not held
    assert len(head) == 20
