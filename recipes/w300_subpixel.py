"""Subpixel heatmaps on 300W: Bulat et al., "Subpixel Heatmap Regression for Facial Landmark Localization", Sec. 5.1.

    python recipes/w300_subpixel.py --data-dir 300W                        # the paper's settings, for a GPU
    python recipes/w300_subpixel.py --data-dir 300W --variant heatmap      # without Siamese training
    python recipes/w300_subpixel.py --preset quick                         # minutes on a CPU, no download

300W holds afw, helen, ibug and lfpw as distributed; a folder of your own images with .pts files is --dataset pts.
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
    "input_size": 256,
    "epochs": 50,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 1e-4,
    "drops": (25, 40),
}
QUICK = {
    "dataset": "synthetic68",
    "variant": "heatmap",
    "input_size": 128,
    "epochs": 13,
    "warmup_epochs": 4,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
NETWORK = {"paper": {"stacks": 2}, "quick": {"stacks": 1, "width": 64, "enlarge": 1.08}}
# Rotation, mirror, colour and scale; few epochs cannot overfit, and gentler views let a quick run get further.
VIEWS = {"paper": {"rotation": 30.0}, "quick": {"rotation": 10.0}}
NOT_IN_THE_PAPER = {"translation": 0.0, "blur": 0.0, "occlusion": 0.0}


def recipe():
    settings = kfa.training.parse_settings(__doc__, VARIANTS, PAPER, QUICK, groups=("begin",))
    faces = kfa.training.load_dataset(settings)
    views = kfa.data.RandomView.subpixel(faces.scheme, **NOT_IN_THE_PAPER, **VIEWS[settings.preset])

    def build():
        chosen = {**NETWORK[settings.preset], **VARIANTS[settings.variant]}
        return kfa.models.FAN(faces.scheme, input_size=settings.input_size, **chosen)

    if settings.variant == "siamese":
        kfa.training.run(build, faces, None, settings, wrap=functools.partial(kfa.training.Siamese, views=views))
    else:
        kfa.training.run(build, faces, views, settings)


if __name__ == "__main__":
    kfa.training.main(recipe)
