"""HIH on WFLW: Lan et al., "HIH: Towards More Accurate Face Alignment via Heatmap in Heatmap", Sec. IV-A.3.

python recipes/wflw_hih.py --data-dir WFLW                       # the paper's settings, for a GPU
python recipes/wflw_hih.py --dataset synthetic --scale quick     # minutes on a CPU, no download
python recipes/wflw_hih.py --dataset pts --data-dir FOLDER       # your own images with .pts files
"""

import kfacealign as kfa

CHEAP = {
    "stacks": 1,
    "width": 64,
    "decimal_size": 4,
    "decimal_width": 64,
    "decimal_head": "attended",
    "alpha": 0.5,
    "enlarge": 1.08,
}
VARIANTS = {
    "tiny": {"stacks": 1},
    "small": {"stacks": 2},
    "base": {"stacks": 4},
    # For CPUs: a quarter of the width, tighter crops, coarser decimal heatmaps, and a decimal head that is not the paper's: it
    # reads each landmark's own place (docs/methods/hih.md says why).
    "narrow": CHEAP,
    # The same on EfficientNet-Lite0, which has seen ImageNet: what few epochs get furthest with. Its first blocks are as they
    # are, which saves a fifth of a step.
    "lite": {**CHEAP, "backbone": "efficientnet_lite0", "frozen_blocks": 3},
}
PAPER = {
    "dataset": "wflw",
    "variant": "base",
    "backbone_weights": "none",
    "begin_with": None,
    "sigma": 1.5,
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 5e-6,
    "drops": (30, 50),
    "decay": "steps",
}
DATASETS = {"300w": {"sigma": 1.0}}
QUICK = {
    "variant": "lite",
    "backbone_weights": "imagenet",
    "sigma": 1.5,
    "input_size": 128,
    "epochs": 12,
    "warmup_epochs": 1,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "drops": (),
    "decay": "cosine",
}
# Few epochs cannot overfit: gentler views let a quick run get further.
GENTLE = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}
VIEWS = {"paper": {}, "quick": GENTLE}
FLAGS = {"sigma": {"help": "standard deviation of the integer heatmaps' Gaussians, in cells"}}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, variants=VARIANTS, datasets=DATASETS, flags=FLAGS)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)

    def build():
        network = {**VARIANTS[settings.variant], "sigma": settings.sigma}
        weights = settings.backbone_weights if "backbone" in network else None  # the paper's hourglass begins with random ones
        if weights is None and not settings.begin_with:
            network.pop("frozen_blocks", None)  # random weights have to be trained
        return kfa.models.HIH(faces.scheme, input_size=settings.input_size, backbone_weights=weights, **network)

    views = kfa.data.RandomView(scheme=faces.scheme, **VIEWS[settings.scale])
    kfa.training.run(build, faces, views, settings, load=kfa.load, export=kfa.deploy.export)


if __name__ == "__main__":
    kfa.training.main(recipe)
