"""The papers' settings on a dataset of one's own, `make reproduce`."""

import functools
import importlib.util
import json
import runpy
import sys
from pathlib import Path

import pytest

import kfacealign as kfa
from kfacealign.cli.main import main as command
from kfacealign.evaluation import protocols
from kfacealign.models.complexity import multiply_adds

ROOT = Path(__file__).parents[1]
TINY = "--epochs 1 --batch-size 4 --input-size 64 --backbone-width 0.35 --drops"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("reproduce", ROOT / "benchmarks" / "reproduce.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["reproduce"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["reproduce"]


@pytest.fixture
def cheap(script, monkeypatch):
    """Networks of a thousand multiply-adds, which need not be built."""
    monkeypatch.setattr(script, "cost_of", lambda *_: 1000)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """The program hides the accelerator from itself; the other tests shall see it."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")


@pytest.fixture(scope="module")
def wflw(tmp_path_factory):
    return str(kfa.data.write_wflw(tmp_path_factory.mktemp("data") / "WFLW", train=6, test=3, size=96, progress=False))


def paper_rows(script, name, dataset):
    """Table -> the rows of the method's paper, in the tables of the dataset's protocol."""
    method, tables = script.METHODS[name], protocols.published()["protocols"][dataset]
    return {
        table: [row for row in rows if row["method"] == method.row and method.backbone in (None, row.get("backbone"))]
        for table, rows in tables.items()
    }


def test_every_method_has_a_row_of_its_paper_where_it_says_so(script):
    for name, method in script.METHODS.items():
        for dataset in script.DATASETS:
            found = [rows for rows in paper_rows(script, name, dataset).values() if rows]
            assert bool(found) == (dataset in method.datasets), (name, dataset)


def test_rates_are_of_the_network_that_was_measured(script):
    model = kfa.models.PIPNet("ibug68", backbone="efficientnet_lite0", backbone_weights=None, input_size=128)
    assert multiply_adds(model.network) == script.MEASURED_COST


def test_hours_are_steps_of_the_paper_over_the_rate(script):
    """PIPNet on ResNet-18 has 2.45 G multiply-adds in the paper's Table 9; 750,000 faces, 60 epochs, 1.35 T a second: 22.7 h."""
    arguments = script.parse(["--dataset", "wflw", "--plan", "--out", "OUT", "--data-dir", "DIR"])
    part = script.planned("pipnet", arguments, kfa.schemes.get("wflw98"), 750_000)
    assert part.hours == pytest.approx(750_000 * 60 * 2.45e9 / (8242 * 163_799_040) / 3600, rel=0.005)


@pytest.mark.parametrize("name, cost", [("hih", 17.15), ("subpixel", 28.17)])
def test_what_a_face_costs(script, name, cost):
    """HIH's Table I has 17.15 G for the base variant; Siamese training reads every face twice."""
    arguments = script.parse(["--dataset", "wflw", "--plan", "--data-dir", "DIR"])
    part = script.planned(name, arguments, kfa.schemes.get("wflw98"), 1)
    assert round(part.cost / 1e9, 2) == cost


@pytest.mark.usefixtures("cheap")
def test_a_plan_needs_no_directory_and_runs_nothing(script, capsys):
    assert script.main(["--dataset", "wflw", "--plan", "--out", "OUT"], call=None) == 0
    printed = capsys.readouterr().out
    assert "7,500" in printed and "assume" in printed and "8,242 images a second" in printed
    names = ("wflw_hih.py", "pipnet.py", "subpixel.py")
    for name, folder in zip(names, ("hih", "pipnet", "subpixel"), strict=True):
        assert f"{name} --dataset wflw --data-dir DIR --scale paper --out OUT/{folder} --resume" in printed


@pytest.mark.usefixtures("cheap")
def test_flags_reach_the_recipe_and_the_estimate(script):
    arguments = script.parse(["--dataset", "wflw", "--plan", "--data-dir", "D E", "--recipe-flags", "--epochs 3 --seed 1"])
    part = script.planned("pipnet", arguments, kfa.schemes.get("wflw98"), 10)
    assert part.epochs == 3
    assert part.commands[0][1:] == (
        *("--dataset", "wflw", "--data-dir", "D E", "--scale", "paper", "--epochs", "3", "--seed", "1"),
        *("--out", "runs/reproduce/wflw/pipnet", "--resume"),
    )


@pytest.mark.usefixtures("cheap")
def test_lotr_is_measured_as_its_paper_did(script):
    arguments = script.parse(["--dataset", "jd106", "--plan", "--data-dir", "JD"])
    assert arguments.methods == ["lotr"]
    measure = script.planned("lotr", arguments, kfa.schemes.get("jd106"), 10).commands[1]
    assert "--flip" in measure and measure[measure.index("--align") + 1] == "five_points"


def test_without_a_directory_nothing_runs(script, capsys):
    with pytest.raises(SystemExit):
        script.parse(["--dataset", "wflw"])
    assert "--data-dir is needed" in capsys.readouterr().err


# === A whole run ===


@pytest.fixture
def calls(monkeypatch):
    """What was called, and a function that does it in this process, without the export of the trained model."""
    made = []
    monkeypatch.setattr(kfa.deploy, "export", lambda model, path: None)
    # The few steps take less time than the graph of one would.
    eager = functools.partialmethod(kfa.models.FaceAligner.compile, run_eagerly=True, jit_compile=False)
    monkeypatch.setattr(kfa.models.FaceAligner, "compile", eager)

    def call(words):
        made.append(words)
        if words[0] == "-m":
            return command(words[2:])
        monkeypatch.setattr(sys, "argv", words)
        runpy.run_path(words[0])["recipe"]()
        return 0

    return made, call


@pytest.mark.usefixtures("cheap")
def test_a_run_prints_the_papers_row_beside_its_own_and_is_done_once(script, wflw, calls, tmp_path, capsys):
    made, call = calls
    out = tmp_path / "out"
    words = ["--dataset", "wflw", "--data-dir", wflw, "--scale", "quick", "--out", str(out)]
    words += ["--methods", "pipnet", "--recipe-flags", TINY]
    assert script.main(words, call) == 0
    assert [words[0] for words in made] == [made[0][0], "-m"] and made[0][0].endswith("recipes/pipnet.py")
    printed = capsys.readouterr().out.split("pipnet: NME, % of inter-ocular")[1]  # behind what `evaluate` prints
    assert (out / "pipnet" / "evaluation" / "table.md").exists()

    full = next(line for line in printed.splitlines() if line.startswith("│ full "))
    report = json.loads((out / "pipnet" / "evaluation" / "report.json").read_text())
    assert [cell.strip() for cell in full.split("│")[2:-1]] == ["4.57", f"{report['subsets']['full']['nme']:.2f}"]

    assert script.main(words, call) == 0
    assert len(made) == 2, "what was measured is not done again"
    assert "measured here" in capsys.readouterr().out


@pytest.mark.usefixtures("cheap")
def test_a_method_that_fails_leaves_the_others_their_turn(script, wflw, tmp_path, capsys):
    made = []

    def call(words):
        made.append(words[0])
        return 2

    words = ["--dataset", "wflw", "--data-dir", wflw, "--scale", "quick", "--out", str(tmp_path / "out")]
    assert script.main([*words, "--methods", "pipnet", "hih"], call) == 1
    assert [Path(name).name for name in made] == ["pipnet.py", "wflw_hih.py"]
    printed = capsys.readouterr().out
    assert "pipnet failed" in printed and "hih failed" in printed

    def interrupted(words):
        return 130

    with pytest.raises(KeyboardInterrupt):
        script.main([*words, "--methods", "pipnet", "hih"], interrupted)


def test_a_command_is_a_process_of_its_own(script):
    assert script.caller({})(["-c", "raise SystemExit(3)"]) == 3
