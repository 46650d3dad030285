"""How the web page finds, follows and shows faces, in Node beside Python."""

import cv2
import numpy as np
import pytest
from javascript import node, prepare, rgba

from kfacealign import geometry
from kfacealign.data import SyntheticFaces
from kfacealign.detect import BlazeFaceDetector, HaarDetector, blazeface
from kfacealign.detect.detections import BoxRule, Detections, without_twins
from kfacealign.interpreter import interpreter_class


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    """What the page is told about BlazeFace."""
    return prepare().put_detector(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def crowd():
    """A large and a small drawn face, (960, 1280, 3) uint8."""
    source = SyntheticFaces(seed=5, size=256)
    picture = np.full((960, 1280, 3), 96, "uint8")
    picture[200:712, 600:1112] = cv2.resize(source.render(3).image, (512, 512), interpolation=cv2.INTER_CUBIC)
    picture[700:828, 80:208] = cv2.resize(source.render(5).image, (128, 128), interpolation=cv2.INTER_AREA)
    return picture


# === Boxes ===


def boxes_like_those_of_a_detector(seed):
    """(60, 4) float32 boxes, some of them equal, inside another or without an area, and scores with ties."""
    random = np.random.default_rng(seed)
    corner, size = random.uniform(0, 300, (60, 2)), random.uniform(5, 150, (60, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype("float32")
    boxes[10:20] = boxes[:10]
    boxes[20:30, 2:] = (boxes[20:30, :2] + boxes[20:30, 2:]) / 2
    boxes[30:33, 2] = boxes[30:33, 0]
    return boxes, random.integers(1, 8, 60).astype("float32") / 8


@pytest.mark.parametrize("seed", range(4))
def test_faces_without_twins_are_those_of_python(seed):
    boxes, scores = boxes_like_those_of_a_detector(seed)
    script = """import {largestFirst, withoutTwins} from './src/detections.js';
    const found = withoutTwins(data.faces, 0.4);
    console.log(JSON.stringify([found, largestFirst(found)]));"""
    faces = [{"box": box, "score": score} for box, score in zip(boxes.tolist(), scores.tolist(), strict=True)]
    found, by_size = node(script, {"faces": faces})
    expected = without_twins(Detections(boxes, scores))
    assert 5 < len(expected) < 40
    for mine, python in ((found, expected), (by_size, expected.by_size())):
        np.testing.assert_array_equal(np.array([face["box"] for face in mine], "float32"), python.boxes)
        np.testing.assert_array_equal(np.array([face["score"] for face in mine], "float32"), python.scores)


def test_twins_by_hand():
    faces = [
        {"box": [0, 0, 10, 10], "score": 0.7},
        {"box": [20, 0, 30, 10], "score": 0.9},
        {"box": [22, 2, 26, 6], "score": 0.8},  # inside of the second
        {"box": [26, 0, 36, 10], "score": 0.75},  # shares 40 of 100 with it
        {"box": [26.5, 0, 36.5, 10], "score": 0.6},  # shares 35 of 100
    ]
    script = """import {withoutTwins} from './src/detections.js';
    console.log(JSON.stringify(withoutTwins(data, 0.4).map(({score}) => score)));"""
    assert node(script, faces) == [0.9, 0.7, 0.6]


def test_the_rule_of_boxes():
    script = """import {landmarksBox} from './src/detections.js';
    console.log(JSON.stringify(data.boxes.map((box) => landmarksBox(data.rule, box))));"""
    rule = {"right": 0.1, "down": -0.2, "width": 1.2, "height": 0.6}
    boxes = [[10, 20, 30, 60], [0, 0, 100, 50], [-7.25, 3.5, 12.125, 19.75]]
    found = node(script, {"rule": rule, "boxes": boxes})
    # The longer side is 40, the centre (20, 40) goes to (24, 32), the sides become 48 and 24.
    np.testing.assert_allclose(found[0], [0, 20, 48, 44], atol=1e-5)
    np.testing.assert_array_equal(np.array(found, "float32"), BoxRule(**rule)(np.array(boxes)))


# === BlazeFace ===


def test_the_numbers_are_those_of_python(facts):
    detector = BlazeFaceDetector()
    assert facts["name"] == "blazeface" and facts["file"] == "face_detection_back.tflite"
    numbers = {"side": blazeface.SIDE, "hint": blazeface.HINT, "overlap": blazeface.OVERLAP, "reach": blazeface.REACH}
    assert {name: facts[name] for name in numbers} == numbers
    assert (facts["smallest"], facts["min_score"], facts["twins"]) == (detector.smallest, detector.min_score, 0.4)
    assert BoxRule(**facts["rule"]) == blazeface.RULE


def test_anchors_are_those_of_python(facts):
    script = """import {anchorsOf} from './src/blazeface.js'; console.log(JSON.stringify(Array.from(anchorsOf(data))));"""
    np.testing.assert_allclose(np.reshape(node(script, facts), (-1, 2)), blazeface.ANCHORS, atol=1e-12)


SIZES = [(256, 200), (1024, 512), (640, 480), (480, 640), (4001, 2999), (1, 1), (255, 3), (5000, 40), (777, 776), (257, 256)]


@pytest.mark.parametrize("smallest", [1 / 10, 1 / 20, 1 / 40, 0.013])
def test_squares_are_those_of_python(facts, smallest):
    script = """import {squares} from './src/blazeface.js';
    console.log(JSON.stringify(data.sizes.map(([width, height]) => squares(width, height, data.facts))));"""
    found = node(script, {"sizes": SIZES, "facts": {**facts, "smallest": smallest}})
    for size, its in zip(SIZES, found, strict=True):
        for mine, python in zip(its, blazeface.squares(*size, smallest), strict=True):
            np.testing.assert_allclose(mine, python, atol=1e-9, err_msg=str(size))


def test_the_tiles_with_a_hint_are_those_of_python(facts):
    (_, tiles), random = blazeface.squares(1200, 900, 1 / 20), np.random.default_rng(2)
    corners, sides = random.uniform(-50, 1150, (40, 2)), random.uniform(5, 250, (40, 1))
    hints = np.concatenate([corners, corners + sides], axis=1)
    script = """import {hinted} from './src/blazeface.js';
    console.log(JSON.stringify(data.hints.map((box) => hinted(data.tiles, [{box}], data.overlap))));"""
    given = {"tiles": np.array(tiles).tolist(), "hints": hints.tolist(), "overlap": facts["overlap"]}
    expected = [[tile.tolist() for tile in blazeface.hinted(tiles, hint[None])] for hint in hints]
    assert {len(chosen) for chosen in expected} == {0, 1} and len({str(chosen) for chosen in expected}) == 5
    assert node(script, given) == expected


def test_an_answer_of_the_network_by_hand(facts):
    regressors, logits = np.zeros((896, 16)), np.full(896, -1000.0)
    # The first anchor of the coarse cells has its centre at (16, 16) of 256; its face is moved by (8, 16), 64 wide, 32 high.
    regressors[512, :4], logits[512] = (8, 16, 64, 32), np.log(4)
    logits[0] = np.log(0.09 / 0.91)  # just too little for a hint
    regressors[895, 2:4], logits[895] = 32, 1000
    script = """import {anchorsOf, decode} from './src/blazeface.js';
    console.log(JSON.stringify(decode(data.outputs, data.square, anchorsOf(data.facts), data.facts)));"""
    outputs = {"regressors": regressors.ravel().tolist(), "classificators": logits.tolist()}
    rule = {"right": 0.0, "down": 0.25, "width": 1.0, "height": 0.5}
    found = node(script, {"outputs": outputs, "square": [100, 200, 612, 712], "facts": {**facts, "rule": rule}})
    # The square is twice as large as 256: centre (100 + 48, 200 + 64), sides 128 and 64, then the rule.
    np.testing.assert_allclose(found[0]["box"], [84, 264, 212, 328], atol=1e-4)
    assert found[0]["score"] == pytest.approx(0.8) and found[1]["score"] == 1 and len(found) == 2
    np.testing.assert_allclose(found[1]["box"], [548, 680, 612, 712], atol=1e-4)


def networks_answers(picture):
    """What the network says of each square of a picture that is looked at, as flat lists."""
    interpreter = interpreter_class()(model_path=str(blazeface.model_file()))
    interpreter.allocate_tensors()
    places = {detail["name"]: detail["index"] for detail in interpreter.get_output_details()}
    answers, looks, detector = [], [], BlazeFaceDetector()
    look = detector._look
    detector._look = lambda image, square: looks.append(square) or look(image, square)
    detector.detect(picture)
    for square in looks:
        pixels, _ = geometry.crop(picture, square, 256)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], pixels[None].astype("float32") / 127.5 - 1)
        interpreter.invoke()
        answers.append({name: interpreter.get_tensor(place).ravel().tolist() for name, place in places.items()})
    return answers


def test_the_same_answers_of_the_network_make_the_same_faces(facts, crowd):
    expected = BlazeFaceDetector().detect(crowd)
    assert len(expected) == 2 and len(BlazeFaceDetector(smallest=1 / 10).detect(crowd)) == 1  # one is seen in a tile alone
    script = """import {BlazeFaceDetector} from './src/blazeface.js';
    const image = {width: 1280, height: 960, data: new Uint8Array(4 * 1280 * 960)};
    const detector = new BlazeFaceDetector(data.facts, async () => data.answers.shift());
    console.log(JSON.stringify([await detector.detect(image), data.answers.length]));"""
    found, left = node(script, {"facts": facts, "answers": networks_answers(crowd)})
    assert left == 0 and len(found) == 2
    np.testing.assert_allclose([face["box"] for face in found], expected.boxes, atol=1e-3)
    np.testing.assert_allclose([face["score"] for face in found], expected.scores, atol=1e-6)


def test_the_network_reads_what_it_reads_in_python(facts, crowd):
    """The first square's pixels, black beside the picture."""
    small = cv2.resize(crowd, (320, 240), interpolation=cv2.INTER_AREA)
    script = """import {BlazeFaceDetector} from './src/blazeface.js';
    const read = [];
    const nothing = {regressors: [], classificators: []};
    const detector = new BlazeFaceDetector(data.facts, async (pixels) => (read.push(Array.from(pixels)), nothing));
    const found = await detector.detect(data.image);
    console.log(JSON.stringify({first: read[0], count: read.length, found}));"""
    answer = node(script, {"facts": facts, "image": rgba(small)})
    expected = geometry.crop(small, (0, -40, 320, 280), 256)[0].astype("float32") / 127.5 - 1
    apart = np.abs(np.reshape(answer["first"], (256, 256, 3)) - expected)
    assert apart.max() < 1.5 / 127.5 and apart.mean() < 0.05 / 127.5 and (expected[:30] == -1).all()
    assert answer["count"] == 1 and answer["found"] == []  # without a hint no tile is looked at


# === The cascade, where BlazeFace is not installed ===


def without_blazeface(monkeypatch):
    def missing():
        raise ImportError("not installed")

    monkeypatch.setattr(blazeface, "model_file", missing)


def test_the_cascade_finds_what_python_finds(tmp_path, monkeypatch):
    """Both group windows that grow by a tenth from one size to the next, and differ by less than such a step."""
    without_blazeface(monkeypatch)
    scenes = []
    for number in (3, 4, 9, 12):  # clear faces: of windows that few others support both sides find some of their own
        scenes.append(np.full((512, 640, 3), 96, "uint8"))
        face = SyntheticFaces(seed=5, size=256).render(number).image
        scenes[-1][:, 50:562] = cv2.resize(face, (512, 512), interpolation=cv2.INTER_CUBIC)
    facts = prepare().put_detector(tmp_path)
    script = """import {HaarDetector} from './src/haar.js';
    const [detector, found] = [new HaarDetector(data.facts, JSON.parse(data.cascade)), []];
    for (const image of data.images) found.push(await detector.detect(image));
    console.log(JSON.stringify(found));"""
    images = [rgba(image) for image in (*scenes, np.full_like(scenes[0], 96))]
    found = node(script, {"images": images, "cascade": (tmp_path / facts["file"]).read_text(), "facts": facts})
    assert found.pop() == []
    apart = []
    for faces, scene in zip(found, scenes, strict=True):
        expected = HaarDetector().detect(scene).boxes
        assert len(faces) == len(expected) and 0.5 <= faces[0]["score"] < 1
        apart.append(np.abs(np.array(faces[0]["box"]) - expected[0]).max() / (expected[0][2] - expected[0][0]))
    assert np.median(apart) < 0.05 and max(apart) < 0.1


# === Following, drawing, telling ===


def test_the_tracker_asks_the_detector_when_there_is_no_face_yet_and_when_it_is_lost():
    script = """import {Tracker} from './src/tracker.js';
    let [asked, score] = [0, 0.9];
    const model = {
      entry: {metadata: {input_size: 8, enlarge: 1.25}},
      run: async () => ({landmarks: [0.1, 0.1, 0.9, 0.9], scores: [score, score]}),
    };
    const small = {box: [70, 70, 80, 80], score: 0.95};
    const detect = async () => (asked++, [small, {box: [10, 12, 50, 52], score: 0.7}]);
    const image = {width: 100, height: 100, data: new Uint8Array(40000)};
    const tracker = new Tracker(model, {detect});
    const seen = [];
    for (score of [0.9, 0.9, 0.75, 0.7, 0.7]) {
      const face = await tracker.update(image);
      seen.push([asked, ...face.square]);
    }
    console.log(JSON.stringify(seen));"""
    seen = np.array(node(script, None))
    # 0.7 is less than 0.8 times 0.9, which is then no longer the usual score.
    assert seen[:, 0].tolist() == [1, 1, 1, 2, 2]
    # The larger of the two faces, enlarged by 1.25 around (30, 32).
    np.testing.assert_allclose(seen[:, 1:], [[5, 7, 55, 57]] * 5, atol=1e-4)


def test_dots_and_lines_grow_with_the_face():
    script = """import {strokes} from './src/draw.js';
    console.log(JSON.stringify(data.map(([side, shown]) => strokes([10, 20, 10 + side, 20 + side / 2], shown))));"""
    usual, twice, at_least, tiny, half = node(script, [[260, 1], [520, 1], [60, 1], [20, 1], [10, 1]])
    assert usual == pytest.approx({"radius": 2, "line": 1.4})
    assert twice == pytest.approx({"radius": 4, "line": 2.8})
    assert at_least["radius"] == 1  # a pixel of the screen
    assert tiny["radius"] == 0.4 and half["radius"] == 0.2
    # A picture of which the screen shows every fourth pixel.
    assert node(script, [[260, 4]])[0]["radius"] == 4


def test_faces_are_told_as_kfacealign_align_tells_them():
    script = """import {told} from './src/words.js'; console.log(JSON.stringify(data.map(told)));"""
    told = node(script, [[0.934], [0.5, 0.249, 1]])
    assert told == ["1 face, mean score 0.93", "3 faces, mean scores 0.50, 0.25, 1.00"]
