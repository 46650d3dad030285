"""`landmarks.csv` and `coco.json` of `kfacealign align`."""

import csv
import json
import math
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from kfacealign import schemes
from kfacealign.drawing import segments
from kfacealign.evaluation import landmark_files

BOXES = '{"p/a.png": [[10, 20, 50, 60], [60.25, 20, 100.25, 60]], "p/n/b.png": [[20, 20, 60, 60]]}'


@pytest.fixture
def run(align, photo, tmp_path):
    """A function that aligns p/a.png, which has two faces, and p/n/b.png, which has one."""
    photo(tmp_path / "p/a.png")
    photo(tmp_path / "p/n/b.png")
    (tmp_path / "b.json").write_text(BOXES)
    return lambda *arguments: align("p", "--boxes", "b.json", "--no-overlay", *arguments, box=None)


def rows():
    with open("out/landmarks.csv", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def coco():
    return json.loads(Path("out/coco.json").read_text())


def test_a_row_is_a_face_in_image_coordinates(run):
    assert run("--format", "csv") == 0
    assert os.listdir("out") == ["landmarks.csv"]
    told = [(row["photo"], row["name"], row["face"], row["box_x0"], row["score"], row["detector_score"]) for row in rows()]
    assert told == [
        ("p/a.png", "a_1", "1", "10.0", "0.5", ""),
        ("p/a.png", "a_2", "2", "60.25", "0.5", ""),
        ("p/n/b.png", "n/b", "1", "20.0", "0.5", ""),
    ]
    # The square of side 50 around the second box has its corner at (55.25, 15); landmark 9 is at (1, 1) / 8 of it.
    assert (rows()[1]["x9"], rows()[1]["y9"]) == ("61.5", "21.25")
    assert list(rows()[0])[:4] == ["photo", "name", "face", "box_x0"] and list(rows()[0])[-2:] == ["x18", "y18"]


def test_the_csv_file_is_read_for_scoring(run):
    assert run("--format", "csv,pts") == 0
    table, folder = landmark_files.read("out/landmarks.csv", "aflw19"), landmark_files.read("out", "aflw19")
    assert table.names == folder.names == ["a_1", "a_2", "n/b"]
    np.testing.assert_allclose(table.landmarks, folder.landmarks, atol=1e-3)


def test_coco(run):
    assert run("--format", "coco") == 0
    content = coco()
    assert content["images"] == [
        {"id": 1, "file_name": "a.png", "width": 120, "height": 90},
        {"id": 2, "file_name": "n/b.png", "width": 120, "height": 90},
    ]
    first, second, third = content["annotations"]
    assert [one["id"] for one in content["annotations"]] == [1, 2, 3]
    assert [one["image_id"] for one in content["annotations"]] == [1, 1, 2]
    assert second["bbox"] == [60.25, 20, 40, 40] and second["area"] == 1600  # boxes from the outer corner, as ours
    # Landmark 9 of the first face lies at (11.25, 21.25), where the first pixel's centre is (0.5, 0.5); COCO's is (0, 0).
    assert first["keypoints"][27:30] == [10.75, 20.75, 2]
    assert first["num_keypoints"] == 19 and len(first["keypoints"]) == 57 and set(first["keypoints"][2::3]) == {2}
    assert (third["score"], third["iscrowd"], third["category_id"]) == (0.5, 0, 1)
    (category,) = content["categories"]
    assert category["keypoints"] == list(schemes.AFLW19.point_names)
    assert category["skeleton"] == [[a + 1, b + 1] for a, b in segments(schemes.AFLW19)]
    assert min(min(pair) for pair in category["skeleton"]) == 1 and "0-based" in content["info"]["coordinates"]


def test_a_run_that_is_gone_on_with_has_the_tables_of_a_whole_one(run, model, tmp_path):
    assert run("--format", "json,csv,coco", "--out", "whole") == 0
    model.trouble = [None, KeyboardInterrupt()]
    assert run("--format", "json,csv,coco") == 130
    assert len(rows()) == 2 and len(coco()["annotations"]) == 2  # what there was
    model.trouble = []
    assert run("--format", "json,csv,coco") == 0
    for name in ("landmarks.csv", "coco.json"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()


def test_a_table_alone_cannot_be_gone_on_with_and_the_message_says_what_can(run, capsys):
    assert run("--format", "csv") == 0
    capsys.readouterr()
    assert run("--format", "csv") == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "--overwrite replaces it; a run goes on with an earlier one only with json in --format" in told


def test_a_table_never_loses_a_photograph(run, align, model, capsys):
    formats = ("--format", "json,csv,coco")
    assert run(*formats) == 0
    before = {name: Path("out", name).read_bytes() for name in ("landmarks.csv", "coco.json")}
    # Of a run with other photographs.
    assert align("p/n/b.png", *formats) == 2
    assert "out/landmarks.csv exists, and this run would not have all that is in it" in capsys.readouterr().err
    # Of a run in which some fail: the results of a.png are of other settings.
    Path("b.json").write_text(BOXES.replace("[10, 20", "[11, 20"))
    assert run(*formats) == 1
    assert "out/landmarks.csv is left as it is" in capsys.readouterr().out
    # Of an interrupted run.
    Path("b.json").write_text(BOXES)
    Path("out/n/b.json").unlink()
    model.trouble = [KeyboardInterrupt()]
    assert run(*formats) == 130
    assert {name: Path("out", name).read_bytes() for name in before} == before
    model.trouble = []
    assert run(*formats, "--overwrite") == 0 and align("p/n/b.png", *formats, "--overwrite") == 0
    assert [row["photo"] for row in rows()] == ["p/n/b.png"]


@pytest.mark.parametrize(("name", "kind"), [("landmarks.csv", "csv"), ("coco.json", "coco")])
@pytest.mark.parametrize("content", ["mine", "", "photo,x\np/a.png,2\n", '{"images": [{"file_name": "a.png"}]}', "[]", "\xe9"])
def test_other_files_are_no_tables(run, capsys, name, kind, content):
    os.mkdir("out")
    Path("out", name).write_text(content, encoding="latin-1")
    assert run("--format", f"json,{kind}") == 2 and f"out/{name} exists" in capsys.readouterr().err
    assert run("--format", kind, "--overwrite") == 0
    assert len(rows() if kind == "csv" else coco()["annotations"]) == 3
    assert run("--format", kind) == 2  # without JSON files the run would have to do all again


def test_names_that_need_care(align, photo, tmp_path):
    names = ['comma, "quoted".png', "new\nline.png", os.fsdecode(b"caf\xe9.png"), "é.png"]
    for name in names:
        photo(tmp_path / "p" / name)
    assert align("p", "--format", "csv,coco", "--no-overlay") == 0
    written = {name.replace("\udce9", "\\xe9") for name in names}
    assert {row["photo"] for row in rows()} == {f"p/{name}" for name in written}
    assert {image["file_name"] for image in coco()["images"]} == written


def test_tables_without_a_face_are_not_written(align, photo, tmp_path):
    photo(tmp_path / "x.png")
    assert align("x.png", "--box=500,500,600,600", "--format", "csv,coco") == 1
    assert not Path("out").exists()


def test_numbers_are_finite(run, model):
    model.trouble = [np.float32("nan"), None]
    with np.errstate(invalid="ignore"):
        assert run("--format", "csv,coco") == 1
    assert [row["name"] for row in rows()] == ["n/b"]
    assert all(math.isfinite(float(value)) for key, value in rows()[0].items() if key[0] in "xy")


def frontal(crops, **options):
    """The mean shape in every crop."""
    return np.repeat(schemes.AFLW19.mean_shape[None], len(crops), axis=0), np.full((len(crops), 19), 0.5, "float32")


def test_poses_are_the_last_columns_and_stand_in_the_json_file(run, model, monkeypatch):
    monkeypatch.setattr(model, "align", frontal)
    assert run("--format", "csv,json", "--pose") == 0
    head, row = list(rows()[0])[-3:], rows()[2]
    assert head == ["yaw", "pitch", "roll"]
    faces = json.loads(Path("out/n/b.json").read_text())["faces"]
    assert [float(row[name]) for name in head] == [faces[0]["pose"][name] for name in head]
    assert abs(float(row["roll"])) < 3 and faces[0]["pose"]["camera"] == [[120, 0, 60], [0, 120, 45], [0, 0, 1]]
    table = landmark_files.read("out/landmarks.csv", "aflw19")  # still one for scoring
    np.testing.assert_allclose(table.landmarks[2], faces[0]["landmarks"], atol=1e-3)
    # The same run goes on, one without poses is another.
    assert run("--format", "csv,json", "--pose") == 0
    assert list(rows()[0])[-3:] == head


def test_results_with_poses_are_of_other_settings(run, capsys):
    assert run("--format", "json") == 0
    assert "pose" not in json.loads(Path("out/a.json").read_text())["faces"][0]
    assert run("--format", "json", "--pose") == 1
    assert "other settings (pose)" in " ".join(capsys.readouterr().out.split())
    assert run("--format", "json", "--pose", "--overwrite") == 0
    assert run("--format", "json") == 1
    assert "other settings (pose)" in " ".join(capsys.readouterr().out.split())


def test_the_focal_length_is_the_cameras(run, model, monkeypatch, capsys):
    monkeypatch.setattr(model, "align", frontal)
    assert run("--format", "json", "--pose") == 0
    near = json.loads(Path("out/n/b.json").read_text())["faces"][0]["pose"]
    assert run("--format", "json", "--pose", "--focal", "600") == 1
    assert "other settings (focal)" in " ".join(capsys.readouterr().out.split())
    assert run("--format", "json", "--pose", "--focal", "600", "--overwrite") == 0
    far = json.loads(Path("out/n/b.json").read_text())["faces"][0]["pose"]
    assert far["camera"] == [[600, 0, 60], [0, 600, 45], [0, 0, 1]]
    # A lens five times as long, and a head of the same size in the picture: it is about five times as far away.
    assert far["translation"][2] == pytest.approx(5 * near["translation"][2], rel=0.1)
    assert run("--format", "json", "--pose", "--focal", "600") == 0


def test_a_focal_length_is_of_poses_and_above_zero(run, capsys):
    assert run("--focal", "600") == 2
    assert "--focal is the focal length of --pose: add --pose" in capsys.readouterr().err
    for wrong in ("0", "-3", "nan", "inf", "wide"):
        with pytest.raises(SystemExit):
            run("--pose", "--focal", wrong)
        assert "expected a number above 0" in capsys.readouterr().err


def test_what_is_no_head_has_empty_angles(run):
    assert run("--format", "csv,json", "--pose") == 0  # the model's points are a grid
    assert [rows()[0][name] for name in ("yaw", "pitch", "roll")] == ["", "", ""]
    assert json.loads(Path("out/a.json").read_text())["faces"][0]["pose"] is None


def test_a_scheme_without_a_head_is_refused_before_anything_is_read(run, model, monkeypatch, capsys):
    own = schemes.Scheme(
        "own", point_names=("a",), mirror=(0,), regions={"nose": (0,)}, contours=(), eye_corners=None, pupils=None
    )
    monkeypatch.setattr(model, "scheme", own)
    assert run("--pose") == 2
    assert "--pose: own has no points in three dimensions" in capsys.readouterr().err


def test_the_axes_are_drawn(align, photo, model, monkeypatch, tmp_path):
    monkeypatch.setattr(model, "align", frontal)
    photo(tmp_path / "x.png")
    pictures = []
    for flags in ((), ("--pose",)):
        assert align("x.png", "--format", "none", "--overwrite", *flags) == 0
        pictures.append(cv2.imread("out/x_landmarks.png").astype(int))
    changed = np.argwhere((pictures[0] != pictures[1]).any(-1))
    assert len(changed) > 10 and (changed.mean(0) > [15, 20]).all() and (changed.mean(0) < [65, 60]).all()


def test_a_calibrated_model_has_further_columns(run, model):
    def align_all(crops, **options):
        landmarks, scores = model.align(crops)
        visibility = np.linspace(0, 1, 19, dtype="float32")
        covariance = np.tile(np.array([4, 1, 2], "float32") / 256, (len(crops), 19, 1))
        further = {"visibility": np.tile(visibility, (len(crops), 1)), "covariance": covariance}
        return {"landmarks": landmarks, "scores": scores, **further}

    model.answers, model.align_all = ("landmarks", "scores", "visibility", "covariance"), align_all
    assert run("--format", "csv,json") == 0
    names = list(rows()[0])
    assert names[names.index("y18") + 1 :][:19] == [f"visibility{point}" for point in range(19)]
    assert names[-6:] == ["xx17", "xy17", "yy17", "xx18", "xy18", "yy18"]
    # A crop of 16 pixels is 50 wide in the photograph.
    told = [float(rows()[0][name]) for name in ("visibility18", "xx3", "xy3", "yy3")]
    np.testing.assert_allclose(told, [1.0, *(np.array([4, 1, 2]) * (50 / 16) ** 2)], atol=1e-3)
    face = json.loads(Path("out/a.json").read_text())["faces"][0]
    assert len(face["visibility"]) == 19 and len(face["covariance"]) == 19 and len(face["covariance"][0]) == 3
    assert run("--format", "csv,json") == 0  # what was done before is gone on with


def test_other_models_have_no_further_columns(run):
    assert run("--format", "csv,json") == 0
    assert list(rows()[0])[-1] == "y18"
    assert "visibility" not in json.loads(Path("out/a.json").read_text())["faces"][0]
