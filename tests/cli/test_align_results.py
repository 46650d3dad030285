"""What `kfacealign align` writes for photographs, and what it leaves alone."""

import json
import math
import os
from pathlib import Path

import numpy as np
import pytest

from kfacealign.cli.align_results import is_overlay
from kfacealign.cli.main import main
from kfacealign.data.readers.pts import read_pts

TWO = '{"%s": [[10, 20, 50, 60], [60, 20, 100, 60]]}'


def tree(folder):
    """Path below the folder -> content, of every file."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(Path(folder).rglob("*")) if path.is_file()}


@pytest.fixture
def two_faces(align, tmp_path):
    """A function that aligns p/x.png with two boxes."""

    def run(*arguments, photo="p/x.png"):
        (tmp_path / "two.json").write_text(TWO % photo)
        return align(photo, "--boxes", "two.json", *arguments, box=None)

    return run


# === Names ===


def test_results_lie_as_their_photographs_do(align, photo, tmp_path):
    for name in ("x.png", "a/x.png", "a/b/x.png", "a/y.jpg", "a/y.png"):
        photo(tmp_path / "p" / name)
    assert align("p", "--format", "json", "--no-overlay") == 0
    assert sorted(tree("out")) == ["a/b/x.json", "a/x.json", "a/y.jpg.json", "a/y.png.json", "x.json"]
    assert json.loads((tmp_path / "out/a/y.png.json").read_text())["photo"] == "p/a/y.png"


def test_faces_never_take_the_name_of_another_photograph(align, photo, tmp_path):
    photo(tmp_path / "p/x.png")
    photo(tmp_path / "p/x_1.png")
    (tmp_path / "b.json").write_text('{"p/x.png": [[10, 20, 50, 60], [60, 20, 100, 60]], "p/x_1.png": [[20, 20, 60, 60]]}')
    assert align("p", "--boxes", "b.json", "--no-overlay", box=None) == 0
    assert sorted(tree("out")) == ["x.png.json", "x.png_1.pts", "x.png_2.pts", "x_1.json", "x_1.pts"]
    np.testing.assert_allclose(read_pts("out/x_1.pts")[0], [15, 15], atol=1e-4)  # the square of side 50 around (40, 40)
    assert [face["pts"] for face in json.loads(Path("out/x.png.json").read_text())["faces"]] == ["x.png_1.pts", "x.png_2.pts"]


def test_odd_names_are_printed_as_they_are(align, photo, tmp_path, capsys):
    names = [
        "IMG [edited].png",
        "[bold]b[1].png",
        ":smile:.png",
        "-lead.png",
        "50%s {0}.png",
        "n\nline.png",
        "é \U0001f600.png",
    ]
    for name in [*names, os.fsdecode(b"caf\xe9.png"), "x" * 251 + ".png", "d[/b].png/in.png"]:
        photo(tmp_path / "p" / name)
    assert align("p") == 0
    shown = capsys.readouterr().out.split("\n")
    for name in ["caf\\xe9.png", "n\\nline.png", "d[/b].png/in.png", *names[:5], names[6]]:
        stem = name.removesuffix(".png")
        files = f"out/{stem}_landmarks.png, out/{stem}.json, out/{stem}.pts"
        assert f"p/{name}: 1 face, mean score 0.50 -> {files}" in shown
    assert len(tree("out")) == 30 and os.fsdecode(b"out/caf\xe9.pts") in {str(path) for path in Path("out").iterdir()}
    assert all(json.loads(path.read_text())["photo"].isprintable() or "\n" in path.name for path in Path("out").rglob("*.json"))


# === What exists ===


def test_an_interrupted_run_is_gone_on_with(align, photo, tmp_path, capsys, model):
    for name in "abc":
        photo(tmp_path / "p" / f"{name}.png")
    model.trouble = [None, KeyboardInterrupt()]
    assert align("p") == 130
    assert sorted(tree("out")) == ["a.json", "a.pts", "a_landmarks.png"]
    before = tree("out")
    model.trouble = []
    assert align("p") == 0
    assert "1 of 3 photographs were done before and are skipped" in capsys.readouterr().out
    assert len(tree("out")) == 9 and before.items() <= tree("out").items()
    assert align("p") == 0
    shown = capsys.readouterr().out
    assert "3 of 3 photographs were done before" in shown and "->" not in shown


def test_another_folder_is_no_other_photograph(align, photo, tmp_path, monkeypatch, capsys):
    photo(tmp_path / "a/x.png")
    photo(tmp_path / "b/x.png")
    assert align("a/x.png") == 0
    before = tree("out")
    monkeypatch.chdir(tmp_path / "a")
    arguments = ["--model", "../m.tflite", "--out", "../out", "--box=10,20,50,60"]
    assert main(["align", "x.png", *arguments]) == 0 and "done before" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path / "b")  # the same words mean another photograph here
    assert main(["align", "x.png", *arguments]) == 1
    assert "x.png: skipped: ../out/x.json has the results of a/x.png; --overwrite replaces it" in capsys.readouterr().out
    assert tree("../out") == before
    assert main(["align", "x.png", *arguments, "--overwrite"]) == 0
    assert json.loads((tmp_path / "out/x.json").read_text())["photo_from_here"] == "../b/x.png"


@pytest.mark.parametrize("name", ["x.pts", "x.json", "x_landmarks.png"])
def test_what_the_user_made_is_not_replaced(align, photo, tmp_path, capsys, name):
    photo(tmp_path / "p/x.png")
    (tmp_path / "p" / name).write_bytes(b"mine")
    for content in (b"mine", b'{"photo": "x.png"}', b'{"photo": "x.png", "faces": [], "point_names": [], "coordinates": ""}'):
        (tmp_path / "p" / name).write_bytes(content)
        assert align("p/x.png", "--out", "p") == 1
        assert f"p/x.png: skipped: p/{name} exists" in capsys.readouterr().out
        assert (tmp_path / "p" / name).read_bytes() == content and len(tree("p")) == 2
    assert align("p/x.png", "--out", "p", "--overwrite") == 0
    assert len(tree("p")) == 4 and (tmp_path / "p" / name).read_bytes() != content


def test_a_second_face_that_is_the_users_file(two_faces, photo, tmp_path, capsys):
    photo(tmp_path / "p/x.png")
    (tmp_path / "p/x_2.pts").write_text("mine")
    assert two_faces("--out", "p") == 1
    assert "p/x_2.pts exists and is not of an earlier run" in capsys.readouterr().out
    assert sorted(tree("p")) == ["x.png", "x_2.pts"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (["--five-points"], "other settings (five_points)"),
        (["--box=11,20,50,60"], "other settings (boxes)"),
        (["--min-score=0.5"], "other settings (min_score)"),
        (["--model=n.tflite"], "other settings (model, model_sha256)"),
    ],
)
def test_results_of_other_settings_are_not_taken_for_done(align, photo, tmp_path, capsys, change, reason):
    photo(tmp_path / "x.png")
    (tmp_path / "n.tflite").write_bytes(b"another model")
    assert align("x.png") == 0
    before = tree("out")
    assert align("x.png", *change) == 1
    assert f"x.png: skipped: out/x.json has results of {reason}; --overwrite" in capsys.readouterr().out
    assert tree("out") == before
    assert align("x.png", *change, "--overwrite") == 0 and tree("out") != before


def test_a_changed_photograph_and_results_that_lack_something(align, photo, tmp_path, capsys):
    photo(tmp_path / "x.png")
    assert align("x.png", "--no-overlay") == 0
    assert align("x.png") == 1
    assert "out/x.json has the results, but out/x_landmarks.png is missing; --overwrite makes all anew" in capsys.readouterr().out
    with open("x.png", "ab") as file:
        file.write(b"more")
    assert align("x.png", "--no-overlay") == 1
    assert "of an earlier state of this photograph" in capsys.readouterr().out
    assert align("x.png", "--overwrite") == 0 and align("x.png") == 0


def test_fewer_faces_than_before(align, two_faces, photo, tmp_path):
    photo(tmp_path / "p/x.png")
    assert two_faces() == 0 and {"x_1.pts", "x_2.pts"} < set(tree("out"))
    (tmp_path / "out/x_3.pts").write_text("of something else")
    assert align("p/x.png", "--overwrite") == 0
    assert sorted(tree("out")) == ["x.json", "x.pts", "x_3.pts", "x_landmarks.png"]
    assert align("p/x.png", "--overwrite", "--no-overlay", "--format", "pts", "--box=0,0,9,9") == 0
    assert sorted(tree("out")) == ["x.pts", "x_3.pts"]  # the JSON file and the picture would tell of other landmarks


def test_a_json_file_cannot_have_others_deleted(align, two_faces, photo, tmp_path):
    photo(tmp_path / "p/x.png")
    assert two_faces() == 0
    described = json.loads(Path("out/x.json").read_text())
    (tmp_path / "out/y.pts").touch()
    for face, name in zip(described["faces"], ("../p/x.png", "y.pts"), strict=True):
        face["pts"] = name
    described["overlay"] = str(tmp_path / "p/x.png")
    Path("out/x.json").write_text(json.dumps(described))
    assert align("p/x.png", "--overwrite") == 0
    assert (tmp_path / "p/x.png").is_file() and (tmp_path / "out/y.pts").is_file()


def test_a_photograph_is_never_replaced(align, photo, tmp_path, capsys):
    photo(tmp_path / "p/x.png")
    photo(tmp_path / "p/x_landmarks.png")
    before = tree("p")
    assert align("p/x.png", "p/x_landmarks.png", "--out", "p", "--overwrite") == 1
    assert "p/x.png: skipped: its result p/x_landmarks.png would replace a photograph" in capsys.readouterr().out
    assert before.items() <= tree("p").items() and "x.json" not in tree("p") and "x_landmarks.json" in tree("p")


@pytest.mark.parametrize("blocking", ["x.json/keep", "x.pts/keep", "x_landmarks.png/keep", "sub"])
def test_a_folder_in_the_way_is_kept(align, photo, tmp_path, capsys, blocking):
    photo(tmp_path / ("p/sub/x.png" if blocking == "sub" else "p/x.png"))
    photo(tmp_path / "p/y.png")
    (tmp_path / "out" / blocking).parent.mkdir(parents=True)
    (tmp_path / "out" / blocking).touch()
    assert align("p", "--overwrite") == 1
    assert "a folder or file of that name is in the way" in capsys.readouterr().out
    assert (tmp_path / "out" / blocking).is_file() and set(tree("out")) == {blocking, "y.json", "y.pts", "y_landmarks.png"}


# === Pictures of an earlier run ===


def test_results_inside_the_folder_are_no_photographs(align, photo, tmp_path, capsys):
    photo(tmp_path / "p/x.png")
    photo(tmp_path / "p/s/y.png")
    for out in ("p/out", "p"):
        for _ in range(2):
            assert align("p", "--out", out) == 0
    assert sorted(name for name in tree("p") if name.endswith(".png")) == sorted(
        ["x.png", "s/y.png", "out/x_landmarks.png", "out/s/y_landmarks.png", "x_landmarks.png", "s/y_landmarks.png"]
    )
    capsys.readouterr()
    assert align("p", "--out", "elsewhere") == 0
    assert "4 pictures of earlier results (NAME_landmarks.png) passed over" in capsys.readouterr().out
    assert sorted(Path("elsewhere").rglob("*.json")) == [Path("elsewhere/s/y.json"), Path("elsewhere/x.json")]


def test_which_pictures_are_of_an_earlier_run(align, photo, tmp_path):
    for name in ("p/x.png", "p/x_landmarks.png", "p/tower_landmarks.png", "p/y.png_landmarks.png", "p/y.png", "p/_landmarks.png"):
        photo(tmp_path / name)
    told = {name: is_overlay(name, True) for name in tree(tmp_path) if name.startswith("p/")}
    assert [name for name in told if told[name]] == ["p/x_landmarks.png", "p/y.png_landmarks.png"]
    assert not is_overlay("p/x_landmarks.png", False)  # who names it means it
    os.mkdir("p/out")
    os.rename("p/x_landmarks.png", "p/out/x_landmarks.png")
    assert align("p/x.png", "p/tower_landmarks.png", "--out", "p/out", "--no-overlay") == 0
    assert not is_overlay("p/out/x_landmarks.png", True)  # the results beside it say that there is none
    assert align("p/x.png", "p/tower_landmarks.png", "--out", "p/out", "--overwrite") == 0
    assert is_overlay("p/out/x_landmarks.png", False)


@pytest.mark.parametrize(
    "damage",
    [
        {"width": "120"},
        {"height": None},
        {"faces": []},
        {"faces": [{"landmarks": [["1", "2"]] * 19, "face_box": [1, 2, 3, 4], "mean_score": 0.5}]},
        {"faces": [{"landmarks": [[1, math.nan]] * 19, "face_box": [1, 2, 3, 4], "mean_score": 0.5}]},
        {"faces": [{"landmarks": [[1, 2]] * 18, "face_box": [1, 2, 3, 4], "mean_score": 0.5}]},
        {"faces": [{"landmarks": [[1, 2]] * 19, "face_box": [1, 2, 3, 4]}]},
        {"photo_from_here": 7},
        {"point_names": 7},
    ],
)
def test_damaged_results_are_not_taken_for_done(align, photo, tmp_path, capsys, damage):
    photo(tmp_path / "x.png")
    assert align("x.png", "--format", "json", "--no-overlay") == 0
    file = tmp_path / "out/x.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **damage}))
    assert align("x.png", "--format", "json,csv,coco", "--no-overlay") == 1
    assert "out/x.json exists and is not of an earlier run" in capsys.readouterr().out
    assert align("x.png", "--format", "json,csv,coco", "--no-overlay", "--overwrite") == 0


# === Formats and boxes ===


@pytest.mark.parametrize(
    ("arguments", "files"),
    [
        ([], ["x.json", "x.pts", "x_landmarks.png"]),
        (["--no-overlay"], ["x.json", "x.pts"]),
        (["--format", "pts"], ["x.pts", "x_landmarks.png"]),
        (["--format", "json", "--format", "csv", "--no-overlay"], ["landmarks.csv", "x.json"]),
        (["--format", "csv, coco", "--no-overlay"], ["coco.json", "landmarks.csv"]),
        (["--format", "none"], ["x_landmarks.png"]),
    ],
)
def test_formats(align, photo, tmp_path, arguments, files):
    photo(tmp_path / "x.png")
    assert align("x.png", *arguments) == 0
    assert sorted(tree("out")) == files


def test_nothing_at_all_is_written(align, photo, tmp_path, capsys):
    photo(tmp_path / "x.png")
    assert align("x.png", "--format", "none", "--no-overlay", "--out", "/proc/x") == 0
    assert "x.png: 1 face, mean score 0.50\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--format", "pts,xml"], "expected a list of pts, json, csv, coco, none"),
        (["--boxes", "b.json"], "not allowed with"),
        (["--min-score", "nan"], "expected a number, got 'nan'"),
    ],
)
def test_arguments_that_cannot_be(align, capsys, arguments, message):
    with pytest.raises(SystemExit):
        align("x.png", *arguments)
    assert message in capsys.readouterr().err


def test_none_stands_alone(align, photo, tmp_path, capsys):
    photo(tmp_path / "x.png")
    assert align("x.png", "--format", "none,pts") == 2
    assert "--format none goes with no other format" in capsys.readouterr().err


def test_boxes_from_a_file(align, photo, tmp_path, capsys):
    for name in ("x.png", "y.png", "z.png"):
        photo(tmp_path / "p" / name)
    (tmp_path / "p/b.csv").write_text(
        "photo,x0,y0,x1,y1\ny.png,900,0,950,40\nx.png,60,20,100,60\nx.png,10,20,50,60\nq.png,1,1,2,2\n"
    )
    assert align("p", "--boxes", "p/b.csv", box=None) == 1
    shown = capsys.readouterr().out
    assert "p/b.csv has boxes of 1 photograph not in this run, such as q.png" in shown
    assert "p/z.png: skipped: no box in p/b.csv" in shown
    assert "p/y.png: skipped: the box" in shown
    faces = json.loads(Path("out/x.json").read_text())["faces"]
    assert [face["face_box"] for face in faces] == [[60, 20, 100, 60], [10, 20, 50, 60]]
    # Squares of side 50 whose corners are (55, 15) and (5, 15); landmark 9 is at (1, 1) / 8 of the crop.
    assert [face["landmarks"][9] for face in faces] == [[61.25, 21.25], [11.25, 21.25]]
    assert faces[0]["detector_score"] is None
    # What align wrote gives the same boxes again.
    assert align("p/x.png", "--boxes", "out/x.json", "--out", "again", box=None) == 0
    assert json.loads(Path("again/x.json").read_text())["faces"] == faces
