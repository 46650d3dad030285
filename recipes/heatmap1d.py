"""Attentive 1D heatmaps: Yin et al., "Attentive One-Dimensional Heatmap Regression", Sec. 5.1.

    python recipes/heatmap1d.py --data-dir 300W                         # the paper's settings, for a GPU
    python recipes/heatmap1d.py --dataset aflw --data-dir AFLW
    python recipes/heatmap1d.py --data-dir 300W --variant separate      # without co-attention (Fig. 3)
    python recipes/heatmap1d.py --data-dir 300W --variant heatmap2d     # 2D heatmaps of half the crop's side (Table 1)
    python recipes/heatmap1d.py --scale quick                           # minutes on a CPU, no download
    python recipes/heatmap1d.py --dataset pts --data-dir FOLDER         # your own images with .pts files

300W holds afw, helen, ibug and lfpw as distributed, AFLW holds AFLWinfo_release.mat and data/flickr. The paper says nothing
of epochs and random views: those here are ours, as is the warm-up, without which heatmaps start slowly.
"""

import kfacealign as kfa

VARIANTS = ("attentive", "separate", "heatmap2d")
# The resolution of the heatmaps is three times the crop's side.
PAPER = {
    "dataset": "300w",
    "variant": "attentive",
    "begin_with": None,
    "gamma": 0.4,
    "stacks": 4,
    "width": 256,
    "input_size": 256,
    "epochs": 60,
    "warmup_epochs": 3,
    "batch_size": 10,
    "learning_rate": 1e-4,
    "drops": (),
}
DATASETS = {"aflw": {"gamma": 0.5, "epochs": 30, "warmup_epochs": 1}}
QUICK = {
    "dataset": "synthetic68",
    "stacks": 1,
    "width": 64,
    "input_size": 128,
    "epochs": 13,
    "warmup_epochs": 4,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
# Few epochs cannot overfit, and gentler views let a quick run get further.
VIEWS = {"paper": {}, "quick": {"rotation": 10.0, "occlusion": 0.0, "blur": 0.0, "translation": 8 / 256}}


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, variants=VARIANTS, datasets=DATASETS)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme, missing=settings.missing)
    network = {name: getattr(settings, name) for name in ("stacks", "width", "input_size")}

    def build():
        if settings.variant == "heatmap2d":
            return kfa.models.Heatmap2D(faces.scheme, resolution=settings.input_size // 2, **network)
        gamma = settings.gamma if settings.variant == "attentive" else 0.0
        return kfa.models.AttentiveHeatmap1D(faces.scheme, gamma=gamma, **network)

    views = kfa.data.RandomView.subpixel(faces.scheme, **VIEWS[settings.scale])
    kfa.training.run(build, faces, views, settings, load=kfa.load, export=kfa.deploy.export)


if __name__ == "__main__":
    kfa.training.main(recipe)
