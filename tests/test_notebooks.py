"""notebooks/: each runs from top to bottom with the tests' settings, and what is committed is whole, clean and listed.

A run takes a kernel of its own and less than a minute, most of which is the start of TensorFlow. What a notebook shows in full is
not compared with anything here: `python notebooks/execute.py` makes it, and a reader judges it.
"""

import importlib
import itertools
import platform
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "notebooks"
NAMES = [path.name for path in sorted(FOLDER.glob("*.ipynb"))]
PICTURES = ("image/png", "image/jpeg", "image/svg+xml")
LIMIT = 400_000  # bytes of a committed notebook


@pytest.fixture
def execute(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    return importlib.import_module("execute")


def committed(name):
    return nbformat.read(FOLDER / name, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def pictures(notebook):
    """How many pictures each code cell shows."""
    return [sum(any(kind in output.get("data", ()) for kind in PICTURES) for output in cell.outputs) for cell in code(notebook)]


def printed(cell):
    """What a code cell shows beside its pictures."""
    texts = []
    for output in cell.outputs:
        texts += [output.get("text", ""), *output.get("traceback", ())]
        texts += [str(value) for kind, value in output.get("data", {}).items() if kind not in PICTURES]
    return "\n".join(texts)


# === Running ===


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_top_to_bottom(name, execute):
    """A cell that fails raises; what is shown in full is shown in quick settings too, if only with other values."""
    kept = (FOLDER / name).read_bytes()
    executed = execute.tidy(execute.execute(FOLDER / name, quick=True))
    assert [cell.execution_count for cell in code(executed)] == list(range(1, len(code(executed)) + 1))
    assert [output for cell in code(executed) for output in cell.outputs if output.output_type == "error"] == []
    assert pictures(executed) == pictures(committed(name)), "execute it again: python notebooks/execute.py " + name[:2]
    assert (FOLDER / name).read_bytes() == kept, "a trial writes nothing"


def test_a_cell_that_fails_is_not_passed_over(execute, tmp_path):
    from nbclient.exceptions import CellExecutionError

    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("import os\n1 / int(os.environ['KFACEALIGN_QUICK'] == '0')")]
    )
    nbformat.write(notebook, tmp_path / "fails.ipynb")
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        execute.execute(tmp_path / "fails.ipynb", quick=True)


# === What is committed ===


@pytest.mark.parametrize("name", NAMES)
def test_committed_with_its_outputs(name):
    notebook = committed(name)
    counts = [cell.execution_count for cell in code(notebook)]
    assert counts == list(range(1, len(counts) + 1)), "execute it: python notebooks/execute.py " + name[:2]
    assert sum(pictures(notebook)) > 0
    for cell in code(notebook):
        assert [output.output_type for output in cell.outputs if output.output_type == "error"] == []
        assert [output for output in cell.outputs if output.get("name") == "stderr"] == []
        assert "Traceback" not in printed(cell) and "Warning" not in printed(cell)
    assert (FOLDER / name).stat().st_size < LIMIT


@pytest.mark.parametrize("name", NAMES)
def test_names_no_place_of_a_machine(name):
    notebook = committed(name)
    assert set(notebook.metadata) == {"kernelspec", "language_info"} and notebook.metadata.language_info == {"name": "python"}
    for cell in notebook.cells:
        assert not cell.metadata
        shown = printed(cell) if cell.cell_type == "code" else ""
        found = re.search(r"/work/|/tmp/|/root|/home/|/Users/|/var/|site-packages|[A-Z]:\\", cell.source + "\n" + shown)
        assert found is None, f"{found[0]} in {cell.id}"
        host = re.search(
            rf"(?<![\w.-])(?:{re.escape(platform.node() or 'localhost')}|localhost|\d+\.\d+\.\d+\.\d+)(?![\w-])", shown
        )
        assert host is None, f"{host[0]} in {cell.id}"


@pytest.mark.parametrize("name", NAMES)
def test_reads_like_a_text(name):
    """A title first; prose before every cell of code; lines that fit; links that lead somewhere."""
    cells = committed(name).cells
    assert re.match(r"# \S", cells[0].source) and cells[0].cell_type == "markdown"
    for before, cell in itertools.pairwise(cells):
        if cell.cell_type == "code":
            assert before.cell_type == "markdown" and before.source.strip(), f"{cell.id} has no text before it"
    assert [line for cell in cells for line in cell.source.splitlines() if len(line) > 130] == []
    for cell in cells:
        for target in re.findall(r"\]\(([^)\s]+)\)", cell.source if cell.cell_type == "markdown" else ""):
            path = unquote(target).partition("#")[0]
            assert re.match(r"[a-z]+:", target) or (FOLDER / path).resolve().is_file(), f"{target} is not there"


def test_all_are_listed():
    listed = re.findall(r"^\| `(\w+\.ipynb)` \|", (ROOT / "docs" / "notebooks.md").read_text(), flags=re.M)
    assert listed == NAMES
