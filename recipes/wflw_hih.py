"""HIH on WFLW: Lan et al., "HIH: Towards More Accurate Face Alignment via Heatmap in Heatmap", Sec. IV-A.3.

    python recipes/wflw_hih.py --data-dir WFLW                       # the paper's settings, for a GPU
    python recipes/wflw_hih.py --dataset synthetic --preset quick    # minutes on a CPU, no download
    python recipes/wflw_hih.py --dataset pts --data-dir FOLDER       # your own images with .pts files
"""

import functools

import kfacealign as kfa

VARIANTS = {
    "tiny": {"stacks": 1},
    "small": {"stacks": 2},
    "base": {"stacks": 4},
    # For CPUs: a quarter of the width, tighter crops, and coarser decimal heatmaps that weigh more: what few epochs can learn.
    "narrow": {"stacks": 1, "width": 64, "decimal_size": 4, "decimal_width": 96, "alpha": 1.0, "enlarge": 1.08},
}
PAPER = {
    "variant": "base",
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 0,
    "batch_size": 16,
    "learning_rate": 5e-6,
    "drops": (30, 50),
}
QUICK = {
    "variant": "narrow",
    "input_size": 128,
    "epochs": 13,
    "warmup_epochs": 4,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
# Few epochs cannot overfit: gentler views let a quick run get further.
GENTLE = functools.partial(kfa.data.RandomView, translation=8 / 256, rotation=10.0, occlusion_probability=0.1, blur_probability=0.0)
VIEWS = {"paper": kfa.data.RandomView, "quick": GENTLE}


def recipe():
    settings = kfa.training.parse_settings(__doc__, VARIANTS, PAPER, QUICK, groups=("begin",))
    faces = kfa.training.load_dataset(settings)

    def build():
        return kfa.models.HIH(faces.scheme, input_size=settings.input_size, **VARIANTS[settings.variant])

    kfa.training.run(build, faces, VIEWS[settings.preset](scheme=faces.scheme.name), settings)


if __name__ == "__main__":
    kfa.training.main(recipe)
