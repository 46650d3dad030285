"""The web page of export/web: its crops beside Python's, and the page itself in a headless browser."""

import contextlib
import json
import shutil
import subprocess

import browser
import cv2
import keras
import numpy as np
import pytest
from javascript import WEB, node, prepare, rgba

from kfacealign import deploy, geometry, models, schemes
from kfacealign.codecs import Coordinates
from kfacealign.codecs.codec import Codec
from kfacealign.data import SyntheticFaces
from kfacealign.detect import HaarDetector, blazeface
from kfacealign.face_landmarks import FaceLandmarks
from kfacealign.photo import read_photo

SIZE = 32  # of the model's crops
RESULT = "kfacealign.result()"
READY = "document.getElementById('message')?.textContent.startsWith('Choose a photo')"
SETTLED = "!/^$|^Loading|^Looking/.test(document.getElementById('message').textContent)"

pytestmark = pytest.mark.skipif(keras.config.backend() != "tensorflow", reason="exports are made under TensorFlow")


@pytest.fixture(scope="module")
def scene():
    """A drawn face in a larger picture, (480, 640, 3) uint8."""
    picture = np.full((480, 640, 3), 96, "uint8")
    picture[100:356, 220:476] = SyntheticFaces(seed=5, size=256).render(3).image
    return picture


@keras.saving.register_keras_serializable(package="tests_web")
class AroundMeanShape(Codec):
    """Landmarks of the mean shape in the middle of the crop, moved by what the network says."""

    def decode(self, outputs):
        shape = schemes.get("ibug68").mean_shape
        box = geometry.landmark_box(shape)
        shape = (shape - (box[:2] + box[2:]) / 2) / (box[2:] - box[:2]).max() * 0.8 + 0.5
        moved = keras.ops.reshape(outputs["moves"], (-1, 68, 2))
        return 0.1 * moved + shape[None], 0.9 + 0.1 * moved[..., 0]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """An untrained model as .tflite and .onnx."""
    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), name="image")
    features = keras.layers.Conv2D(8, 5, strides=4, activation="relu")(keras.layers.Rescaling(1 / 255)(image))
    moves = keras.layers.Dense(136, activation="tanh")(keras.layers.Flatten()(features))
    model = models.FaceAligner(keras.Model(image, {"moves": moves}), AroundMeanShape(), "ibug68", enlarge=1.25)
    folder = tmp_path_factory.mktemp("exported")
    return [deploy.export(model, folder / name) for name in ("m.tflite", "m.onnx")]


# === Beside Python, in Node ===


@pytest.mark.parametrize(
    "square",
    [
        (40.3, 30.7, 90.3, 80.7),  # enlarged
        (10.0, 20.0, 138.0, 148.0),  # twice as many pixels as the crop has
        (-40.5, 60.25, 80.0, 180.75),  # partly outside
        (-200.0, -150.0, 320.0, 370.0),  # so large that it is reduced first
        (400.0, 400.0, 450.0, 450.0),  # all outside
    ],
)
def test_crops_are_those_of_python(square):
    picture = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (160, 200, 3), "uint8"), (0, 0), 2)
    expected = geometry.crop(picture, square, 64)[0].astype("int32")
    script = """import {crop} from './src/geometry.js';
    console.log(JSON.stringify(Array.from(crop(data.image, data.square, 64))));"""
    found = np.array(node(script, {"image": rgba(picture), "square": square})).reshape(64, 64, 3)
    # OpenCV's interpolation is in steps of 1/32 of a pixel.
    assert np.abs(found - expected).max() <= 3 and np.abs(found - expected).mean() < 0.5


# === What is put beside the page ===


def test_a_model_of_ones_own_points_brings_its_lines_along(tmp_path):
    parts = {"regions": {"all": (0, 1, 2)}, "eye_corners": (0, 2), "pupils": None}
    contours = (schemes.Contour("round", (0, 1, 2), closed=True), schemes.Contour("line", (1, 0)))
    mine = schemes.Scheme("mine", point_names=("a", "b", "c"), mirror=(2, 1, 0), contours=contours, **parts)
    image = keras.Input((8, 8, 3), name="image")
    points = keras.layers.Reshape((3, 2))(keras.layers.Dense(6)(keras.layers.Flatten()(image)))
    model = models.FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), mine)
    found = prepare().describe(deploy.export(model, tmp_path / "mine.tflite"))
    assert found["segments"] == [[0, 1], [1, 2], [2, 0], [1, 0]]
    assert (found["metadata"]["scheme"], found["metadata"]["point_names"]) == ("mine", ["a", "b", "c"])


def test_the_models_folder(exported, tmp_path):
    folder = prepare().prepare(exported, tmp_path / "models")
    content = json.loads((folder / "index.json").read_text())
    assert [entry["file"] for entry in content["models"]] == ["m.tflite", "m.onnx"]
    assert content["models"][0]["metadata"]["input_size"] == SIZE and len(content["models"][0]["segments"]) > 50
    assert (folder / "m.onnx").read_bytes() == exported[1].read_bytes()
    # The detector that Python takes, with its licence.
    assert content["detector"]["name"] == "blazeface" and not (folder / "face.json").exists()
    assert (folder / content["detector"]["file"]).read_bytes() == blazeface.model_file().read_bytes()
    assert "Apache License" in (folder / f"{content['detector']['file']}.LICENSE.txt").read_text()
    with pytest.raises(ValueError, match=r"the page runs .tflite and .onnx files"):
        prepare().prepare([tmp_path / "m.keras"], tmp_path / "models")
    with pytest.raises(ValueError, match="two models have the same name"):
        prepare().prepare([exported[0], exported[0]], tmp_path / "models")


def without_blazeface(patch):
    def missing():
        raise ImportError("not installed")

    patch.setattr(blazeface, "model_file", missing)


def test_the_models_folder_without_blazeface(exported, tmp_path, monkeypatch):
    without_blazeface(monkeypatch)
    folder = prepare().prepare(exported, tmp_path / "models")
    detector = json.loads((folder / "index.json").read_text())["detector"]
    assert detector["name"] == "haar" and sorted(path.name for path in folder.iterdir()) == [
        "face.json",
        "index.json",
        "m.onnx",
        "m.tflite",
    ]
    cascade = json.loads((folder / detector["file"]).read_text())
    assert len(cascade["stages"]) == 25 and "Redistribution" in cascade["notice"]


def test_a_model_cannot_take_the_detectors_place(exported, tmp_path):
    taken = tmp_path / blazeface.FILE
    shutil.copyfile(exported[0], taken)
    with pytest.raises(ValueError, match=r"face_detection_back.tflite is the name of the face detector's file"):
        prepare().prepare([taken], tmp_path / "models")
    assert not (tmp_path / "models").exists()


# === The page ===


@pytest.fixture(scope="module")
def built(exported, tmp_path_factory):
    """The built page with its models."""
    if not browser.find_chromium():
        pytest.skip("no Chromium or Chrome on this machine")
    if not shutil.which("npm") or not (WEB / "node_modules").is_dir():
        pytest.skip("the page's packages are not installed: cd export/web && npm ci")
    folder = tmp_path_factory.mktemp("web") / "dist"
    command = ["npm", "run", "build", "--", "--outDir", str(folder), "--emptyOutDir"]
    made = subprocess.run(command, cwd=WEB, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stdout + made.stderr
    prepare().prepare(exported, folder / "models")
    return folder


@pytest.fixture(scope="module")
def video(scene, tmp_path_factory):
    """The scene as a film of one picture, for the fake camera."""
    path = tmp_path_factory.mktemp("video") / "scene.y4m"
    planes = cv2.cvtColor(cv2.cvtColor(scene, cv2.COLOR_RGB2BGR), cv2.COLOR_BGR2YUV_I420)
    frame = b"FRAME\n" + planes.tobytes()
    path.write_bytes(b"YUV4MPEG2 W640 H480 F30:1 Ip A1:1 C420jpeg\n" + 2 * frame)
    return path


@pytest.fixture(scope="module")
def site(built):
    with browser.serving(built) as (address, stop):
        yield address, stop


@pytest.fixture(scope="module")
def page(site, video, tmp_path_factory):
    made = browser.Browser(tmp_path_factory.mktemp("profile"), [f"--use-file-for-fake-video-capture={video}"])
    made.open(site[0])
    made.wait(READY)
    yield made
    made.close()


def choose_photo(page, path):
    page.evaluate("document.getElementById('message').textContent = ''")
    page.choose_file("#photo", path)
    page.wait(SETTLED)


def shown(page, name):
    return page.evaluate(f"document.getElementById('{name}').textContent")


def pixels_apart(found, exported, picture):
    """Largest distance of the page's landmarks to those of Python on the same square, in pixels of the picture."""
    aligner = deploy.load(exported)
    distances = []
    for face in found["faces"]:
        crop, matrix = geometry.crop(picture, face["box"], aligner.input_size)
        landmarks = aligner.align(crop[None], verbose=0)[0][0]
        expected = geometry.apply_affine(geometry.invert_affine(matrix), landmarks * aligner.input_size)
        distances.append(np.linalg.norm(expected - np.array(face["landmarks"]), axis=-1).max())
    return max(distances)


@pytest.fixture(scope="module")
def photo(scene, tmp_path_factory):
    path = tmp_path_factory.mktemp("photo") / "scene.png"
    cv2.imwrite(str(path), cv2.cvtColor(scene, cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.parametrize("place", [0, 1])
def test_landmarks_of_a_photograph(page, exported, scene, photo, place):
    """By LiteRT.js, then by ONNX Runtime Web."""
    page.evaluate("document.getElementById('message').textContent = ''")
    page.evaluate(f"document.getElementById('model').value = {place};")
    page.evaluate("document.getElementById('model').dispatchEvent(new Event('change'))")
    page.wait(SETTLED)
    assert shown(page, "runtime").startswith(("LiteRT", "ONNX Runtime")[place])
    choose_photo(page, photo)
    found = page.evaluate(RESULT)
    assert found["photo"] == "scene.png" and found["scheme"] == "ibug68" and len(found["faces"]) == 1
    assert pixels_apart(found, exported[place], scene) < 0.1
    assert shown(page, "running").endswith(" ms") and shown(page, "detecting").endswith(" ms")
    assert page.complaints() == []


def same_faces(found, expected, enlarge=1.25):
    """Asserts that the page's faces are those of `FaceLandmarks`, in its order.

    Crops differ by single grey levels, which move the box of a small face by 0.01 of its side.
    """
    assert len(found) == len(expected)
    for mine, python in zip(found, expected, strict=True):
        square = geometry.square_box(python.box, enlarge)
        side = square[2] - square[0]
        assert np.abs(np.array(mine["box"]) - square).max() < 0.02 * side
        assert np.linalg.norm(np.array(mine["landmarks"]) - python.landmarks, axis=-1).max() < 0.03 * side
        assert mine["detector_score"] == pytest.approx(python.score, abs=0.01)
        assert mine["mean_score"] == pytest.approx(python.scores.mean(), abs=0.005)


def test_the_faces_are_those_of_python(page, exported, tmp_path):
    """The small one is found in a tile of the picture alone."""
    source = SyntheticFaces(seed=5, size=256)
    picture = np.full((960, 1280, 3), 96, "uint8")
    picture[700:828, 80:208] = cv2.resize(source.render(4).image, (128, 128), interpolation=cv2.INTER_AREA)
    picture[200:712, 600:1112] = cv2.resize(source.render(3).image, (512, 512), interpolation=cv2.INTER_CUBIC)
    path = tmp_path / "crowd.png"
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    expected = FaceLandmarks(exported[0], detector="blazeface")(path)
    assert len(expected) == 2
    choose_photo(page, path)
    faces = page.evaluate(RESULT)["faces"]
    same_faces(faces, expected)
    assert shown(page, "detector") == "BlazeFace" and shown(page, "count") == "2"
    scores = ", ".join(f"{face['mean_score']:.2f}" for face in faces)
    assert shown(page, "score") == scores
    assert shown(page, "message").startswith(f"2 faces, mean scores {scores}. ")


def with_orientation(jpeg, orientation):
    """A JPEG file's content with an EXIF segment that says how to turn it."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00" + orientation.to_bytes(2, "little") + b"\x00\x00"
    exif = b"Exif\x00\x00" + b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + entry + b"\x00\x00\x00\x00"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


@pytest.mark.parametrize(("orientation", "turned"), [(6, cv2.ROTATE_90_COUNTERCLOCKWISE), (3, cv2.ROTATE_180)])
def test_a_photograph_taken_with_a_turned_camera(page, exported, scene, tmp_path, orientation, turned):
    lying = cv2.rotate(scene, turned)  # as the sensor saw it
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(lying, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 98])
    path = tmp_path / "turned.jpg"
    path.write_bytes(with_orientation(jpeg.tobytes(), orientation))
    upright = read_photo(path)
    assert upright.shape == scene.shape and np.abs(upright.astype(int) - scene).mean() < 2
    choose_photo(page, path)
    found = page.evaluate(RESULT)
    assert (found["width"], found["height"]) == (640, 480)
    same_faces(found["faces"], FaceLandmarks(exported[0], detector="blazeface")(path))


def test_a_drawn_box(page, exported, scene, photo):
    choose_photo(page, photo)
    rectangle = "document.getElementById('canvas').getBoundingClientRect()"
    shown = page.evaluate(f"(({{left, top, width}}) => [left, top, width])({rectangle})")
    scale = shown[2] / 640
    start, end = [(shown[0] + x * scale, shown[1] + y * scale) for x, y in ((250, 140), (430, 330))]
    before = page.evaluate(f"JSON.stringify({RESULT}.faces[0].box)")
    page.drag(start, end)
    page.wait(f"JSON.stringify({RESULT}.faces[0]?.box) !== '{before}'")
    found = page.evaluate(RESULT)
    np.testing.assert_allclose(found["faces"][0]["box"], geometry.square_box((250, 140, 430, 330), 1.25), atol=1.5)
    assert pixels_apart(found, exported[0], scene) < 0.1


def test_the_camera(page, exported, scene):
    page.evaluate("document.getElementById('camera').click()")
    page.wait("document.getElementById('fps').textContent.endsWith(' fps')")
    found = page.evaluate(RESULT)
    assert found["photo"] == "camera" and (found["width"], found["height"]) == (640, 480)
    # The film has half as many colours as pixels.
    assert pixels_apart(found, exported[0], scene) < 1
    page.evaluate("document.getElementById('camera').click()")
    assert shown(page, "fps") == ""
    assert page.complaints() == []


def test_a_file_that_is_no_picture(page, tmp_path):
    (tmp_path / "notes.txt").write_text("no picture")
    choose_photo(page, tmp_path / "notes.txt")
    assert "notes.txt is not a picture" in shown(page, "message")


def test_the_page_without_blazeface(built, exported, scene, photo, tmp_path, monkeypatch):
    without_blazeface(monkeypatch)
    folder = tmp_path / "dist"
    shutil.copytree(built, folder)
    prepare().prepare(exported, folder / "models")
    (tmp_path / "profile").mkdir()
    with browser.serving(folder) as (address, _), contextlib.closing(browser.Browser(tmp_path / "profile")) as page:
        page.open(address)
        page.wait(READY)
        choose_photo(page, photo)
        (face,) = page.evaluate(RESULT)["faces"]
        assert shown(page, "detector") == "Haar cascade of OpenCV"
        by_python = geometry.square_box(HaarDetector().detect(scene).boxes[0], 1.25)
        assert np.abs(np.array(face["box"]) - by_python).max() < 0.08 * (by_python[2] - by_python[0])
        assert not any(blazeface.FILE in url for url in page.requested()) and page.complaints() == []


def test_nothing_is_fetched_from_elsewhere_and_nothing_is_needed_once_it_was(page, site, exported, scene, photo):
    """The last test: it stops the server."""
    address, stop = site
    page.wait("navigator.serviceWorker.controller !== null")
    kept = "(async () => (await (await caches.open('kfacealign')).keys()).map(({url}) => url.split('/').at(-1)))()"
    for name in ("m.tflite", "m.onnx", "face_detection_back.tflite", "litert_wasm_threaded_internal.wasm"):
        page.wait(f"{kept}.then((names) => names.includes('{name}'))")
    assert [url for url in page.requested() if not url.startswith((address, "blob:", "data:", "about:"))] == []
    stop()
    page.open(address)
    page.wait(READY)
    choose_photo(page, photo)
    assert pixels_apart(page.evaluate(RESULT), exported[0], scene) < 0.1
    # The worker has added the headers that threads need.
    assert page.evaluate("crossOriginIsolated") is True
