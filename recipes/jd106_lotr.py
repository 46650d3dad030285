"""LOTR on JD-landmark: Watchareeruetai et al., "LOTR: Face Landmark Localization Using Localization Transformer", Sec. 4.

    python recipes/jd106_lotr.py --data-dir JD                                   # the paper's settings, for a GPU
    python recipes/jd106_lotr.py --preset quick                                  # minutes on a CPU, no download
    python recipes/jd106_lotr.py --dataset wflw --data-dir WFLW --variant m+
    python recipes/jd106_lotr.py --data-dir JD --loss wing                       # or another loss of Table 4
    python recipes/jd106_lotr.py --dataset pts --data-dir FOLDER --scheme ibug68 # your own images with .pts files

JD-landmark is read as distributed. With the paper's settings faces are turned
upright by five points, and must be at inference: `kfacealign align --five-points`, `kfacealign evaluate --align five_points`.
The quick preset cannot begin with ImageNet's weights: it first trains the backbone as that of a PIPNet, which learns in a few
epochs, into OUT/backbone.
"""

import argparse
import dataclasses
from pathlib import Path

import kfacealign as kfa

import keras  # after kfacealign, which keeps the backend's notices off the console

VARIANTS = ("m", "m+", "r+")
PAPER = {
    "dataset": "jd106",
    "align": "five_points",
    "variant": "m",
    "backbone_weights": "imagenet",
    "loss": "smooth_wing",
    "input_size": 192,
    "epochs": 100,
    "warmup_epochs": 0,
    "batch_size": 32,
    "learning_rate": 1e-3,
    "drops": (50, 75),
}
QUICK = {
    **PAPER,
    "dataset": "synthetic106",
    "align": "box",
    "backbone_weights": "none",
    "input_size": 128,
    "epochs": 12,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "drops": (8, 11),
}
# In a short training the queries are told apart from the start: at 1e-4 that alone takes thousands of steps. Nor does it need
# dropout, which slows it down, and Adam is faster than LAMB.
QUERY_STDDEV = {"paper": 1e-4, "quick": 1.0}
DROPOUT = {"paper": 0.1, "quick": 0.0}
OPTIMIZER = {"paper": keras.optimizers.Lamb, "quick": kfa.training.adam}
BACKBONE = {"epochs": 5, "drops": [4], "batch_size": 16, "backbone_weights": None}
# The paper takes its views from Earp et al. (2021); these are the nearest of ours: mirror, shift, rotation, scale, colour, blur.
# Few epochs cannot overfit: gentler views let a quick run get further.
VIEWS = {"paper": {}, "quick": {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}}


def recipe():
    settings = kfa.training.parse_settings(__doc__, VARIANTS, PAPER, QUICK, groups=("weights", "loss", "begin"))
    # What Table 2 reports: AUC and failure rate at 8 % of the landmarks' box.
    faces = dataclasses.replace(kfa.training.load_dataset(settings), normalizer="box")

    def build():
        return kfa.models.LOTR(
            faces.scheme,
            variant=settings.variant,
            input_size=settings.input_size,
            loss=kfa.training.LOSSES[settings.loss](),
            backbone_weights=settings.backbone_weights,
            dropout=DROPOUT[settings.preset],
            query_stddev=QUERY_STDDEV[settings.preset],
        )

    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS[settings.preset])
    if settings.preset == "quick" and settings.backbone_weights is None:
        settings.backbone_weights = trained_backbone(faces, views, settings)
    kfa.training.run(build, faces, views, settings, optimizer=OPTIMIZER[settings.preset])


def trained_backbone(faces, views, settings):
    """Trains PIPNet with the variant's backbone for a few epochs, unless it is there; the path of the model."""
    out = Path(settings.out) / "backbone"
    if not (out / "model.keras").exists():
        backbone, _ = kfa.models.lotr.VARIANTS[settings.variant]
        first = argparse.Namespace(**{**vars(settings), **BACKBONE, "out": str(out), "resume": True})
        # Cells of half the usual side, 8 x 8 of them in a crop of 128 px, and their weight of the offsets.
        size = {"input_size": settings.input_size, "stride": 16, "offset_weight": 0.1}
        kfa.training.run(lambda: kfa.models.PIPNet(faces.scheme, backbone, **size), faces, views, first)
    return str(out / "model.keras")


if __name__ == "__main__":
    kfa.training.main(recipe)
