"""README and docs/: links, commands, code, figures and the site they make.

Every Python block is run, page by page and in its order, in a folder that holds tiny rendered copies of the datasets in their
true layouts; networks are narrow there and trainings one epoch long. A block whose title is a file's name is written to that
file, and a `python FILE` line of the page then runs it on a handful of faces. Every other command line goes through the
parser of its program.
"""

import argparse
import ast
import contextlib
import functools
import importlib
import os
import pkgutil
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.parse import unquote

import cv2
import keras
import pytest
import scipy.io
from markdown.extensions.toc import slugify

import kfacealign as kfa
from kfacealign import models
from kfacealign.cli import main
from kfacealign.codecs import Heatmap
from kfacealign.training.settings import DEFAULTS

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
REFERENCE = ROOT / "docs" / "api"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SHELL = ("", "bash", "sh", "shell", "console")
# What networks are narrowed to, whatever a page asks for.
NARROW = {
    models.HIH: {"stacks": 1, "width": 16, "decimal_width": 16},
    models.FAN: {"stacks": 1, "width": 16},
    models.AttentiveHeatmap1D: {"stacks": 1, "width": 16},
    models.AttentiveHeatmap1DTracker: {"width": 16},
    models.PIPNet: {"backbone_width": 0.25, "backbone_weights": None},
    models.LOTR: {"backbone_weights": None},
}
# What a page's own recipe is run with beside its line's arguments.
TINY = ["--dataset", "pts", "--data-dir", "FOLDER", "--epochs", "1", "--batch-size", "4"]


# === Reading pages ===


def blocks(page):
    """(language, title, number of the first line, content) of a page's fenced blocks."""
    found, opened = [], None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        fence = re.match(r"\s*```+\s*(\w*)(.*)", line)
        if fence and opened is None:
            title = re.search(r'title="([^"]*)"', fence[2])
            opened = (fence[1], title[1] if title else "", number + 1, [])
        elif fence:
            found.append((*opened[:3], "\n".join(opened[3])))
            opened = None
        elif opened is not None:
            opened[3].append(line)
    assert opened is None, f"{page}: the block of line {opened[2] - 1} has no end"
    return found


def commands(content):
    """The words of a shell block's lines without comments and settings of variables."""
    for line in content.replace("\\\n", " ").splitlines():
        for part in re.split(r"&&|\|", line.removeprefix("$ ")):
            with contextlib.suppress(ValueError):  # an apostrophe in what a program printed
                words = shlex.split(part, comments=True)
                while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                    words.pop(0)
                if words:
                    yield words


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"^\s*```.*?^\s*```", "", text, flags=re.M | re.S))


def anchors(page):
    """Ids of a page's headings, as Python-Markdown makes them."""
    text = re.sub(r"^\s*```.*?^\s*```", "", page.read_text(), flags=re.M | re.S)
    ids = []
    for heading in re.findall(r"^#+ (.*)$", text, flags=re.M):
        plain = slugify(re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading), "-")
        ids.append(plain if plain not in ids else f"{plain}_{sum(other.startswith(plain) for other in ids)}")
    return ids


# === Links and figures ===


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name):
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", without_code(page.read_text())):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.is_file(), f"{name}: {target} is not there"
        if anchor:
            assert anchor in anchors(file), f"{name}: {file.name} has no heading #{anchor}"


def test_figures_are_small_and_shown():
    pictures = [path for path in (ROOT / "docs").rglob("*") if path.suffix in (".png", ".jpg", ".svg")]
    assert all(path.stat().st_size < 150_000 for path in pictures)
    assert sum(path.stat().st_size for path in pictures) < 1_500_000
    shown = "\n".join(page.read_text() for page in PAGES)
    assert [path.name for path in pictures if path.name not in shown] == []


@pytest.mark.parametrize("scheme", kfa.schemes.SCHEMES)
def test_every_point_of_a_scheme_is_numbered(scheme):
    numbers = set(re.findall(r">(\d+)</text>", (FIGURES / f"scheme_{scheme}.svg").read_text()))
    assert numbers == {str(number) for number in range(kfa.schemes.get(scheme).num_points)}


def test_figures_are_drawn(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "docs")
    monkeypatch.setattr(sys, "argv", ["figures.py", "--out", str(tmp_path), "--only", "coordinates", "hih", "views"])
    figures = importlib.import_module("figures")
    figures.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["coordinates.svg", "hih.jpg", "views.jpg"]
    made = {path.stem for path in FIGURES.iterdir()}
    assert {name for name in figures.FIGURES if name != "schemes"} == {name for name in made if not name.startswith("scheme_")}


# === Names ===


# What tells of before the move names what is no more.
PRESENT = [name for name in NAMES if name != "CHANGELOG.md"]
MODULES = {path.stem for path in (ROOT / "kfacealign").iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


@pytest.mark.parametrize("name", PRESENT)
def test_files_and_tests_are_where_they_are_named(name):
    text = (ROOT / name).read_text()
    named = set(re.findall(r"(?<![\w/])(?:benchmarks|docs|export|kfacealign|notebooks|recipes|tests)/[\w/]+\.\w+", text))
    assert [file for file in sorted(named) if not (ROOT / file).is_file()] == []
    for test, file in re.findall(r"`(test_\w+)` \(`(tests/[\w/]+\.py)`\)", text):
        assert f"def {test}(" in (ROOT / file).read_text(), f"{file} has no {test}"


@pytest.mark.parametrize("name", PRESENT)
def test_modules_and_what_is_in_them_are_there(name):
    """Names such as `kfacealign.data.pipeline`, or shorter, `codecs.Heatmap1D`."""
    for span in re.findall(r"`([^`\n]+)`", re.sub(r"^\s*```.*?^\s*```", "", (ROOT / name).read_text(), flags=re.M | re.S)):
        found = re.match(r"(?:kfacealign\.|kfa\.)?((\w+)(?:\.[a-zA-Z_]\w*)*)", span)
        dotted = found and (found[1] != found[0] or ("." in found[1] and found[2] in MODULES))
        if dotted and not re.search(r"\.(?:pyi?|md|json|yaml)$", found[0]):
            pkgutil.resolve_name(f"kfacealign.{found[1]}")


def test_house_has_the_floors_of_the_plan():
    told = re.findall(r"^\d+\. (.*): `(.*)`$", (ROOT / "docs" / "house.md").read_text(), flags=re.M)
    plan = runpy.run_path(str(ROOT / "tests" / "test_architecture.py"))["FLOORS"]
    assert [(floor, rooms.replace("`, `", " ")) for floor, rooms in told] == list(plan), "docs/house.md lists tests' FLOORS"


# === Commands ===


class Parsed(Exception):
    """Raised in place of running a recipe."""


def parse_recipe(file, arguments, monkeypatch):
    """Lets a recipe parse a command line and stops it there."""

    def stopping(real):
        def stop(*given, **options):
            real(*given, **options)
            raise Parsed

        return stop

    if "PAPER" in file.read_text():
        monkeypatch.setattr(kfa.training, "parse_settings", stopping(kfa.training.parse_settings))
    else:  # with a parser of its own
        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stopping(argparse.ArgumentParser.parse_args))
    monkeypatch.setattr(sys, "argv", [str(file), *arguments])
    with pytest.raises(Parsed):
        runpy.run_path(str(file))["recipe"]()
    monkeypatch.undo()


def flags_of(file):
    """The flags that a program's source names."""
    constants = [node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)]
    return {value for value in constants if isinstance(value, str) and value.startswith("--")}


POINTS = """name: five
names: [left_eye, right_eye, nose, left_mouth, right_mouth]
mirror: [1, 0, 2, 4, 3]
eye_corners: [0, 1]
mean_shape: [[0.1, 0.1], [0.9, 0.1], [0.5, 0.5], [0.2, 0.9], [0.8, 0.9]]
"""


@pytest.mark.parametrize("name", NAMES)
def test_commands_are_understood(name, tmp_path, monkeypatch, capsys):
    (tmp_path / "points.yaml").write_text(POINTS)  # a scheme's file is read with the flag that names it
    with contextlib.chdir(tmp_path):
        understand(ROOT / name, name, monkeypatch, capsys)


def understand(page, name, monkeypatch, capsys):
    own = {title for _, title, _, _ in blocks(page) if title.endswith(".py")}
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^([a-z]+):", makefile, flags=re.M)
    for language, _, line, content in blocks(page):
        for words in commands(content) if language in SHELL else ():
            program, *arguments = words
            try:
                if Path(program).name == "kfacealign":
                    if arguments[0] != "COMMAND":
                        main.build_parser(arguments).parse_args(arguments)
                elif program.startswith("python") and arguments and "/" in arguments[0] and "::" not in arguments[0]:
                    file = ROOT / arguments[0]
                    assert file.is_file()
                    if file.parent.name == "recipes":
                        parse_recipe(file, arguments[1:], monkeypatch)
                    else:
                        assert {word.split("=")[0] for word in arguments if word.startswith("--")} <= flags_of(file)
                elif program == "python" and arguments and arguments[0] in own:
                    pass  # run by test_python_blocks_run
                elif program == "make":
                    assert {word for word in arguments if "=" not in word} <= set(targets)
                    assert all(f"$({word.split('=')[0]})" in makefile for word in arguments if "=" in word)
                elif program == "pip":
                    named = re.findall(r"\[([\w,]+)\]", " ".join(arguments))
                    assert {extra for group in named for extra in group.split(",")} <= set(extras)
            except (SystemExit, AssertionError) as error:
                pytest.fail(f"{name}, block of line {line}: {' '.join(words)}: {error} {capsys.readouterr().err}")


# === Code ===


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with small copies of the datasets that the pages name, a photograph, a model and its export."""
    folder = tmp_path_factory.mktemp("documentation")
    kfa.data.write_wflw(folder / "WFLW", train=4, test=4, size=128, progress=False)
    kfa.data.write_pts(folder / "FOLDER", train=4, test=4, size=128, progress=False)
    for part, split in (("afw", "train"), ("helen/trainset", "train"), ("helen/testset", "test"), ("lfpw/trainset", "train")):
        shutil.copytree(folder / "FOLDER" / split, folder / "300w" / part)
    for part in ("lfpw/testset", "ibug"):
        shutil.copytree(folder / "FOLDER" / "test", folder / "300w" / part)
    (folder / "300W").symlink_to("300w")
    face = kfa.data.SyntheticFaces(seed=3, size=450).render(17)
    for part in ("AFW", "HELEN", "IBUG", "LFPW"):
        for place in (part, f"{part}_Flip", f"landmarks/{part}"):
            (folder / "300W-LP" / place).mkdir(parents=True)
        for place in (part, f"{part}_Flip"):
            cv2.imwrite(str(folder / "300W-LP" / place / "face_0.jpg"), face.image[:, :, ::-1])
        scipy.io.savemat(folder / "300W-LP" / "landmarks" / part / "face_0_pts.mat", {"pts_2d": face.landmarks["ibug68"] + 0.5})
    kfa.data.pack(kfa.data.wflw(folder / "WFLW"), folder / "wflw.h5", size=64, progress=False)
    cv2.imwrite(str(folder / "photo.jpg"), face.image[:, :, ::-1])

    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Dense(8 * 8 * 19)(keras.layers.GlobalAveragePooling2D()(image))
    network = keras.Model(image, {"heatmap_1": keras.layers.Reshape((8, 8, 19))(x)})
    model = models.FaceAligner(network, Heatmap(8), "aflw19")
    model.save(folder / "model.keras")
    kfa.deploy.export(model, folder / "model.tflite")
    (folder / "points.yaml").write_text(POINTS)
    pipnet = models.PIPNet("wflw98", **NARROW[models.PIPNet])
    pipnet.save(folder / "pipnet.keras")
    return folder


@pytest.fixture
def small(workplace, monkeypatch):
    """Narrow networks, one epoch, no download, and the folder as the place to be."""
    for network, settings in NARROW.items():
        monkeypatch.setattr(network, "__init__", narrowed(network.__init__, settings))
    fit, compiling = models.FaceAligner.fit, models.FaceAligner.compile
    monkeypatch.setattr(models.FaceAligner, "fit", functools.partialmethod(changed, fit, {"epochs": 1, "verbose": 0}))
    eager = {"run_eagerly": True, "jit_compile": False}
    monkeypatch.setattr(models.FaceAligner, "compile", functools.partialmethod(changed, compiling, eager))
    monkeypatch.chdir(workplace)
    monkeypatch.syspath_prepend(workplace)
    return workplace


def narrowed(init, settings):
    def narrow(self, *arguments, **options):
        init(self, *arguments, **{**options, **settings})

    return narrow


def changed(self, method, settings, *arguments, **options):
    return method(self, *arguments, **{**options, **settings})


WITH_CODE = [name for name in NAMES if any(language == "python" for language, *_ in blocks(ROOT / name))]


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", WITH_CODE)
def test_python_blocks_run(name, small, monkeypatch):
    namespace, written = {"__name__": name}, set()
    schemes = dict(kfa.schemes.SCHEMES)
    try:
        for language, title, line, content in blocks(ROOT / name):
            if language == "python" and title.endswith(".py"):
                (small / title).write_text(content)
                written.add(title)
            elif language == "python":
                exec(compile("\n" * (line - 1) + content, str(ROOT / name), "exec"), namespace)
            elif language in SHELL:
                for words in commands(content):
                    if words[0] == "python" and words[1] in written:
                        monkeypatch.setattr(sys, "argv", [*words[1:], *TINY])
                        runpy.run_path(words[1], run_name="__main__")
    finally:
        kfa.schemes.SCHEMES.clear()
        kfa.schemes.SCHEMES.update(schemes)


# === Tables and the site ===


def test_tables_of_recipes_are_theirs():
    """The papers' settings, one row a recipe, and what a dataset changes, one row for each in its `DATASETS`."""
    rows = [
        re.findall(r"[^|]+", row) for row in re.findall(r"^\| `\w+\.py` \|.*", (ROOT / "docs" / "recipes.md").read_text(), re.M)
    ]
    rows = [[cell.strip() for cell in row] for row in rows]
    recipes = {path.name: runpy.run_path(str(path)) for path in sorted((ROOT / "recipes").glob("*.py"))}
    recipes = {name: recipe for name, recipe in recipes.items() if "PAPER" in recipe}

    settings = {row[0].strip("`"): row[2:] for row in rows if len(row) == 8}
    assert set(settings) == set(recipes), "docs/recipes.md lists every recipe"
    assert len(settings) == sum(len(row) == 8 for row in rows), "and each once"
    for name, cells in settings.items():
        paper = {**DEFAULTS, **recipes[name]["PAPER"]}
        numbers = [paper[key] for key in ("input_size", "batch_size", "epochs", "learning_rate")]
        assert cells == [f"`{paper['dataset']}`", *map(str, numbers), ", ".join(map(str, paper["drops"]))], name

    by_dataset = [row for row in rows if len(row) == 3]
    expected = []
    for name, recipe in recipes.items():
        for dataset, changed in recipe.get("DATASETS", {}).items():
            flags = " ".join(f"--{key} {value}".replace("_", "-") for key, value in changed.items())
            expected.append([f"`{name}`", f"`{dataset}`", f"`{flags}`"])
    assert sorted(by_dataset) == sorted(expected)


ROOMS = ("models", "codecs", "losses", "layers", "metrics", "data", "training", "evaluation", "deploy", "presets", "checkpoints")


@pytest.mark.parametrize("module", ["kfacealign", *(f"kfacealign.{room}" for room in ROOMS)])
def test_everything_public_is_in_the_reference(module):
    reference = "\n".join(page.read_text() for page in REFERENCE.glob("*.md"))
    module = importlib.import_module(module)
    public = [name for name in module.__all__ if callable(getattr(module, name))]
    assert [name for name in public if not re.search(rf"\b{name}\b", reference)] == [], "add it to docs/api"


def listed(page):
    """The dotted names that a page of the reference asks mkdocstrings for."""
    for module, options in re.findall(r"^::: (\S+)\n((?:    .*\n?)*)", page.read_text(), flags=re.M):
        members = re.search(r"members: \[(.*)\]", options)
        yield from (f"{module}.{name}" for name in members[1].split(", ")) if members else (module,)


def test_site_builds_without_a_warning_and_without_the_network(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) >= len(NAMES) - 3
    for page in pages:
        text = page.read_text()
        assert not re.search(r"<(?:script|img|iframe)[^>]*src=\"?(?:https?:)?//", text), page
        assert not re.search(r"<link[^>]*rel=\"?(?:stylesheet|preconnect)[^>]*https?://", text), page
    for page in REFERENCE.glob("*.md"):
        made = (tmp_path / "site" / "api" / f"{page.stem}.html").read_text()
        # Of modules without a list of members there is no heading.
        asked = [name for name in listed(page) if name not in ("kfacealign.geometry", "kfacealign.drawing")]
        assert [name for name in asked if f'id="{name}"' not in made] == [], f"{page.name} names what is not there"


def test_citation_is_of_this_version():
    import yaml

    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0" and str(citation["version"]) == kfa.__version__
    assert len(citation["references"]) == 5 and all(reference["authors"] for reference in citation["references"])
