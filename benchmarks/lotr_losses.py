r"""Losses of coordinate regression on LOTR-M, LOTR against CNN + FFN, flip against no flip (LOTR's Tables 3 and 4).

    python benchmarks/lotr_losses.py --data-dir YTF68 --every 3       # about ten minutes a model on a CPU
    python benchmarks/lotr_losses.py --data-dir YTF68 --only smooth_wing 'CNN + FFN' --seeds 0 1 2
    python benchmarks/lotr_losses.py --data-dir YTF68 --also INFANFACE --only smooth_wing 'CNN + FFN' --normalizer inter_ocular \
        --backbone efficientnet_lite0 --backbone-weights imagenet --optimizer adamw --decay cosine --epochs 30 --batch-size 32

All models are trained alike: the same crops, views, epochs and optimiser; only the loss or, in the last, the network
differs. In place of the paper's ImageNet weights all start from one backbone, that of a PIPNet trained on rendered faces
(into OUT/backbone, first); `--backbone-weights none` begins with random weights, which takes a GPU's number of
steps. Figures are those of the paper: NME, failure rate and AUC at 8 % of the landmarks' box. The queries are told apart
from the start, arrive at the prediction head (`--gain`) and the optimiser is Adam, because a short training has no time for
less; `--gain 1 --optimizer lamb` is the paper's. Runs are kept in runs/lotr and go on where they were stopped.
"""

import argparse
import dataclasses
import functools
from pathlib import Path

from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.data.faces import joined
from kfacealign.evaluation.reports import heading, shown
from kfacealign.models.backbones import BACKBONES
from kfacealign.models.complexity import trainable_parameters
from kfacealign.training.loop import adam, adamw

LOSSES = ("l2", "l1", "smooth_l1", "wing", "smooth_wing")  # in the order of Table 4
BASELINE = "CNN + FFN"
OPTIMIZERS = {"lamb": (keras.optimizers.Lamb, 3e-3), "adam": (adam, 1e-3), "adamw": (adamw, 1e-3)}
COLUMNS = ("nme", "fr@8", "auc@8", "point_variance")
PRETRAINING = {"epochs": 5, "drops": [4], "decay": "steps", "batch_size": 16, "learning_rate": 1e-3}
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def builders(scheme, arguments):
    """Name of a row -> function that makes its model."""
    common = {"input_size": arguments.input_size, "backbone_weights": arguments.backbone_weights, "gain": arguments.gain}
    common["backbone"] = backbone_of(arguments)
    transformer = {"query_stddev": arguments.query_stddev, "dropout": arguments.dropout}
    lotr = functools.partial(kfa.models.LOTR, scheme, variant=arguments.variant, **transformer, **common)
    found = {name: functools.partial(lotr, loss=kfa.training.LOSSES[name]()) for name in LOSSES}
    found[BASELINE] = functools.partial(kfa.models.CNNFFN, scheme, loss=kfa.losses.SmoothWing(), **common)
    return found


def backbone_of(arguments):
    return arguments.backbone or kfa.models.lotr.VARIANTS[arguments.variant][0]


def pretrained_backbone(arguments, scheme):
    """The trained model to take the backbone of: PIPNet with the variant's backbone on rendered faces."""
    backbone = backbone_of(arguments)
    out = Path(arguments.out) / "backbone"
    if not (out / "model.keras").exists():
        faces = kfa.data.pts(
            kfa.data.write_pts(arguments.rendered, scheme=scheme.name, **kfa.data.catalogue.SYNTHETIC), scheme=scheme
        )
        build = functools.partial(
            kfa.models.PIPNet, scheme, backbone=backbone, stride=16, offset_weight=0.1, input_size=arguments.input_size
        )
        settings = settings_of(arguments, "backbone", 0)
        settings = argparse.Namespace(**{**vars(settings), **PRETRAINING, "out": str(out)})
        train(build, faces, settings, adam)
    return str(out / "model.keras")


def settings_of(arguments, name, seed):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        variant=arguments.variant,
        loss="smooth_wing" if name == BASELINE else name,
        backbone_weights=arguments.backbone_weights,
        align=arguments.align,
        input_size=arguments.input_size,
        epochs=arguments.epochs,
        warmup_epochs=0,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=() if arguments.decay == "cosine" else arguments.drops,
        decay=arguments.decay,
        seed=seed,
        out=str(Path(arguments.out) / f"{arguments.optimizer}_{name.replace(' + ', '_').lower()}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def train(build, faces, settings, optimizer):
    """A row's model, trained or read, and its report."""
    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS)
    return kfa.training.run(build, faces, views, settings, optimizer=optimizer)


def flipped(model, faces, arguments):
    """The report of a model whose answers on each crop and its mirror image are averaged."""
    crops = kfa.data.Crops(faces.test, model.input_size, enlarge=model.enlarge, cache=None, align=arguments.align)
    return kfa.evaluation.evaluate(model, crops, normalizer=faces.normalizer, flip=True)


def row(name, seed, model, report):
    figures = report.rows()["full"]
    return (name, str(seed), f"{trainable_parameters(model) / 1e6:.2f}", *(shown(column, figures[column]) for column in COLUMNS))


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="a folder of images with .pts files")
    parser.add_argument("--scheme", default="ibug68")
    parser.add_argument("--only", nargs="+", choices=(*LOSSES, BASELINE), help="some of the rows")
    parser.add_argument("--variant", choices=("m", "m+", "r+"), default="m")
    parser.add_argument("--backbone", choices=BACKBONES, help="in place of the variant's")
    parser.add_argument(
        "--backbone-weights", help="imagenet, none, or MODEL.keras; by default a PIPNet's trained on rendered faces"
    )
    parser.add_argument("--rendered", default="data/synthetic68", help="where the rendered faces are written")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--align", choices=("box", "five_points"), default="box")
    parser.add_argument("--normalizer", default="box", help="what errors are divided by (default %(default)s)")
    parser.add_argument("--every", type=int, default=1, help="take every Nth training face; YTF68 holds clips of three frames")
    parser.add_argument("--also", nargs="*", default=[], help="further folders of images with .pts files to train on")
    parser.add_argument("--gain", type=float, default=0.1, help="see kfacealign.models.LOTR (default %(default)s)")
    parser.add_argument("--query-stddev", type=float, default=1.0, help="see kfacealign.models.LOTR (default %(default)s)")
    parser.add_argument("--dropout", type=float, default=0.0, help="of LOTR's transformer (default %(default)s)")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--drops", type=int, nargs="*", default=[9, 11])
    parser.add_argument("--decay", choices=("steps", "cosine"), default="steps", help="see the recipes' --decay")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--optimizer", choices=OPTIMIZERS, default="adam")
    parser.add_argument("--learning-rate", type=float, help="default 3e-3 of LAMB, 1e-3 of Adam")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/lotr")
    return parser.parse_args()


def main():
    arguments = parse()
    optimizer, rate = OPTIMIZERS[arguments.optimizer]
    arguments.learning_rate = arguments.learning_rate or rate
    faces = kfa.data.pts(arguments.data_dir, scheme=arguments.scheme)
    if arguments.backbone_weights is None:
        arguments.backbone_weights = pretrained_backbone(arguments, faces.scheme)
    elif arguments.backbone_weights == "none":
        arguments.backbone_weights = None
    further = [kfa.data.pts(folder, scheme=arguments.scheme, test_fraction=0).train for folder in arguments.also]
    train_faces = joined([faces.train[:: arguments.every], *further])
    faces = dataclasses.replace(faces, train=train_faces, normalizer=arguments.normalizer)
    title = f"{faces.name}, {arguments.normalizer.replace('_', '-')} errors in percent, {arguments.optimizer}"
    table = Table("loss or network", "seed", "parameters (M)", *map(heading, COLUMNS), title=title)
    last = []
    for name, build in builders(faces.scheme, arguments).items():
        for seed in arguments.seeds if name in (arguments.only or [name]) else []:
            model, report = train(build, faces, settings_of(arguments, name, seed), optimizer)
            table.add_row(*row(name, seed, model, report))
            if name == "smooth_wing":
                last.append(row(f"{name}, flip", seed, model, flipped(model, faces, arguments)))
    for cells in last:
        table.add_row(*cells)
    Console().print(table)


if __name__ == "__main__":
    main()
