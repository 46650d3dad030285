"""The flags that all recipes share, and the datasets they name."""

import argparse
import sys
from pathlib import Path

from kfacealign import data, schemes

DATASETS = ("wflw", "pts", "synthetic")
# The embedded data of a quick run: faces rendered once, then read like any other dataset.
SYNTHETIC = {"train": 1800, "test": 300, "seed": 0, "size": 256}


def parse_settings(description, variants, paper, quick, argv=None):
    """Settings of a recipe from its command line.

    Args:
        description: what `--help` begins with.
        variants: names of the model's variants.
        paper, quick: dicts of defaults, one for each `--preset`. Both give `variant`,
            `input_size`, `epochs`, `warmup_epochs`, `batch_size`, `learning_rate`, `drops`.
        argv: arguments; by default those of the process.

    Returns:
        A namespace with these settings and `dataset`, `data_dir`, `scheme`, `seed`, `out`,
        `resume`, `mixed_precision`, `strict`, `cache`, `preset`.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset", choices=DATASETS, default="wflw", help="'synthetic' is rendered here and needs no download")
    add("--data-dir", help="the dataset's directory (synthetic faces are written to it; default data/synthetic)")
    add("--scheme", choices=sorted(schemes.SCHEMES), default="ibug68", help="landmark scheme of --dataset pts")
    add("--preset", choices=("paper", "quick"), default="paper", help="'quick' is for minutes on a CPU")
    add("--variant", choices=sorted(variants))
    add("--input-size", type=int, help="side of the crops in pixels")
    add("--epochs", type=int)
    add("--warmup-epochs", type=int, help="epochs under L1 on the soft-argmax before the method's loss")
    add("--batch-size", type=int)
    add("--learning-rate", type=float)
    add("--drops", type=int, nargs="*", help="epochs at which the learning rate drops tenfold")
    add("--seed", type=int, default=0)
    add("--out", help="directory of the results (default runs/DATASET_VARIANT)")
    add("--resume", action="store_true", help="go on after the last finished epoch in --out")
    add("--mixed-precision", action="store_true", help="float16 arithmetic, for GPUs")
    add("--strict", action="store_true", help="stop at an image that cannot be read instead of skipping it")
    add("--cache", default="memory", help="where crops are kept: 'memory' or a directory")
    settings = parser.parse_args(argv)
    for name, value in (paper if settings.preset == "paper" else quick).items():
        if getattr(settings, name) is None:
            setattr(settings, name, value)
    settings.drops = list(settings.drops)
    if settings.out is None:
        settings.out = str(Path("runs") / f"{settings.dataset}_{settings.variant}")
    return settings


def load_dataset(settings):
    """The `kfacealign.data.Dataset` that `--dataset` and `--data-dir` name.

    Raises:
        FileNotFoundError: it is not there; the message says what is expected and where to get it.
    """
    if settings.dataset == "synthetic":
        root = Path(settings.data_dir or Path("data") / "synthetic")
        data.write_wflw(root, **SYNTHETIC)
        return data.wflw(root)
    if settings.data_dir is None:
        raise FileNotFoundError(
            f"--dataset {settings.dataset} needs --data-dir, the directory that holds it; "
            "--dataset synthetic --preset quick trains on faces rendered here"
        )
    if settings.dataset == "wflw":
        return data.wflw(settings.data_dir)
    return data.pts(settings.data_dir, scheme=settings.scheme)


def main(recipe):
    """Runs a recipe's function; mistakes in input end in one line, not in a traceback."""
    try:
        recipe()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
