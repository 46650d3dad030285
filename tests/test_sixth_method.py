"""A method of one's own, outside of the package: the example of docs/adding_a_method.md, as it stands.

Without a change to any file of the package it trains by its recipe with a flag of its own, resumes, and is refused where a
hyperparameter differs; every command that reads models takes it by `--from`.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import kfacealign as kfa

PAGE = Path(__file__).parents[1] / "docs" / "adding_a_method.md"
TRAINING = """
import runpy, sys

sys.stderr = sys.stdout

def recipe(*flags):
    sys.argv = ["shape_recipe.py", "--dataset", "pts", "--data-dir", "FOLDER", "--batch-size", "4", "--out", "run", *flags]
    try:
        runpy.run_path("shape_recipe.py", run_name="__main__")
    except SystemExit as stop:
        print("STOPPED", stop)

recipe("--epochs", "1", "--width", "4")
recipe("--epochs", "2", "--width", "8", "--resume")
recipe("--epochs", "2", "--width", "4", "--resume")
"""
COMMANDS = """
import contextlib, io, json, sys
from kfacealign.cli.main import main

def command(*words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            status = main(list(words))
        except SystemExit as stop:
            status = stop.code
    results.append([status, out.getvalue()])

results = []
for words in json.loads(sys.argv[1]):
    command(*words)
print("RESULTS " + json.dumps(results))
"""


def script(text, folder, *arguments):
    """What a program printed that runs in a process of its own, with nothing imported before."""
    environment = {**os.environ, "PYTHONPATH": str(PAGE.parents[1])}
    command = [sys.executable, "-c", text, *arguments]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder far from the package: the page's three files, a few rendered faces, a photograph."""
    folder = tmp_path_factory.mktemp("elsewhere")
    files = re.findall(r'```python title="(\w+\.py)"\n(.*?)```', PAGE.read_text(), flags=re.S)
    assert {name for name, _ in files} == {"shape_codec.py", "shape_model.py", "shape_recipe.py"}
    for name, text in files:
        (folder / name).write_text(text)
    kfa.data.write_pts(folder / "FOLDER", train=8, test=4, size=96, progress=False)
    face = kfa.data.SyntheticFaces(seed=3, size=200).render(17)
    cv2.imwrite(str(folder / "photo.jpg"), face.image[:, :, ::-1])
    (folder / "box.txt").write_text(",".join(map(str, face.box.tolist())))
    return folder


@pytest.fixture(scope="module")
def trained(place):
    """What three runs of the recipe printed: one, one with another hyperparameter, one that goes on."""
    return script(TRAINING, place)


@pytest.fixture(scope="module")
def commands(place, trained):
    """Exit status and output of every command; the first does not say where the class is from."""
    model, module = ["--model", "run/model.keras"], ["--from", "shape_model"]
    data = ["--dataset", "pts", "--data-dir", "FOLDER"]
    box = f"--box={(place / 'box.txt').read_text()}"
    words = {
        "unknown": ["align", "photo.jpg", box, *model],
        "align": ["align", "photo.jpg", box, *model, *module],
        "evaluate": ["evaluate", *model, *data, *module],
        "export": ["export", *model, "--out", "shape.tflite", *module],
        "models": ["models", "--model", "ShapeNet", *module],
        "bench": ["bench", "run/model.keras", "--runs", "2", *module],
        "exported": ["align", "photo.jpg", box, "--model", "shape.tflite", "--out", "exported"],
        "elsewhere": ["models", "--from", "no_such_module"],
    }
    printed = script(COMMANDS, place, json.dumps(list(words.values())))
    results = json.loads(printed.rpartition("RESULTS ")[2])
    return dict(zip(words, results, strict=True))


def test_it_trains_by_its_recipe_with_a_flag_of_its_own(place, trained):
    settings = json.loads((place / "run" / "state.json").read_text())["settings"]
    assert settings["width"] == 4 and settings["hyperparameters"]["width"] == 4
    assert (place / "run" / "model.tflite").stat().st_size > 0


def test_it_resumes_and_a_changed_hyperparameter_is_refused_with_both_values(place, trained):
    assert re.search(
        r"^error: run cannot be resumed with other settings: .*width was 4 and is 8\nSTOPPED 2$", trained, flags=re.M
    )
    assert "resumed after epoch 1" in trained
    assert len(json.loads((place / "run" / "state.json").read_text())["history"]) == 2


def test_its_file_needs_its_module(commands):
    status, printed = commands["unknown"]
    assert status == 2 and "--from" in printed
    assert "run/model.keras is refused: it names 'shape_model.ShapeNet'" in printed


@pytest.mark.parametrize("name", ["align", "evaluate", "export", "models", "bench", "exported"])
def test_every_command_takes_it(commands, name):
    status, printed = commands[name]
    assert status == 0, printed


def test_what_the_commands_wrote(place, commands):
    for folder in ("aligned", "exported"):
        content = json.loads((place / folder / "photo.json").read_text())
        assert content["scheme"] == "ibug68" and len(content["faces"][0]["landmarks"]) == 68
    first, second = (json.loads((place / folder / "photo.json").read_text())["faces"][0] for folder in ("aligned", "exported"))
    differences = [
        abs(a - b)
        for one, other in zip(first["landmarks"], second["landmarks"], strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    assert max(differences) < 0.1
    assert json.loads((place / "evaluation" / "report.json").read_text())["subsets"]["full"]["faces"] == 4


def test_it_is_among_the_models(commands):
    assert "ShapeNet" in commands["models"][1]
    status, printed = commands["elsewhere"]
    assert status == 2 and "--from no_such_module" in printed
