"""Names of faces, subsets, folders and runs are text: never markup, a formula, a line break or bytes that nothing encodes."""

import io
import json
import os
import re
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign import evaluation
from kfacealign.cli import bench, inspect, track
from kfacealign.cli.main import main
from kfacealign.console import make_console, shown
from kfacealign.data.readers.pts import write_points
from kfacealign.deploy.measure.benchmark import Cost
from kfacealign.files import replacing

NASTY = (
    "IMG [bold] x",
    "d[-b][red]",
    ":smile:",
    "$x^{$",
    "_hidden",
    "line\nbreak",
    "\x1b[31mred",
    "a|b & <b>c %25",
    os.fsdecode(b"caf\xe9"),
)
SCHEME = "ibug68"


class Standing:
    """A model that answers with the mean shape."""

    scheme, input_size, enlarge = kfa.schemes.get(SCHEME), 32, 1.25

    def align(self, crops, *, verbose=0, flip=False):
        count = len(crops)
        return np.tile(0.1 + 0.8 * self.scheme.mean_shape, (count, 1, 1)).astype("float32"), np.ones((count, 68), "float32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a face of each name, in `train` and in `test`; its own name is no better."""
    root = tmp_path_factory.mktemp("names") / "set [bold]$x^{$"
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
        for name in NASTY:
            pixels = rng.integers(0, 256, (40, 40, 3), "uint8")
            (root / part / f"{name}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
            points = 5 + 30 * kfa.schemes.get(SCHEME).mean_shape + rng.uniform(0, 3, (68, 2))
            write_points(root / part / f"{name}.pts", points.astype("float32"))
    return root


@pytest.fixture(scope="module")
def faces(folder):
    return kfa.data.pts(folder, scheme=SCHEME)


@pytest.fixture(scope="module")
def run(faces, tmp_path_factory):
    """The folder of a run whose faces, subsets and own name are nasty, and its report."""
    out = tmp_path_factory.mktemp("runs") / "run [v1] $x^{$"
    subsets = {name: np.array([place]) for place, name in enumerate(NASTY)}
    report = evaluation.evaluate(Standing(), faces.test, subsets=subsets)
    evaluation.write_run(out, report, faces.test)
    return out, report


def printed(capsys):
    """What was printed, with the breaks of wrapped lines kept."""
    return capsys.readouterr().out


def test_names_of_faces_are_text_and_their_paths_open(faces):
    assert sorted(faces.test.names) == sorted(map(shown, NASTY))
    assert all(Path(path).is_file() for path in faces.test.images)
    assert faces.name == "set [bold]$x^{$"
    dataset = kfa.data.Dataset(**{**vars(faces), "name": "a\nb", "subsets": {"\udce9": np.array([0])}})
    assert (dataset.name, list(dataset.subsets)) == ("a\\nb", ["\\xe9"])


def test_reports_pages_and_predictions_hold_every_name(run, faces):
    out, report = run
    content = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [face["name"] for face in content["faces"]] == faces.test.names
    assert list(content["subsets"]) == ["full", *map(shown, NASTY)]
    json.dumps(content, ensure_ascii=False).encode("utf-8")  # no half of a surrogate pair, which strict readers refuse
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<b>c" not in page and page.count("a|b &amp; &lt;b&gt;c %25") > 4 and "caf\\xe9" in page
    saved = evaluation.run_files.read_predictions(out / "predictions.npz")
    assert saved["names"].tolist() == faces.test.names
    assert saved["images"].tolist() == faces.test.images and Path(saved["images"][-1]).is_file()
    assert all((out / f"{name}.png").stat().st_size for name in ("ced", "landmark_errors", "predictions"))
    assert all(shown(name) in str(report) for name in NASTY)


def test_figures_show_names_as_they_are(run):
    figure = evaluation.plots.ced_figure(run[1])
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.partition(": AUC")[0] for text in legend] == ["full", *map(shown, NASTY)]
    figure.draw_without_rendering()
    place = run[1].names.index("$x^{$")
    one = evaluation.plots.landmark_figure(run[1], index=place)
    assert "$x^{$" in one.axes[0].get_title()
    one.draw_without_rendering()


def test_a_table_of_markdown_keeps_its_columns(run):
    lines = run[1].markdown().splitlines()
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_a_pack_holds_every_name(faces, tmp_path):
    path = tmp_path / "pack [x].h5"
    whole = kfa.data.Dataset(**{**vars(faces), "subsets": {name: np.array([0]) for name in (*NASTY, "a/b", ".", "..%2F")}})
    assert kfa.data.pack(whole, path, size=16) == (2 * len(NASTY), [])
    read = kfa.data.packed(path)
    assert read.test.names == faces.test.names and read.name == faces.name
    assert set(read.subsets) == set(whole.subsets)
    assert path.stat().st_size < 2**16 + 2000 * 2 * len(NASTY)  # the room that was claimed beyond its end is given back


@pytest.mark.parametrize("command", ["check", "pack"])
def test_datasets_prints_names_as_they_are(command, folder, tmp_path, capsys):
    out = tmp_path / ("out [/b].h5" if command == "pack" else "out [b]")
    arguments = ["--out", str(out)] if command == "check" else [str(out), "--size", "16"]
    assert main(["datasets", command, "pts", str(folder), *arguments, "--scheme", SCHEME]) in (0, 1)
    text = printed(capsys)
    assert "set [bold]$x^{$" in text and shown(out) in text


def test_evaluate_prints_names_as_they_are(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(kfa.deploy, "load", lambda path, trust: Standing())
    out = tmp_path / os.fsdecode(b"[v1] caf\xe9")
    command = ["evaluate", "--model", "x.tflite", "--dataset", "pts", "--data-dir", str(folder), "--out", str(out)]
    assert main(command) == 0
    text = printed(capsys)
    assert f"  {shown(out / 'report.html')}\n" in text and "set [bold]$x^{$" in text and (out / "predictions.npz").exists()


def test_compare_prints_names_as_they_are(run, faces, tmp_path, capsys):
    worse = run[1].predicted + np.linspace(0, 2, len(NASTY))[:, None, None]
    other = evaluation.report(faces.test.landmarks, worse, SCHEME, names=faces.test.names, subsets=run[1].subsets)
    second = tmp_path / "[bold] second"
    evaluation.write_run(second, other, faces.test)
    assert main(["compare", str(run[0]), str(second), "--out", str(tmp_path / "[c]"), "--resamples", "50"]) == 0
    text = printed(capsys)
    assert "[bold] second" in text and "run [v1] $x^{$" in text and str(tmp_path / "[c]" / "changed.png") in text
    assert "caf\\xe9" in text  # the last face, which changed most


def test_score_prints_names_as_they_are(run, folder, tmp_path, capsys):
    out = tmp_path / "[bold] score"
    command = ["score", "--scheme", SCHEME, "--truth", str(folder / "test"), "--predictions", str(folder / "test")]
    assert main([*command, "--out", str(out)]) == 0
    assert f"written: {out / 'report.json'}\n" in printed(capsys)


def test_track_prints_names_as_they_are():
    written = io.StringIO()
    report = {"problems": [f"{name}.mp4: stopped" for name in NASTY], "found": 1, "frames": 2, "tracks": 1, "interrupted": False}
    report |= {"milliseconds_per_frame": {"total": 1.0}, "fps": 1.0, "jitter": None, "sound": None, "most_faces": 1}
    report |= {"notes": [f"{name} is slow" for name in NASTY], "detector": "haar", "detector_runs": 1}
    track.tell(make_console(file=written), report, [Path(f"{name}.mp4") for name in NASTY])
    lines = written.getvalue().splitlines()
    assert lines[: len(NASTY)] == [f"problem: {shown(name)}.mp4: stopped" for name in NASTY]
    assert [f"note: {shown(name)} is slow" for name in NASTY] == lines[len(NASTY) : 2 * len(NASTY)]
    assert lines[-1] == f"written: {', '.join(shown(f'{name}.mp4') for name in NASTY)}"


def test_bench_and_inspect_print_names_as_they_are():
    written = io.StringIO()
    console = make_console(file=written, width=200)
    facts = {"threads": 1, "median": 1.0, "p90": 1.0, "ratio": 1.0, "bytes": 1, "delegated": None, "nodes": None}
    console.print(bench.table([Cost(path=f"{name}.onnx", peak=None, before=1, **facts) for name in NASTY], 1))
    console.print(inspect.metadata_table({name: name for name in NASTY}))
    text = written.getvalue()
    assert all(text.count(shown(name)) >= 3 for name in NASTY)


def test_warnings_about_photographs_are_one_line(tmp_path):
    path = str(tmp_path / "line\nbreak.jpg")
    crops = kfa.data.Crops(kfa.data.Faces(SCHEME, [path], 9 * kfa.schemes.get(SCHEME).mean_shape[None]), 16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        crops[0]
    assert str(caught[0].message).startswith(shown(path)) and "\n" not in str(caught[0].message)
    assert shown(path) in crops.summary() and crops.failures[0][0] == path


def test_files_of_such_names_are_replaced_whole(tmp_path):
    for name in NASTY:
        with replacing(tmp_path / f"{name}.txt") as temporary:
            temporary.write_text("x")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f"{name}.txt" for name in NASTY)
