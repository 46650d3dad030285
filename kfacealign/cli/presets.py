"""`kfacealign presets`: the bundled models, their cards, and how to bundle one."""

import argparse
import re
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kfacealign import data, deploy, presets
from kfacealign.cli.arguments import add_dataset, add_from, add_part, add_scheme, count
from kfacealign.console import make_console, shown
from kfacealign.files import lock
from kfacealign.presets import cards, store

DESCRIPTION = (
    "Without a COMMAND, lists the bundled models: points, size, error, speed, and what they were trained on. kfacealign presets "
    "COMMAND --help explains a command."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(part="list")
    parts = parser.add_subparsers(metavar="COMMAND", dest="part")
    show = add_part(parts, "show", "print the card of a preset", "Prints all that is known of a bundled model, as Markdown.")
    show.add_argument("name", metavar="NAME", help="name of the preset")
    make = add_part(
        parts,
        "make",
        "bundle a trained model",
        "Writes NAME.keras and NAME.tflite in float16, measures them on the test faces of a dataset, and writes the card: "
        "NAME.json and NAME.md. What only the training knows is read from the facts.json that recipes/preset_*.py leave by the "
        "model, errors on rendered faces from the weak_spots.json that benchmarks/weak_spots.py leaves there.",
    )
    make.add_argument("name", metavar="NAME", help="name of the preset: small letters, digits and _")
    make.add_argument("--model", required=True, metavar="MODEL.keras", help="the trained model")
    add_from(make)
    add_dataset(make, default="pts", help="the dataset to measure on (default %(default)s)")
    add_scheme(
        make, "landmark scheme of --dataset pts and csv, to which the model's answers are converted (default: the model's)"
    )
    make.add_argument("--clips", action="store_true", help="for a tracker: measure it on clips, too; --data-dir is YTF68")
    make.add_argument("--card-from", metavar="FILE.json", help="the facts of the training (default: facts.json beside the model)")
    make.add_argument(
        "--only-keras", action="store_true", help="bundle the .keras file alone, from which export makes the others"
    )
    make.add_argument("--people", action="store_true", help="the NME's interval is over people, named before a name's last _")
    make.add_argument("--threads", type=count, default=2, metavar="N", help="CPU threads of the latency (default %(default)s)")
    make.add_argument("--out", metavar="DIR", help="where the files go (default: into the package, which bundles them)")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    if arguments.part == "show":
        console.print(cards.markdown(presets.card(arguments.name)), soft_wrap=True)
        return 0
    return make(console, arguments) if arguments.part == "make" else list_all(console)


def list_all(console: Console) -> int:
    """Prints all presets; returns the exit status.

    Each preset is a block of lines, because a table would be wider than a terminal.
    """
    names = presets.names()
    for name in names:
        table = Table(show_header=False, box=None, padding=(0, 2, 0, 2))
        facts = cards.row(presets.card(name))
        console.print(f"{facts.pop('name')}{' (default)' if name == store.DEFAULT else ''}", style="bold")
        for heading, text in facts.items():
            table.add_row(heading, text)
        console.print(table)
    absent = [name for name in store.RECIPES if name not in names]
    if absent:
        told = ", ".join(f"{name} ({store.RECIPES[name]})" for name in absent)
        console.print(f"not bundled in this copy, but trained by the project's recipes: {told}", soft_wrap=True)
    console.print("kfacealign presets show NAME prints a preset's card; --model NAME uses it", soft_wrap=True)
    return 0


def make(console: Console, arguments: argparse.Namespace) -> int:
    """Bundles a trained model; returns the exit status."""
    from kfacealign.presets import bundling
    from kfacealign.training.rendered_and_real import FACTS

    if not re.fullmatch("[a-z0-9_]+", arguments.name):
        raise ValueError(f"{arguments.name}: the name of a preset is of small letters, digits and _")
    path = Path(arguments.model)
    if path.suffix != ".keras":
        raise ValueError(f"{path}: a preset is made of a model's .keras file")
    facts = bundling.read_facts(arguments.card_from or path.with_name(FACTS))
    model = deploy.load(path)
    arguments.scheme = arguments.scheme or model.scheme
    faces = data.load_dataset(
        arguments.dataset, arguments.data_dir, scheme=arguments.scheme, needed=("test",), missing=arguments.missing
    )
    clips = None
    if arguments.clips:
        if not hasattr(model, "step_parts"):
            raise ValueError(f"{path} is a {type(model).__name__}: --clips is for trackers")
        clips = data.ytf68_clips(arguments.data_dir).test
    out = Path(arguments.out or store.FOLDER)
    formats = store.FORMATS[:1] if arguments.only_keras else store.FORMATS
    written = ", ".join(f".{format}" for format in (*formats, "json"))
    console.print(f"writing {arguments.name}{written} and .md to {shown(out)}", soft_wrap=True)
    weak_spots = bundling.read_weak_spots(path.with_name(bundling.WEAK_SPOTS))
    further = {"threads": arguments.threads, "clips": clips, "weak_spots": weak_spots}
    further |= {"formats": formats, "by_people": arguments.people}
    with lock(out):
        card = bundling.make(arguments.name, model, faces, facts=facts, folder=out, **further)
    console.print(cards.markdown(card), soft_wrap=True)
    sizes = [file.stat().st_size for format in store.FORMATS for file in out.glob(f"*.{format}")]
    console.print(f"all presets in {shown(out)}: {sum(sizes) / 1e6:.1f} MB in {len(sizes)} files", soft_wrap=True)
    return 0
