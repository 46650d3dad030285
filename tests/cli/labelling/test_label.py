"""`kfacealign label` from end to end: each picture once, whatever happens to pictures, workers and the command."""

import contextlib
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest

from kfacealign import FaceLandmarks, deploy, models
from kfacealign.cli import main
from kfacealign.cli.labelling import shards, workers
from kfacealign.codecs import Coordinates
from kfacealign.data import SyntheticFaces, image_files

parquet = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("ai_edge_litert")
PARTS = 2 * shards.PART  # pictures of the archive, of which each kill must keep the parts
DEADLY = b"this picture ends whoever decodes it"


def encoded(picture):
    return cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of two faces, one picture of none, one that is damaged, and an archive of many small ones."""
    folder = tmp_path_factory.mktemp("photos")
    source = SyntheticFaces(3, size=256)
    for number in range(2):
        image_files.write(folder / f"face_{number}.png", source.render(number).image)
    image_files.write(folder / "grey.jpg", np.full((64, 64, 3), 120, np.uint8))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    contents = [encoded(np.full((32, 32, 3), 100 + number % 100, np.uint8)) for number in range(PARTS + 5)]
    contents[70] = encoded(source.render(4).image)
    with tarfile.open(folder / "small.tar", "w") as file:
        for number, content in enumerate(contents):
            info = tarfile.TarInfo(f"{number:03d}.jpg")
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return folder


def label(*words):
    return main.main(["label", *map(str, words)])


def rows(path):
    """The rows of a file or folder of Parquet, in order, without the arrays' type."""
    return parquet.read_table(path).to_pylist()


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    """The rows of an undisturbed run with two workers."""
    out = tmp_path_factory.mktemp("whole") / "faces.parquet"
    assert label(photos, "--out", out, "--workers", "2") == 1  # broken.jpg
    return out


def test_each_picture_has_its_rows_once(photos, whole):
    found = rows(whole)
    members = [f"{photos}/small.tar/{number:03d}.jpg" for number in range(PARTS + 5)]
    assert [row["path"] for row in found] == [
        *(f"{photos}/{name}" for name in ("broken.jpg", "face_0.png", "face_1.png", "grey.jpg")),
        *members,
    ]
    assert [row["status"] for row in found[:4]] == ["failed", "ok", "ok", "no face"]
    assert {row["path"][-7:] for row in found[4:] if row["status"] != "no face"} == {"070.jpg"}
    assert [(row["shard"], row["picture"]) for row in found[3:6]] == [(0, 3), (1, 0), (1, 1)]
    assert sorted(path.name for path in whole.parent.iterdir()) == ["faces.ledger.jsonl", "faces.parquet"]


def test_the_numbers_are_those_of_the_front_door(photos, whole):
    row = rows(whole)[1]
    (face,) = FaceLandmarks(threads=1)(photos / "face_0.png")
    np.testing.assert_allclose(np.reshape(row["landmarks"], (-1, 2)), face.landmarks, atol=6e-4)
    np.testing.assert_allclose(row["scores"], face.scores, atol=6e-5)
    np.testing.assert_allclose(row["box"], face.box, atol=6e-4)
    assert row["detector_score"] == pytest.approx(face.score, abs=6e-5)
    assert (row["face"], row["width"], row["height"]) == (1, 256, 256) and len(row["model_sha256"]) == 64
    described = json.loads(parquet.read_schema(whole).metadata[b"kfacealign"])
    assert described["scheme"] == "ibug68" and len(described["point_names"]) == 68


def test_workers_run_openvino_models(photos, tmp_path):
    """The workers' landmarks are those of the same file in this process, and the model's checksum is that of the text."""
    pytest.importorskip("openvino")
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3), name="image")
    points = keras.layers.Reshape((19, 2))(keras.layers.Dense(38)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image))))
    model = models.FaceAligner(keras.Model(image, {"landmarks": points}), Coordinates(), "aflw19")
    path, out = deploy.export(model, tmp_path / "m.xml"), tmp_path / "faces.parquet"
    assert label(photos / "face_0.png", "--out", out, "--model", path, "--workers", "1") == 0
    (row,) = rows(out)
    (face,) = FaceLandmarks(deploy.load(path, threads=1))(photos / "face_0.png")
    np.testing.assert_allclose(np.reshape(row["landmarks"], (-1, 2)), face.landmarks, atol=6e-4)
    assert row["model_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_ledger_says_why(photos, whole):
    lines = (whole.parent / "faces.ledger.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert found[0] == {"path": f"{photos}/broken.jpg", "status": "failed", "reason": "the image is truncated or damaged"}
    assert len(found) == 2 + PARTS + 4 and {line["status"] for line in found[1:]} == {"no face"}


def test_a_run_that_is_done_is_not_done_again(photos, whole, capsys):
    before = whole.stat()
    assert label(photos, "--out", whole, "--workers", "1") == 1
    assert whole.stat() == before and "was written before" in capsys.readouterr().out
    assert label(photos, "--out", whole, "--min-score", "0.9") == 2
    assert "another run" in capsys.readouterr().err and whole.stat() == before


def test_coco_has_the_same_faces(photos, whole, tmp_path, monkeypatch):
    out = tmp_path / "labels.json"
    monkeypatch.chdir(tmp_path)  # without --out the file is in the folder in which the command runs
    assert label(photos / "*.png", photos / "grey.jpg", "--to", "coco", "--workers", "1") == 0
    content = json.loads(out.read_text())
    assert [image["file_name"].rpartition("/")[2] for image in content["images"]] == ["face_0.png", "face_1.png", "grey.jpg"]
    assert [face["image_id"] for face in content["annotations"]] == [1, 2]
    row, face = rows(whole)[2], content["annotations"][1]
    points = np.reshape(face["keypoints"], (-1, 3))
    np.testing.assert_allclose(points[:, :2] + 0.5, np.reshape(row["landmarks"], (-1, 2)), atol=1e-3)
    x0, y0, x1, y1 = row["box"]
    np.testing.assert_allclose(face["bbox"], [x0, y0, x1 - x0, y1 - y0], atol=1e-3)
    assert content["categories"][0]["keypoints"][0] and len(points) == 68


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--to", "coco", "--out", "faces.parquet"), "give --out a name that ends in .json, not faces.parquet"),
        (("--to", "coco", "--out", "faces"), "give --out a name that ends in .json, not faces"),
        (("--to", "parquet", "--out", "faces.json"), "faces.json ends as COCO's file does"),
        (("--to", "coco", "--out", "s3://bucket/faces.json"), "a folder or file of this machine"),
    ],
)
def test_format_and_place_must_fit(photos, tmp_path, monkeypatch, capsys, flags, told):
    monkeypatch.chdir(tmp_path)
    assert label(photos, *flags) == 2
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_a_folder_gets_shards_and_overlays_where_they_are_asked_for(photos, whole, tmp_path, capsys):
    out, drawn = tmp_path / "rows", tmp_path / "drawn"
    given = (photos / "face_1.png", photos / "small.tar", "--out", out, "--workers", "1")
    assert label(*given, "--overlays", drawn) == 0
    assert sorted(path.name for path in out.glob("*.parquet")) == ["shard-00000.parquet", "shard-00001.parquet"]
    assert sorted(str(path.relative_to(drawn)) for path in drawn.rglob("*.jpg")) == ["00000/000000.jpg", "00001/000070.jpg"]
    assert [row["landmarks"] for row in rows(out)] == [row["landmarks"] for row in rows(whole)[2:3] + rows(whole)[4:]]
    written = (out / "shard-00001.parquet").stat()
    (out / "shard-00000.parquet").unlink()
    assert label(*given) == 0
    assert (out / "shard-00001.parquet").stat() == written and len(rows(out)) == PARTS + 6
    capsys.readouterr()
    assert label(*given, "--any-rotation") == 2
    assert "any_rotation" in capsys.readouterr().err
    (out / "mine.txt").write_text("not theirs")
    assert label(*given, "--overwrite") == 2
    assert "mine.txt" in capsys.readouterr().err and (out / "mine.txt").exists()


# === Killed ===


def begun(photos, out):
    environment = {**os.environ, "PYTHONPATH": workers.search_path()}
    command = [sys.executable, "-m", "kfacealign", "label", str(photos), "--out", str(out), "--workers", "2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(command, env=environment, start_new_session=True, **quiet)


def wait_for(condition, process):
    until = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)


def left(folder):
    """The process's children die with it, so that nobody writes to the folder any more: no name of a temporary stays."""
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize("moment", ["plan", "part", "end"])
def test_a_killed_run_goes_on_and_its_rows_are_those_of_an_undisturbed_one(moment, photos, whole, tmp_path):
    out = tmp_path / "faces.parquet"
    folder = tmp_path / "faces.parquet.parts"
    moments = {
        "plan": lambda: (folder / "_plan.jsonl").exists(),
        "part": lambda: (folder / "_00001-0000.parquet").exists(),
        "end": lambda: (folder / "shard-00001.parquet").exists(),
    }
    process = begun(photos, out)
    wait_for(moments[moment], process)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = left(folder)
    assert label(photos, "--out", out, "--workers", "2") == 1
    assert rows(out) == rows(whole)
    assert moment == "plan" or any(name.startswith(("_00001-", "shard-")) for name in kept) or not kept
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.ledger.jsonl", "faces.parquet"]


def test_workers_end_with_the_command(photos, tmp_path):
    process = begun(photos, tmp_path / "faces.parquet")
    wait_for(lambda: len(children(process.pid)) == 2, process)
    its = children(process.pid)
    assert len(its) == 2
    process.kill()
    process.wait()
    until = time.monotonic() + 30
    while any(alive(pid) for pid in its) and time.monotonic() < until:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in its)


def children(pid):
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, task.read_text().split())
    return found


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


# === Pictures that kill ===


def at_start(folder, monkeypatch, code):
    """Every worker runs this code first."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", f"{folder / 'site'}{os.pathsep}{workers.search_path()}")


@pytest.fixture
def deadly(tmp_path, monkeypatch):
    """Lets each worker die of a picture with certain bytes, as if the decoder had crashed."""
    at_start(
        tmp_path,
        monkeypatch,
        f"""
import os, signal
from kfacealign.data import image_files
decode = image_files.decode
def deadly(content):
    if {DEADLY!r} in content:
        os.kill(os.getpid(), signal.SIGSEGV)
    return decode(content)
image_files.decode = deadly
""",
    )
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        content = encoded(np.full((32, 32, 3), 50 * number, np.uint8))
        (folder / f"{number}.jpg").write_bytes(content + DEADLY * (number in (1, 2)))
    return folder


def test_a_picture_that_kills_its_worker_is_a_failure_like_any_other(deadly, tmp_path):
    out = tmp_path / "faces.parquet"
    assert label(deadly, "--out", out, "--workers", "1") == 1
    found = rows(out)
    assert [row["status"] for row in found] == ["no face", "failed", "failed", "no face"]
    assert found[1]["reason"] == "the process that read it was ended by SIGSEGV"


# === Mistakes ===


def test_workers_run_without_keras_and_tensorflow(photos, tmp_path, monkeypatch):
    heavy = []
    answers = workers.Worker._answers

    def watched(worker):
        for answer in answers(worker):
            heavy.extend(value for key, value in answer.items() if key == "ready")
            yield answer

    monkeypatch.setattr(workers.Worker, "_answers", watched)
    assert label(photos / "grey.jpg", "--out", tmp_path / "faces.parquet", "--workers", "3") == 0
    assert heavy == [[]]  # one picture, one worker


def test_workers_do_not_import_pandas(photos, tmp_path, monkeypatch):
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "pandas.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"))
    assert label(photos / "face_0.png", "--out", tmp_path / "faces.parquet", "--workers", "1") == 0
    assert rows(tmp_path / "faces.parquet")[0]["status"] == "ok" and not (tmp_path / "imported").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["*.nothing", "--out", "faces.parquet"], "no picture was found"),
        ([".", "--out", "faces.parquet", "--model", "model.keras"], "without Keras and TensorFlow"),
        ([".", "--out", "faces.parquet", "--model", "none.tflite"], "none.tflite"),
        ([".", "--out", "s3://bucket/x"], "copy them afterwards"),
        ([".", "--out", "faces.parquet", "--address", "x:1"], "add --engine ray"),
        ([".", "--out", "other.parquet"], "is none of kfacealign label"),
        (["odd.parquet", "--out", "faces.parquet"], "odd.parquet: no column holds the bytes"),
    ],
)
def test_mistakes_are_told_before_the_work_begins(words, told, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    image_files.write("a.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "other.parquet").write_bytes(b"something else")
    pa = pytest.importorskip("pyarrow")
    parquet.write_table(pa.table({"n": [1]}), "odd.parquet")
    assert label(*words) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "odd.parquet", "other.parquet"]


def test_a_shard_that_cannot_be_written_ends_the_run_in_one_line(photos, tmp_path, monkeypatch, capsys):
    """As where a disk is full: the workers may write no file of more than 100 bytes."""
    at_start(tmp_path, monkeypatch, "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))")
    out = tmp_path / "faces.parquet"
    assert label(photos / "grey.jpg", "--out", out, "--workers", "1") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "shard-00000.parquet: " in line and "File too large" in line
    monkeypatch.undo()
    assert label(photos / "grey.jpg", "--out", out, "--workers", "1") == 0
    assert [row["status"] for row in rows(out)] == ["no face"]
