"""The flags that recipes share, and the datasets they name."""

import argparse
import sys
from pathlib import Path

import keras

from kfacealign import data, losses, schemes
from kfacealign.data import catalogue
from kfacealign.models.backbones import BACKBONES
from kfacealign.quiet import quiet

# Datasets that are rendered here, and the landmarks they have.
RENDERED = {"synthetic": "wflw98", "synthetic68": "ibug68", "synthetic106": "jd106"}
DATASETS = (*catalogue.LABELLED, *RENDERED)
# What --loss names: losses of coordinates in pixels.
LOSSES = {
    "smooth_wing": losses.SmoothWing,
    "wing": losses.Wing,
    "l1": losses.L1,
    "l2": losses.L2,
    "smooth_l1": losses.SmoothL1,
}
# The embedded data of a quick run: faces rendered once, then read like any other dataset.
SYNTHETIC = {"train": 1800, "test": 300, "seed": 0, "size": 256}
# Other faces than those: what is rendered to be used without labels.
SYNTHETIC_UNLABELLED = {"train": 900, "test": 0, "seed": 1, "size": 256}
ALIGN = ("box", "five_points")
DEFAULTS = {"dataset": "wflw", "scheme": "ibug68", "align": "box"}
PARADIGMS = ("gsl", "uda", "gssl")
METHODS = ("stc", "self-training", "dann")
# Datasets whose training faces are of use without labels, beside those.
UNLABELLED = ("folder", "pts", "synthetic", "wflw", "wflw68", "cofw", "300w", "aflw", "celeba")


def parse_settings(description, variants, paper, quick, argv=None, groups=()):
    """Settings of a recipe from its command line.

    Args:
        description: what `--help` begins with.
        variants: names of the model's variants; of a single one there is no flag.
        paper, quick: dicts of defaults, one for each `--preset`. Both give `input_size`, `epochs`, `warmup_epochs`,
            `batch_size`, `learning_rate`, `drops`, with several variants `variant`, and a value for every flag of
            the groups. Where they do not give them, `dataset` is "wflw", `scheme` "ibug68" and `align` "box"; where
            a directory is named and the dataset is not, it is the paper's.
        argv: arguments; by default those of the process.
        groups: the optional groups of flags, of "backbone", "weights" (those of the backbone, where it is no choice),
            "loss", "begin" (a trained model of the same kind to go on from), "paradigm" and "detector" (the trained model
            that a tracker begins with).

    Returns:
        A namespace with these settings and `dataset`, `data_dir`, `scheme`, `align`, `seed`, `out`,
        `resume`, `mixed_precision`, `strict`, `cache`, `preset`.

    Raises:
        ValueError: flags that exclude each other, or one that is missing.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common(parser.add_argument, variants)
    flags = {
        "backbone": add_backbone,
        "weights": add_weights,
        "loss": add_loss,
        "begin": add_begin,
        "paradigm": add_paradigm,
        "detector": add_detector,
    }
    for group in groups:
        flags[group](parser.add_argument)
    settings = parser.parse_args(argv)
    given = [name for name, value in vars(settings).items() if value is not None]
    fill(settings, variants, {**DEFAULTS, **paper}, {**DEFAULTS, **quick})
    if "begin_with" in given and hasattr(settings, "backbone_weights") and "backbone_weights" not in given:
        settings.backbone_weights = None  # not to be fetched or looked for, as all weights come from elsewhere
    if getattr(settings, "backbone_weights", None) == "none":
        settings.backbone_weights = None
    if "paradigm" in groups:
        check_paradigm(settings, given)
    if settings.out is None:
        names = [settings.dataset, settings.variant, getattr(settings, "backbone", None), getattr(settings, "method", None)]
        settings.out = str(Path("runs") / "_".join(name for name in names if name))
    return settings


def add_common(add, variants):
    """The flags of every recipe; `add` is a parser's `add_argument`."""
    add("--dataset", choices=DATASETS, help="kfacealign datasets explains them; those called synthetic are rendered here")
    add("--data-dir", help="the dataset's directory (synthetic faces are written to it; default data/DATASET)")
    add("--scheme", choices=sorted(schemes.SCHEMES), help="landmark scheme of --dataset pts and csv")
    add("--align", choices=ALIGN, help="crop by the landmarks' box, or turned upright by eyes, nose and mouth")
    add("--preset", choices=("paper", "quick"), default="paper", help="'quick' is for minutes on a CPU")
    if len(variants) > 1:
        add("--variant", choices=sorted(variants))
    add("--input-size", type=int, help="side of the crops in pixels")
    add("--epochs", type=int)
    add("--warmup-epochs", type=int, help="epochs under L1 on the soft-argmax before the method's loss")
    add("--batch-size", type=int)
    add("--learning-rate", type=float)
    add("--drops", type=int, nargs="*", help="epochs at which the learning rate drops tenfold")
    add("--seed", type=int, default=0)
    add("--out", help="directory of the results (default runs/DATASET_VARIANT...)")
    add("--resume", action="store_true", help="go on after the last finished epoch in --out")
    add("--mixed-precision", action="store_true", help="float16 arithmetic, for GPUs")
    add("--strict", action="store_true", help="stop at an image that cannot be read instead of skipping it")
    add("--cache", default="memory", help="where crops are kept: 'memory' or a directory")


def add_backbone(add):
    add("--backbone", choices=BACKBONES)
    add_weights(add)
    add("--stride", type=int, choices=(16, 32, 64, 128), help="pixels of the crop to a cell of the score map")
    add("--neighbors", type=int, help="neighbours that each landmark predicts; 0 for none")


def add_weights(add):
    add("--backbone-weights", metavar="WEIGHTS", help="what the backbone begins with: 'imagenet' (downloaded once), 'none', or MODEL.keras")


def add_loss(add):
    add("--loss", choices=LOSSES, help="penalty of a coordinate's error in pixels")


def add_begin(add):
    add("--begin-with", metavar="MODEL", help="a trained model of the same network to go on from: a .keras file or a preset's name")


def add_detector(add):
    add("--detector", metavar="MODEL", help="the detector to begin with, a trained model (.keras); by default a new one")


def add_paradigm(add):
    add(
        "--paradigm",
        choices=PARADIGMS,
        help="gsl: labelled faces only; uda: also unlabelled ones of the domain that is tested; gssl: also unlabelled ones of any other",
    )
    add("--method", choices=METHODS, help="how unlabelled faces are used")
    add("--unlabelled", help="directory of the unlabelled faces")
    add(
        "--unlabelled-dataset",
        choices=UNLABELLED,
        help="what is in it: any images, faces found by the detector (folder), or a dataset whose labels are ignored",
    )
    add("--tasks", type=int, nargs="+", help="1, 2 or 3 for each round of self-training after the supervised one")


def fill(settings, variants, paper, quick):
    """Puts the preset's defaults where no flag was given."""
    preset = paper if settings.preset == "paper" else quick
    if len(variants) == 1:
        (settings.variant,) = variants
    # Who names a directory has a dataset in it, and does not want faces rendered there.
    named = {"dataset": settings.data_dir, "unlabelled_dataset": getattr(settings, "unlabelled", None)}
    for name, value in preset.items():
        if getattr(settings, name) is None:
            setattr(settings, name, paper[name] if named.get(name) else value)
    settings.drops = list(settings.drops)


def check_paradigm(settings, given):
    """Settles `method`, `tasks` and the unlabelled faces, which `gsl` has none of.

    Args:
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


def load_dataset(settings):
    """The `kfacealign.data.Dataset` that `--dataset` and `--data-dir` name.

    Raises:
        FileNotFoundError: it is not there; the message says what is expected and where to get it.
    """
    if settings.dataset in RENDERED:
        root = Path(settings.data_dir or Path("data") / settings.dataset)
        if settings.dataset == "synthetic":
            return data.wflw(data.write_wflw(root, **SYNTHETIC))
        scheme = RENDERED[settings.dataset]
        return data.pts(data.write_pts(root, scheme=scheme, **SYNTHETIC), scheme=scheme)
    if settings.data_dir is None:
        raise FileNotFoundError(
            f"--dataset {settings.dataset} needs --data-dir, the directory that holds it; "
            "--dataset synthetic --preset quick trains on faces rendered here"
        )
    dataset = catalogue.get(settings.dataset).read(settings.data_dir, scheme=settings.scheme)
    for part, faces, needed in (("training", dataset.train, hasattr(settings, "epochs")), ("test", dataset.test, True)):
        if needed and not len(faces):
            raise ValueError(f"--dataset {settings.dataset}: {settings.data_dir} has no {part} faces ({dataset.summary()})")
    return dataset


def load_unlabelled(settings, scheme):
    """The unlabelled faces that `--unlabelled` and `--unlabelled-dataset` name, of a dataset those for training.

    Args:
        settings: of a paradigm that has them.
        scheme: that of the labelled faces, whatever a dataset's own is.

    Raises:
        FileNotFoundError: they are not there. ValueError: there is no face.
    """
    root = settings.unlabelled
    if settings.unlabelled_dataset == "folder":
        return data.image_folder(root, scheme)
    if settings.unlabelled_dataset == "pts":
        return data.ignore_labels(data.pts(root, scheme=settings.scheme, test_fraction=0).train, scheme)
    if settings.unlabelled_dataset == "celeba":
        return data.celeba(root, scheme)
    if settings.unlabelled_dataset != "synthetic":
        return data.ignore_labels(catalogue.get(settings.unlabelled_dataset).read(root).train, scheme)
    root = data.write_pts(Path(root or Path("data") / "synthetic_unlabelled"), **SYNTHETIC_UNLABELLED)
    return data.ignore_labels(data.pts(root / "train", test_fraction=0).train, scheme)


def main(recipe):
    """Runs a recipe's function; mistakes in input end in one line, not in a traceback."""
    if keras.config.backend() == "tensorflow":
        with quiet():  # its search for a GPU, which else the first layer of a recipe begins
            keras.distribution.list_devices()
    try:
        recipe()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
