"""Attentive 1D heatmaps on 300W: Yin et al., "Attentive One-Dimensional Heatmap Regression", Sec. 5.1.

    python recipes/w300_heatmap1d.py --data-dir 300W                         # the paper's settings, for a GPU
    python recipes/w300_heatmap1d.py --data-dir 300W --variant separate      # without co-attention (Fig. 3)
    python recipes/w300_heatmap1d.py --data-dir 300W --variant heatmap2d     # 2D heatmaps of half the crop's side (Table 1)
    python recipes/w300_heatmap1d.py --preset quick                          # minutes on a CPU, no download

300W holds afw, helen, ibug and lfpw as distributed; a folder of your own images with .pts files is --dataset pts. The
paper says nothing of epochs and random views: those here are ours, as is the warm-up, without which heatmaps start slowly.
"""

import kfacealign as kfa

VARIANTS = ("attentive", "separate", "heatmap2d")
GAMMA = {"attentive": 0.4, "separate": 0.0}
PAPER = {
    "dataset": "300w",
    "variant": "attentive",
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 3,
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
    settings = kfa.training.parse_settings(__doc__, VARIANTS, PAPER, QUICK, groups=("begin",))
    faces = kfa.training.load_dataset(settings)
    network = {"input_size": settings.input_size, **NETWORK[settings.preset]}

    def build():
        if settings.variant == "heatmap2d":
            return kfa.models.Heatmap2D(faces.scheme, resolution=settings.input_size // 2, **network)
        return kfa.models.AttentiveHeatmap1D(faces.scheme, gamma=GAMMA[settings.variant], **network)

    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS[settings.preset])
    kfa.training.run(build, faces, views, settings)


if __name__ == "__main__":
    kfa.training.main(recipe)
