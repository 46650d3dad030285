"""From rendered faces to real ones without real labels: supervised, DANN, self-training, self-training with curriculum.

    python benchmarks/domain_gap.py --data-dir YTF68 --every 3        # about half an hour on a CPU

The comparison of PIPNet's Table 7 on data at hand: labelled are rendered faces with 68 landmarks, unlabelled those of
YTF68/train, tested is YTF68/test. All methods share backbone, crops, views, epochs and initial weights; self-training
with and without curriculum share their supervised round. "supervised, as many steps" sees the labelled faces as often
as the others see all faces. Runs are kept in runs/domain_gap and go on where they were stopped.
"""

import argparse
import dataclasses
import functools
import shutil
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.data.catalogue import SYNTHETIC

ENLARGE = 1.3
CURRICULUM = {"self-training": (3, 3, 3, 3, 3), "curriculum": (1, 2, 3, 3, 3)}


def settings_of(arguments, out, seed, epochs=None, tasks=None, method="self-training"):
    """What a recipe's command line would have given."""
    epochs = epochs or arguments.epochs
    return argparse.Namespace(
        variant="",
        input_size=arguments.input_size,
        epochs=epochs,
        warmup_epochs=0,
        batch_size=16,
        learning_rate=1e-3,
        drops=[round(0.75 * epochs), round(0.9 * epochs)],
        seed=seed,
        out=str(out),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
        paradigm="uda",
        method=method,
        tasks=tasks,
    )


def copy_round(source, target):
    """The supervised round of one self-training as that of another."""
    if not target.exists():
        shutil.copytree(source, target.with_suffix(".tmp"), dirs_exist_ok=True)
        target.with_suffix(".tmp").rename(target)


def methods(arguments, faces, unlabelled, seed):
    """Yields (name, test figures), cheapest first."""
    common = {"backbone": "resnet18", "backbone_width": arguments.width, "input_size": arguments.input_size}
    # 8 x 8 cells, as the paper's, and the weight that goes with them.
    common.update(stride=arguments.input_size // 8, offset_weight=0.1, enlarge=ENLARGE)
    build = functools.partial(kfa.models.PIPNet, "ibug68", **common)
    views = kfa.data.RandomView.paper("ibug68", gray=0.2)
    root = Path(arguments.out) / f"seed_{seed}"

    longer = round(arguments.epochs * (len(faces.train) + len(unlabelled)) / len(faces.train))
    _, report = kfa.training.run(build, faces, views, settings_of(arguments, root / "supervised", seed, longer))
    yield "supervised, as many steps", report.rows()["full"]

    adversarial = functools.partial(kfa.models.DomainAdversarialPIPNet, "ibug68", **common)
    settings = settings_of(arguments, root / "dann", seed, method="dann")
    _, report = kfa.training.run_domain_adversarial(adversarial, faces, unlabelled, views, settings)
    yield "DANN", report.rows()["full"]

    for name, tasks in CURRICULUM.items():
        if name == "curriculum":
            copy_round(root / "self-training" / "round_0", root / name / "round_0")
        _, rounds = kfa.training.self_train(
            build, faces, unlabelled, views, settings_of(arguments, root / name, seed, tasks=tasks)
        )
        if name == "self-training":
            yield "supervised", rounds[0]
        for row in rounds[1:]:
            yield f"{name}, round {row['round']}, task {row['task']}", row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="ytf68: train and test folders of images with .pts files")
    parser.add_argument("--width", type=float, default=0.25, help="factor on ResNet-18's channels")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--every", type=int, default=1, help="take every Nth unlabelled face; YTF68 holds clips of three frames")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/domain_gap")
    arguments = parser.parse_args()

    real = kfa.data.pts(arguments.data_dir, scheme="ibug68")
    rendered = kfa.data.pts(kfa.data.write_pts(Path("data") / "synthetic68", scheme="ibug68", **SYNTHETIC), scheme="ibug68")
    faces = dataclasses.replace(rendered, name="synthetic68, tested on real faces", test=real.test, subsets=real.subsets)
    unlabelled = kfa.data.ignore_labels(real.train[:: arguments.every])
    table = Table("method", "seed", "NME", "FR10", "AUC10", "Point-Var")
    for seed in arguments.seeds:
        for name, figures in methods(arguments, faces, unlabelled, seed):
            values = (figures["nme"], figures["fr@10"], figures["auc@10"], figures["point_variance"])
            table.add_row(name, str(seed), *(f"{value:.3f}" for value in values))
    Console().print(table)


if __name__ == "__main__":
    main()
