"""LOTR: Watchareeruetai et al., "LOTR: Face Landmark Localization Using Localization Transformer", Sec. 4.

    python recipes/lotr.py --data-dir JD                                   # the paper's settings, for a GPU
    python recipes/lotr.py --scale quick                                   # minutes on a CPU, no download
    python recipes/lotr.py --dataset wflw --data-dir WFLW --variant m+
    python recipes/lotr.py --data-dir JD --loss wing                       # or another loss of Table 4
    python recipes/lotr.py --dataset pts --data-dir FOLDER --scheme ibug68 # your own images with .pts files

JD is JD-landmark, read as distributed. With the paper's settings faces are turned
upright by five points, and must be at inference: `kfacealign align --five-points`, `kfacealign evaluate --align five_points`.
A quick run cannot begin with ImageNet's weights: it first trains the backbone as that of a PIPNet, which learns in a few
epochs, into OUT/backbone.
"""

import argparse
import dataclasses
from pathlib import Path

import kfacealign as kfa

VARIANTS = ("m", "m+", "r+")
PAPER = {
    "dataset": "jd106",
    "align": "five_points",
    "variant": "m",
    "backbone": None,  # the variant's
    "backbone_weights": "imagenet",
    "begin_with": None,
    "loss": "smooth_wing",
    "dropout": 0.1,
    "query_stddev": 1e-4,
    "gain": 1.0,
    "input_size": 192,
    "epochs": 100,
    "warmup_epochs": 0,
    "batch_size": 32,
    "optimizer": "lamb",
    "learning_rate": 1e-3,
    "drops": (50, 75),
}
# In a short training the queries are told apart from the start and reach the prediction head undiminished: under LAMB and from
# the paper's initialisation that alone takes thousands of steps. Nor does it need dropout, which slows it down, and Adam is
# faster than LAMB.
QUICK = {
    "dataset": "synthetic106",
    "align": "box",
    "backbone_weights": "none",
    "dropout": 0.0,
    "query_stddev": 1.0,
    "gain": 0.1,
    "input_size": 128,
    "epochs": 12,
    "batch_size": 8,
    "optimizer": "adam",
    "drops": (8, 11),
}
BACKBONE = {"epochs": 5, "drops": [4], "batch_size": 16, "backbone_weights": None, "begin_with": None}
# The paper takes its views from Earp et al. (2021); these are the nearest of ours: mirror, shift, rotation, scale, colour, blur.
# Few epochs cannot overfit: gentler views let a quick run get further.
GENTLE = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}
VIEWS = {"paper": {}, "quick": GENTLE}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, variants=VARIANTS)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    # What Table 2 reports: AUC and failure rate at 8 % of the landmarks' box.
    faces = dataclasses.replace(faces, normalizer="box")
    weights = {"backbone_weights": settings.backbone_weights}

    def build():
        return kfa.models.LOTR(
            faces.scheme,
            variant=settings.variant,
            backbone=settings.backbone,
            input_size=settings.input_size,
            loss=kfa.training.LOSSES[settings.loss](),
            dropout=settings.dropout,
            query_stddev=settings.query_stddev,
            gain=settings.gain,
            **weights,
        )

    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS[settings.scale])
    if settings.scale == "quick" and settings.backbone_weights is None and settings.begin_with is None:
        weights["backbone_weights"] = trained_backbone(faces, views, settings)
    optimizer = kfa.training.OPTIMIZERS[settings.optimizer]
    kfa.training.run(build, faces, views, settings, optimizer=optimizer, load=kfa.load, export=kfa.deploy.export)


def trained_backbone(faces, views, settings):
    """Trains PIPNet with the variant's backbone for a few epochs, unless it is there; the path of the model."""
    out = Path(settings.out) / "backbone"
    if not (out / "model.keras").exists():
        backbone = settings.backbone or kfa.models.lotr.VARIANTS[settings.variant][0]
        first = argparse.Namespace(**{**vars(settings), **BACKBONE, "out": str(out), "resume": True})
        # Cells of half the usual side, 8 x 8 of them in a crop of 128 px, and their weight of the offsets.
        size = {"input_size": settings.input_size, "stride": 16, "offset_weight": 0.1}
        neighbors = min(10, faces.scheme.num_points - 1)
        kfa.training.run(
            lambda: kfa.models.PIPNet(faces.scheme, backbone=backbone, neighbors=neighbors, **size), faces, views, first
        )
    return str(out / "model.keras")


if __name__ == "__main__":
    kfa.training.main(recipe)
