"""The wheel: what is in it, and that it works where nothing else of the project is."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import cv2
import keras
import pytest

import kfacealign as kfa
from kfacealign import models, presets
from kfacealign.codecs import Heatmap

ROOT = Path(__file__).parents[1]
SOURCES = ("kfacealign", "recipes", "tests", "docs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `python -m build` makes of a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / "sources" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "sources")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, folder / "sources", cwd=folder)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory):
    """The `bin` of a virtual environment with the wheel and this environment's other packages, but not its kfacealign."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    programs = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet", "--no-deps", "--no-index"]
    run(*pip, "--disable-pip-version-check", wheel, cwd=folder)
    # Folders named in a .pth file are searched, but .pth files in them, such as that of an editable install, are not read.
    (packages,) = folder.rglob("site-packages")
    (packages / "others.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return programs


def run(*command, cwd):
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run([str(part) for part in command], cwd=cwd, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    return result.stdout


def test_the_wheel_holds_the_package_and_its_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    sources = (path for path in (ROOT / "kfacealign").rglob("*") if path.suffix in (".py", ".pyi"))
    here = {str(path.relative_to(ROOT)) for path in sources}
    bundled = (ROOT / "kfacealign" / "presets").glob("*.*")
    data = {str(path.relative_to(ROOT)) for path in bundled if path.suffix in (".json", ".md", ".keras", ".tflite")}
    expected = (
        here
        | data
        | {f"kfacealign/{name}" for name in ("py.typed", "mean_shapes.json", "pose_points.json", "evaluation/published.json")}
    )
    metadata = {name for name in names if name.startswith(f"kfacealign-{kfa.__version__}.dist-info/")}
    assert names - metadata == expected
    assert any(name.endswith("LICENSE") for name in metadata)
    text = zipfile.ZipFile(wheel).read(f"kfacealign-{kfa.__version__}.dist-info/METADATA").decode()
    assert "License-Expression: Apache-2.0" in text and "Requires-Python: >=3.11" in text


def test_it_is_the_installed_package_that_is_imported(environment, tmp_path):
    where = run(environment / "python", "-c", "import importlib.util as i; print(i.find_spec('kfacealign').origin)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment.parent)


def test_it_aligns_a_photograph(environment, tmp_path):
    """By the bundled default; where the sources have none yet, by a small model."""
    face = kfa.data.SyntheticFaces(seed=3, size=320).render(17)
    cv2.imwrite(str(tmp_path / "photo.jpg"), face.image[:, :, ::-1])
    bundled = presets.DEFAULT in presets.names()
    options = [] if bundled else ["--model", small_model(tmp_path / "m.tflite")]
    assert "align" in run(environment / "kfacealign", "--help", cwd=tmp_path)
    x0, y0, x1, y1 = face.box.tolist()
    run(environment / "kfacealign", "align", "photo.jpg", *options, f"--box={x0},{y0},{x1},{y1}", cwd=tmp_path)
    result = json.loads((tmp_path / "aligned" / "photo.json").read_text())
    assert result["scheme"] == ("ibug68" if bundled else "aflw19")
    assert len(result["faces"]) == 1 and (tmp_path / "aligned" / "photo_landmarks.png").exists()


def small_model(path):
    image = keras.Input((16, 16, 3), name="image")
    x = keras.layers.Dense(8 * 8 * 19)(keras.layers.GlobalAveragePooling2D()(image))
    network = keras.Model(image, {"heatmap_1": keras.layers.Reshape((8, 8, 19))(x)})
    return kfa.deploy.export(models.FaceAligner(network, Heatmap(8), "aflw19"), path)
