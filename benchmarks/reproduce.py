"""The papers' settings on a dataset of yours, and each paper's row beside the measured one.

    python benchmarks/reproduce.py --dataset wflw --data-dir WFLW --plan            # what would run, and for how many hours
    python benchmarks/reproduce.py --dataset wflw --data-dir WFLW                   # every method that published on WFLW
    python benchmarks/reproduce.py --dataset 300w --data-dir 300W --methods pipnet subpixel
    python benchmarks/reproduce.py --dataset wflw --data-dir WFLW --recipe-flags "--precision bfloat16 --steps-per-call 16"

Each method is trained by its recipe and measured by `kfacealign evaluate --protocol`, both as commands of their own, which are
printed. A run that was stopped goes on with the same command: what is measured already is not done again, a training goes on
after its last finished epoch. OUT/METHOD is the folder of a training, OUT/METHOD/evaluation that of its tables. A method
that fails does not stop the others; the exit status is then 1.

A method that published nothing on the dataset may be named too: its row has no paper's beside it.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import runpy
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from rich.table import Column as Heading
from rich.table import Table
from rich.text import Text

import kfacealign as kfa
from kfacealign.console import make_console, shown
from kfacealign.data import catalogue
from kfacealign.evaluation import protocols, published_tables
from kfacealign.files import replacing

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("wflw", "300w", "cofw", "aflw", "jd106")
# A training step costs three times the multiply-adds of an answer: forward, and backward to activations and to weights.
# `MEASURED` images of `MEASURED_COST` multiply-adds each were trained in a second; what is dense and larger uses a GPU better.
MEASURED, MEASURED_COST = 8242, 163_799_040
ASSUMPTION = (
    "the hours assume that one H100 trains {rate:.2f} T multiply-adds of the forward pass a second in every network, as one H200 "
    "did where it was measured: 8,242 images a second of PIPNet on EfficientNet-Lite0 at 128 px, batch 64, the bare compiled "
    "step; reading photographs, the tests after each epoch and waiting for the host come on top"
)


@dataclasses.dataclass(frozen=True)
class Method:
    """How a method is trained here and what its paper calls it.

    Attributes:
        recipe: the recipe's file.
        network: function of scheme, settings and the recipe's names -> the model without pretrained weights.
        row: the name of the paper's row in the tables.
        datasets: those for which the paper has a row.
        backbone: the row's backbone, where several rows have that name; None does not look at it.
        evaluate: further flags of `kfacealign evaluate`.
        views: crops that one training face costs in a step.
    """

    recipe: str
    network: Callable
    row: str
    datasets: tuple[str, ...]
    _: dataclasses.KW_ONLY
    backbone: str | None = None
    evaluate: tuple[str, ...] = ()
    views: int = 1


def hih(scheme, settings, recipe):
    return kfa.models.HIH(scheme, input_size=settings.input_size, **recipe["VARIANTS"][settings.variant])


def pipnet(scheme, settings, recipe):
    names = ("backbone", "backbone_width", "stride", "input_size")
    neighbors = min(settings.neighbors, scheme.num_points - 1)
    return kfa.models.PIPNet(
        scheme, backbone_weights=None, neighbors=neighbors, **{name: getattr(settings, name) for name in names}
    )


def lotr(scheme, settings, recipe):
    names = ("variant", "backbone", "input_size")
    return kfa.models.LOTR(scheme, backbone_weights=None, **{name: getattr(settings, name) for name in names})


def subpixel(scheme, settings, recipe):
    names = ("stacks", "width", "input_size")
    return kfa.models.FAN(scheme, **{name: getattr(settings, name) for name in names})


def heatmap1d(scheme, settings, recipe):
    names = ("stacks", "width", "input_size", "gamma")
    return kfa.models.AttentiveHeatmap1D(scheme, **{name: getattr(settings, name) for name in names})


METHODS = {
    "hih": Method("wflw_hih.py", hih, "HIH_B", ("wflw", "300w", "cofw")),
    "pipnet": Method("pipnet.py", pipnet, "PIPNet", ("wflw", "300w", "cofw", "aflw"), backbone="ResNet-18"),
    "lotr": Method("lotr.py", lotr, "LOTR-M", ("jd106",), evaluate=("--flip",)),
    "subpixel": Method("subpixel.py", subpixel, "Subpixel heatmaps", ("wflw", "300w", "cofw", "aflw"), views=2),
    "heatmap1d": Method("heatmap1d.py", heatmap1d, "Attentive 1D heatmaps", ("300w", "aflw")),
}


# === The plan ===


@dataclasses.dataclass(frozen=True)
class Planned:
    """One method's part of a run.

    Attributes:
        name: its key in `METHODS`.
        out: the folder of its training.
        commands: the arguments that Python gets, of the training and of the evaluation.
        faces: number of training faces.
        epochs: passes over them.
        cost: multiply-adds of one training face, forward.
    """

    name: str
    out: Path
    commands: tuple[tuple[str, ...], ...]
    faces: int
    epochs: int
    cost: int

    @property
    def hours(self) -> float:
        """Hours of the training steps alone, see `ASSUMPTION`."""
        return self.faces * self.epochs * self.cost / (MEASURED * MEASURED_COST) / 3600


def planned(name, arguments, scheme, faces):
    """The `Planned` of a method.

    Args:
        name: a key of `METHODS`.
        arguments: of the command line.
        scheme: the dataset's `Scheme`.
        faces: number of its training faces.
    """
    method, out = METHODS[name], Path(arguments.out) / name
    data = ("--dataset", arguments.dataset, "--data-dir", arguments.data_dir)
    flags = (*data, "--scale", arguments.scale, *arguments.recipe_flags)
    recipe = runpy.run_path(str(ROOT / "recipes" / method.recipe))
    more = {"variants": recipe.get("VARIANTS", ()), "datasets": recipe.get("DATASETS")}
    settings = kfa.training.parse_settings(None, recipe["PAPER"], recipe["QUICK"], argv=flags, **more)
    train = (os.path.relpath(ROOT / "recipes" / method.recipe), *flags, "--out", str(out), "--resume")
    measure = ("-m", "kfacealign", "evaluate", "--model", str(out / "model.keras"), *data, "--protocol", arguments.dataset)
    measure += ("--align", settings.align, *method.evaluate, "--out", str(out / "evaluation"))
    return Planned(name, out, (train, measure), faces, settings.epochs, cost_of(method, scheme, settings, recipe))


def cost_of(method, scheme, settings, recipe):
    """Multiply-adds of one training face, forward."""
    from kfacealign.models.complexity import multiply_adds  # imports Keras

    return multiply_adds(method.network(scheme, settings, recipe).network) * method.views


def plan_table(plan):
    """The plan as a `rich` table."""
    table = Table(title="the plan", title_justify="left")
    table.add_column("method")
    for heading in ("faces", "epochs", "G multiply-adds", "hours on one H100"):
        table.add_column(heading, justify="right")
    for part in plan:
        table.add_row(part.name, f"{part.faces:,}", str(part.epochs), f"{part.cost / 1e9:.2f}", f"{part.hours:.1f}")
    table.add_row("all", "", "", "", f"{sum(part.hours for part in plan):.1f}", style="bold")
    return table


# === The run ===


def carry_out(part, call):
    """Trains and measures one method, unless that was done before; whether it is done.

    Args:
        part: a `Planned`.
        call: function of Python's arguments -> exit status.
    """
    note, commands = part.out / "reproduced.json", [list(command) for command in part.commands]
    with contextlib.suppress(OSError, ValueError):
        if json.loads(note.read_text(encoding="utf-8")) == commands and (part.out / "evaluation" / "table.json").exists():
            return True
    for command in commands:
        status = call(command)
        if status in (130, 143):
            raise KeyboardInterrupt
        if status:
            return False
    with replacing(note) as temporary:
        temporary.write_text(json.dumps(commands, indent=1), encoding="utf-8")
    return True


def caller(environment):
    """A function that runs Python with some arguments from the project's folder and returns its exit status."""

    def call(command):
        process = subprocess.Popen([sys.executable, *command], env=environment)
        try:
            return process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise

    return call


# === The rows ===


def rows(part, dataset):
    """The paper's row and the measured one in every table that has them.

    Args:
        part: a `Planned` that was carried out.
        dataset: name of the dataset and of its protocol.

    Returns:
        List of (`Table` of the protocol, the paper's row or None, the measured row), rows as dicts of `evaluate`'s table.json.
    """
    method = METHODS[part.name]
    written = json.loads((part.out / "evaluation" / "table.json").read_text(encoding="utf-8"))["tables"]
    found = []
    for table in protocols.get(dataset).tables:
        measured = [row for row in written.get(table.name, {"rows": ()})["rows"] if row.get("run")]
        paper = [row for row in written.get(table.name, {"rows": ()})["rows"] if row["method"] == method.row]
        paper = [row for row in paper if not row.get("run") and method.backbone in (None, row.get("backbone"))]
        found += [(table, paper[0] if paper else None, row) for row in measured]
    return [entry for entry in found if entry[1] is not None] or found[:1]  # the first table where the paper has no row


def row_tables(part, dataset):
    """`rich` tables of `rows`."""
    for table, paper, measured in rows(part, dataset):
        values = {} if paper is None else paper["values"]
        columns = [column for column in table.columns if column.key in {**values, **measured["values"]}]
        label = "the paper: no figures for this dataset" if paper is None else f"{paper['method']}, {paper['source']}"
        made = Table("", Heading(Text(label), justify="right"), Heading("measured here", justify="right", style="bold"))
        made.title, made.title_justify = f"{part.name}: {table.title}", "left"
        for column in columns:
            here = published_tables.shown(column, measured["values"].get(column.key), run=True)
            made.add_row(column.title, published_tables.shown(column, values.get(column.key)), here)
        yield made


# === The command line ===


def parse(argv=None):
    """The arguments; `methods`, `out` and `data_dir` are filled in."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument("--data-dir", help="the dataset's directory; with --plan it may be left out")
    parser.add_argument("--methods", nargs="+", choices=METHODS, help="by default those that published on the dataset")
    parser.add_argument("--scale", choices=("paper", "quick"), default="paper", help="'quick' tries the whole of it on a CPU")
    parser.add_argument("--out", help="directory of the results (default runs/reproduce/DATASET)")
    parser.add_argument("--plan", action="store_true", help="print the commands and the hours, and do nothing")
    parser.add_argument(
        "--recipe-flags", type=shlex.split, default=[], metavar='"FLAGS"', help="further flags that every recipe gets"
    )
    arguments = parser.parse_args(argv)
    if arguments.data_dir is None and not arguments.plan:
        parser.error("--data-dir is needed: the directory of the dataset; kfacealign datasets says what is in it")
    own = [name for name, method in METHODS.items() if arguments.dataset in method.datasets]
    arguments.methods = list(dict.fromkeys(arguments.methods or own))
    quick = "_quick" if arguments.scale == "quick" else ""
    arguments.out = arguments.out or str(Path("runs") / "reproduce" / f"{arguments.dataset}{quick}")
    return arguments


def training_faces(arguments):
    """How many faces are trained on: those in the directory, or, where none is given, those that were published."""
    if arguments.data_dir is None:
        arguments.data_dir = "DIR"
        return catalogue.get(arguments.dataset).counts["train"]
    return len(kfa.data.load_dataset(arguments.dataset, arguments.data_dir).train)


def main(argv=None, call=None):
    """Plans, runs and compares; the exit status."""
    arguments, console = parse(argv), make_console()
    environment = dict(os.environ)
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # networks are only counted here: the accelerator is the recipes'
    os.environ["JAX_PLATFORMS"] = "cpu"
    faces, scheme = training_faces(arguments), kfa.schemes.get(catalogue.get(arguments.dataset).scheme)
    plan = [planned(name, arguments, scheme, faces) for name in arguments.methods]
    console.print(plan_table(plan))
    console.print(ASSUMPTION.format(rate=MEASURED * MEASURED_COST / 1e12), soft_wrap=True)
    for part in plan:
        for command in part.commands:
            console.print(f"  python {shown(shlex.join(command))}", soft_wrap=True)
    if arguments.plan:
        return 0
    call, failed = call or caller(environment), []
    for part in plan:
        if not carry_out(part, call):
            failed.append(part)
            console.print(f"{part.name} failed; what it says is above, and the same command goes on", style="red", soft_wrap=True)
    for part in plan:
        for table in () if part in failed else row_tables(part, arguments.dataset):
            console.print(table)
    return 1 if failed else 0


if __name__ == "__main__":
    from kfacealign.process import leave, run_process

    leave(run_process("", main))
