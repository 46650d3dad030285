"""The settings of a recipe, from its command line: every key of the paper's settings is a flag."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from kfacealign import losses, scheme_files
from kfacealign.data import catalogue
from kfacealign.data.batches import PLACES
from kfacealign.data.readers import missing
from kfacealign.data.rendered.sampling import RANGES
from kfacealign.models.backbones import BACKBONES
from kfacealign.training.devices import count_or_all
from kfacealign.training.loop import OPTIMIZERS, PRECISIONS

# What --loss names: losses of coordinates in pixels.
LOSSES = {
    "smooth_wing": losses.SmoothWing,
    "wing": losses.Wing,
    "l1": losses.L1,
    "l2": losses.L2,
    "smooth_l1": losses.SmoothL1,
}
ALIGN = ("box", "five_points")
PARADIGMS = ("gsl", "uda", "gssl")
METHODS = ("stc", "self-training", "dann")
SCALES = ("paper", "quick")
DEFAULTS = {"dataset": "wflw", "scheme": "ibug68", "align": "box", "warmup_epochs": 0, "drops": ()}
# What `--help` says of a key that recipes share, and what its flag accepts; of other keys it is told by the value.
FLAGS = {
    "dataset": {
        "choices": catalogue.DATASETS,
        "help": "kfacealign datasets explains them; those called synthetic are rendered here",
    },
    "scheme": {
        "type": scheme_files.argument,
        "metavar": "NAME|FILE",
        "help": f"landmark scheme of --dataset pts and csv: {scheme_files.HELP}",
    },
    "ranges": {
        "choices": RANGES,
        "help": "what rendered faces are drawn from; full adds profiles, any roll, infants, bad pictures; mixed is half of each",
    },
    "align": {"choices": ALIGN, "help": "crop by the landmarks' box, or turned upright by eyes, nose and mouth"},
    "input_size": {"type": int, "help": "side of the crops in pixels"},
    "enlarge": {"type": float, "help": "side of the crops over the longer side of the landmarks' box"},
    "warmup_epochs": {"type": int, "help": "epochs under L1 on the soft-argmax before the method's loss"},
    "drops": {"type": int, "nargs": "*", "help": "epochs at which the learning rate drops tenfold"},
    "optimizer": {"choices": tuple(OPTIMIZERS)},
    "decay": {"choices": ("steps", "cosine"), "help": "how the learning rate falls: at the epochs of --drops, or as a cosine"},
    "also": {"metavar": "DIR", "nargs": "*", "help": "further folders of images with .pts files to train on"},
    "also_times": {"type": int, "help": "how often the faces of --also come in an epoch"},
    "backbone": {"choices": BACKBONES},
    "backbone_weights": {
        "metavar": "WEIGHTS",
        "help": "what the backbone begins with: 'imagenet' (downloaded once), 'none', or MODEL.keras",
    },
    "stride": {"type": int, "choices": (16, 32, 64, 128), "help": "pixels of the crop to a cell of the score map"},
    "neighbors": {"type": int, "help": "neighbours that each landmark predicts; 0 for none"},
    "loss": {"choices": tuple(LOSSES), "help": "penalty of a coordinate's error in pixels"},
    "begin_with": {
        "metavar": "MODEL",
        "help": "a trained model of the same network to go on from: a .keras file or a preset's name",
    },
    "keep": {
        "type": float,
        "metavar": "SHARE",
        "help": "share of the weights of --begin-with in the final ones, which are averaged with them, 0 to 1",
    },
    "keep_of": {
        "metavar": "MODEL",
        "help": "the model whose weights --keep averages with the final ones, in place of that of --begin-with",
    },
    "detector": {"metavar": "MODEL", "help": "the detector to begin with, a trained model (.keras); by default a new one"},
    "paradigm": {
        "choices": PARADIGMS,
        "help": "gsl: labelled faces only; uda: also unlabelled ones of the domain that is tested; gssl: also unlabelled ones of "
        "any other",
    },
    "method": {"choices": METHODS, "help": "how unlabelled faces are used"},
    "unlabelled": {"metavar": "DIR", "help": "directory of the unlabelled faces"},
    "unlabelled_dataset": {
        "choices": catalogue.UNLABELLED,
        "help": "what is in it: any images, faces found by the detector (folder), or a dataset whose labels are ignored",
    },
    "tasks": {"type": int, "nargs": "+", "help": "1, 2 or 3 for each round of self-training after the supervised one"},
}


def parse_settings(
    description: str | None,
    paper: Mapping[str, Any],
    quick: Mapping[str, Any],
    *,
    variants: Iterable[str] = (),
    datasets: Mapping[str, Mapping[str, Any]] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
    argv: Sequence[str] | None = None,
) -> argparse.Namespace:
    """Settings of a recipe from its command line.

    Every key of `paper` is a setting and a flag: `"stacks": 4` gives `--stacks`, which takes a whole number. A method's own
    hyperparameters are keys like any other.

    Args:
        description: what `--help` begins with.
        paper: the paper's settings: `input_size`, `epochs`, `batch_size`, `learning_rate`, and whatever the recipe reads
            besides. Where they are not given, `dataset` is "wflw", `scheme` "ibug68", `align` "box", `warmup_epochs` 0 and
            `drops` empty. With a key `paradigm` the flags of unlabelled faces come along, see `check_paradigm`.
        quick: what `--scale quick` has instead. Where a directory is named and the dataset is not, the dataset is the paper's.
        variants: what `--variant` accepts; `variant` is then a key of `paper`.
        datasets: for each dataset, what the paper says of it alone. A value of `quick` takes precedence over it.
        flags: for keys of the recipe's own, arguments of `add_argument` such as `help` or `choices`.
        argv: arguments; by default those of the process.

    Returns:
        A namespace with these settings and `data_dir`, `missing`, `seed`, `out`, `resume`, `strict`, `cache`, `scale`, `views`,
        `precision`, `devices`, `steps_per_call`.

    Raises:
        ValueError: flags of unlabelled faces exclude each other, or one is missing.
        SystemExit: a flag is unknown or has a value that it does not take; a message on stderr names it.
    """
    paper = {**DEFAULTS, **paper}
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    own = {**FLAGS, **(flags or {})}
    if variants:
        own["variant"] = {"choices": sorted(variants)}
    for name, value in paper.items():
        add_flag(parser, name, value, own.get(name, {}))
    if "paradigm" in paper:
        add_flag(parser, "unlabelled", None, own["unlabelled"])
    add_common(parser)
    add_arithmetic(parser)
    settings = parser.parse_args(argv)
    given = [name for name, value in vars(settings).items() if value is not None]
    fill(settings, paper, quick, datasets or {})
    if "begin_with" in given and "backbone_weights" in paper and "backbone_weights" not in given:
        settings.backbone_weights = None  # not to be fetched or looked for, as all weights come from elsewhere
    if "drops" in given and "decay" in paper and "decay" not in given:
        settings.decay = "steps" if settings.drops else settings.decay
    kept = getattr(settings, "keep", 0)
    if not 0 <= kept <= 1 or (kept and settings.begin_with is None):
        parser.error(f"--keep is a share, from 0 to 1, of the weights of --begin-with, not {kept:g}")
    if getattr(settings, "keep_of", None) is not None and not kept:
        parser.error("--keep-of names the model of which --keep, a share from 0 to 1, is kept: give both")
    if getattr(settings, "backbone_weights", None) == "none":
        settings.backbone_weights = None
    if "paradigm" in paper:
        check_paradigm(settings, given)
    if settings.out is None:
        named = (getattr(settings, name, None) for name in ("dataset", "variant", "backbone", "method"))
        settings.out = str(Path("runs") / "_".join(name for name in named if name))
    return settings


def add_flag(parser: argparse.ArgumentParser, name: str, value: Any, options: Mapping[str, Any]) -> None:
    """The flag of a setting; without `type`, `choices` or `action` it takes what `value` is."""
    options = dict(options)
    if not {"type", "choices", "action", "nargs"} & set(options):
        if isinstance(value, bool):
            options["action"] = argparse.BooleanOptionalAction
        elif isinstance(value, tuple | list):
            options |= {"nargs": "*", "type": type(value[0]) if value else str}
        elif isinstance(value, int | float):
            options["type"] = type(value)
    parser.add_argument(f"--{name.replace('_', '-')}", **options)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The flags that are no settings of the method."""
    add = parser.add_argument
    add("--data-dir", help="the dataset's directory (synthetic faces are written to it; default data/DATASET)")
    add("--missing", type=missing.mark, action="append", default=[], metavar="MARK", help=missing.HELP)
    add("--scale", choices=SCALES, default="paper", help="'quick' is for minutes on a CPU")
    add("--seed", type=int, default=0, help="seed of weights, order of the faces and random views (default 0)")
    add("--out", help="directory of the results (default runs/DATASET_VARIANT...)")
    add("--resume", action="store_true", help="go on after the last finished epoch in --out")
    add("--strict", action="store_true", help="stop at an image that cannot be read instead of skipping it")
    add("--views", choices=PLACES, default="device", help="where random views are made: in the compiled step, or before it")
    add("--cache", default="memory", help="where crops are kept: 'memory', 'device' (on JAX, the accelerator's), or a directory")


def add_arithmetic(parser: argparse.ArgumentParser) -> None:
    """The flags of where and how a training computes."""
    add = parser.add_argument
    add(
        "--precision",
        choices=tuple(PRECISIONS),
        default="float32",
        help="type of the layers' arithmetic; losses are float32 in any case",
    )
    add("--mixed-precision", dest="precision", action="store_const", const="float16", help="the same as --precision float16")
    add("--devices", type=count_or_all, metavar="N|all", help="devices that share each batch, with Keras on JAX")
    add(
        "--steps-per-call",
        type=int,
        default=1,
        metavar="N",
        help="training steps that Keras makes before it looks at losses and callbacks",
    )


def fill(
    settings: argparse.Namespace,
    paper: Mapping[str, Any],
    quick: Mapping[str, Any],
    datasets: Mapping[str, Mapping[str, Any]],
) -> None:
    """Puts the values of the scale, and of the dataset, where no flag was given."""
    quick = quick if settings.scale == "quick" else {}
    # Who names a directory has a dataset in it, and does not want faces rendered there.
    named = {"dataset": settings.data_dir, "unlabelled_dataset": getattr(settings, "unlabelled", None)}
    chosen = {name: value for name, value in quick.items() if not named.get(name)}
    dataset = settings.dataset or {**paper, **chosen}["dataset"]
    for name, value in {**paper, **datasets.get(dataset, {}), **chosen}.items():
        if getattr(settings, name, None) is None:
            setattr(settings, name, value)
    settings.drops = list(settings.drops)


def check_paradigm(settings: argparse.Namespace, given: Sequence[str]) -> None:
    """Settles `method`, `tasks` and the unlabelled faces, which `gsl` has none of.

    Args:
        settings: of the recipe; `tasks` is a dict by method unless the command line gave a list.
        given: names of the settings that the command line gave.

    Raises:
        ValueError: a flag that the paradigm or the method does not read, or no unlabelled faces where they are needed.
    """
    flags = [name for name in ("method", "unlabelled", "unlabelled_dataset", "tasks") if name in given]
    named = ", ".join(f"--{name.replace('_', '-')}" for name in flags)
    if settings.paradigm == "gsl":
        if flags:
            raise ValueError(f"--paradigm gsl uses no unlabelled faces: leave out {named}, or choose --paradigm uda or gssl")
        settings.method = settings.tasks = settings.unlabelled = settings.unlabelled_dataset = None
        return
    if settings.align != "box":
        raise ValueError(
            f"--align {settings.align} needs the five points of every face, which unlabelled ones do not have: "
            "choose --align box or --paradigm gsl"
        )
    if settings.unlabelled is None and settings.unlabelled_dataset != "synthetic":
        raise ValueError(
            f"--paradigm {settings.paradigm} needs --unlabelled, the directory of the unlabelled faces; --paradigm gsl needs none"
        )
    if settings.method == "dann":
        if "tasks" in flags:
            raise ValueError("--method dann has no rounds: leave out --tasks")
        settings.tasks = None
    elif "tasks" not in flags:
        settings.tasks = list(settings.tasks[settings.method])
    elif not set(settings.tasks) <= {1, 2, 3}:
        raise ValueError(f"--tasks are 1, 2 or 3, got {' '.join(map(str, settings.tasks))}")
