"""Attentive 1D heatmaps on AFLW: Yin et al., "Attentive One-Dimensional Heatmap Regression", Sec. 5.1.

    python recipes/aflw_heatmap1d.py --data-dir AFLW                  # the paper's settings, for a GPU
    python recipes/aflw_heatmap1d.py --preset quick                   # minutes on a CPU, no download

AFLW holds AFLWinfo_release.mat and data/flickr as distributed; the quick preset trains on rendered faces of 68 points.
The paper says nothing of epochs and random views: those here are ours, as is the warm-up, without which heatmaps start
slowly.
"""

import kfacealign as kfa

GAMMA = 0.5
PAPER = {
    "dataset": "aflw",
    "input_size": 256,
    "epochs": 30,
    "warmup_epochs": 1,
    "batch_size": 10,
    "learning_rate": 1e-4,
    "drops": (),
}
QUICK = {
    **PAPER,
    "dataset": "synthetic68",
    "input_size": 128,
    "epochs": 13,
    "warmup_epochs": 4,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
# The resolution of the heatmaps is three times the crop's side.
NETWORK = {"paper": {"stacks": 4}, "quick": {"stacks": 1, "width": 64}}
# Few epochs cannot overfit, and gentler views let a quick run get further.
VIEWS = {"paper": {}, "quick": {"rotation": 10.0, "occlusion": 0.0, "blur": 0.0, "translation": 8 / 256}}


def recipe():
    settings = kfa.training.parse_settings(__doc__, ("attentive",), PAPER, QUICK, groups=("begin",))
    faces = kfa.training.load_dataset(settings)

    def build():
        return kfa.models.AttentiveHeatmap1D(
            faces.scheme, gamma=GAMMA, input_size=settings.input_size, **NETWORK[settings.preset]
        )

    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS[settings.preset])
    kfa.training.run(build, faces, views, settings)


if __name__ == "__main__":
    kfa.training.main(recipe)
