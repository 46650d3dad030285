"""Subpixel heatmaps: Bulat et al., "Subpixel Heatmap Regression for Facial Landmark Localization", Sec. 5.1.

    python recipes/subpixel.py --data-dir 300W                             # the paper's settings, for a GPU
    python recipes/subpixel.py --dataset wflw --data-dir WFLW
    python recipes/subpixel.py --data-dir 300W --variant heatmap           # without Siamese training
    python recipes/subpixel.py --scale quick                               # minutes on a CPU, no download
    python recipes/subpixel.py --dataset pts --data-dir FOLDER             # your own images with .pts files

300W holds afw, helen, ibug and lfpw as distributed.
"""

import functools

import kfacealign as kfa

# The rows of Table 2.
VARIANTS = {
    "baseline": {"encoding": "round", "decoder": "shift"},
    "heatmap": {},
    "siamese": {},
}
PAPER = {
    "dataset": "300w",
    "variant": "siamese",
    "begin_with": None,
    "stacks": 2,
    "width": 256,
    "input_size": 256,
    "enlarge": 256 / 220,  # faces of about 220 px
    "epochs": 50,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (25, 40),
}
QUICK = {
    "dataset": "synthetic68",
    "variant": "heatmap",
    "stacks": 1,
    "width": 64,
    "input_size": 128,
    "enlarge": 1.08,
    "epochs": 13,
    "warmup_epochs": 4,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
# Rotation, mirror, colour and scale; few epochs cannot overfit, and gentler views let a quick run get further.
VIEWS = {"paper": {"rotation": 30.0}, "quick": {"rotation": 10.0}}
NOT_IN_THE_PAPER = {"translation": 0.0, "blur": 0.0, "occlusion": 0.0}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, variants=VARIANTS)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    views = kfa.data.RandomView.subpixel(faces.scheme, **NOT_IN_THE_PAPER, **VIEWS[settings.scale])

    def build():
        network = {name: getattr(settings, name) for name in ("stacks", "width", "input_size", "enlarge")}
        return kfa.models.FAN(faces.scheme, **network, **VARIANTS[settings.variant])

    ends = {"load": kfa.load, "export": kfa.deploy.export}
    if settings.variant == "siamese":
        siamese = functools.partial(kfa.training.Siamese, views=views)
        compared = {"siamese_views": views.get_config()}
        kfa.training.run(build, faces, None, settings, wrap=siamese, compared=compared, **ends)
    else:
        kfa.training.run(build, faces, views, settings, **ends)


if __name__ == "__main__":
    kfa.training.main(recipe)
