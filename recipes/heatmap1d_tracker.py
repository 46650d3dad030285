"""The tracker of attentive 1D heatmaps on 300VW: Yin et al., "Attentive One-Dimensional Heatmap Regression", Sec. 5.1.

    python recipes/heatmap1d.py --data-dir 300W                                                # first the detector
    python recipes/heatmap1d_tracker.py --data-dir 300VW --detector runs/300w_attentive/model.keras   # the paper's settings
    python recipes/heatmap1d_tracker.py ... --variant frozen        # the detector as it is
    python recipes/heatmap1d_tracker.py ... --variant memoryless    # lambda = 0 (Table 2)
    python recipes/heatmap1d_tracker.py --scale quick              # minutes on a CPU: rendered clips, a detector that begins anew

300VW is a folder of videos, each with vid.avi and annot/000001.pts and so on; --cache DIR keeps their crops on disk. The
paper's batch is 10; here it is one clip of 10 frames, every second frame of a video. The paper says nothing of the
length of clips, epochs and random views: those here are ours.
"""

from pathlib import Path

import kfacealign as kfa

VARIANTS = {"tracker": {"lam": 0.3}, "memoryless": {"lam": 0.0}, "frozen": {"lam": 0.3, "frozen": True}}
PAPER = {
    "dataset": "300vw",
    "variant": "tracker",
    "detector": None,
    "gamma": 0.4,
    "stacks": 4,
    "width": 256,
    "frames": 10,
    "every": 2,
    "input_size": 256,
    "epochs": 10,
    "warmup_epochs": 0,
    "batch_size": 1,
    "learning_rate": 1e-4,
    "drops": (),
}
QUICK = {
    "dataset": "synthetic_clips",
    "stacks": 1,
    "width": 64,
    "input_size": 128,
    "epochs": 13,
    "warmup_epochs": 4,
    "learning_rate": 1e-3,
    "drops": (10, 12),
}
VIEWS = {"paper": {}, "quick": {"rotation": 10.0, "occlusion": 0.0, "blur": 0.0, "translation": 8 / 256}}
CLIPS = 72
FLAGS = {
    "dataset": {"choices": ("300vw", "synthetic_clips"), "help": "300VW, or clips that are rendered here"},
    "frames": {"type": int, "help": "length of the clips that are trained on"},
    "every": {"type": int, "help": "take every N-th frame of 300VW"},
}


def load_videos(settings):
    """300VW, or clips rendered here, the last sixth of them for testing."""
    if settings.dataset == "300vw":
        if settings.data_dir is None:
            raise FileNotFoundError("300VW needs --data-dir, the folder of its videos; --scale quick renders clips")
        return kfa.data.w300vw(settings.data_dir, every=settings.every)
    clips = kfa.data.frame_folders(
        kfa.data.write_clips(Path(settings.data_dir or "data/synthetic_clips"), clips=CLIPS, frames=settings.frames)
    )
    count = len(clips) * 5 // 6
    return kfa.data.ClipsDataset(
        name="synthetic_clips",
        scheme=clips.scheme,
        train=clips[:count],
        test=clips[count:],
        subsets={},
        enlarge=1.25,
        normalizer="inter_ocular",
    )


def recipe():
    settings = kfa.training.parse_settings(__doc__, PAPER, QUICK, variants=VARIANTS, flags=FLAGS)
    if settings.detector is None and settings.variant == "frozen":
        raise ValueError("--variant frozen needs --detector, a model that was trained by recipes/heatmap1d.py")
    videos = load_videos(settings)
    views = kfa.data.RandomView.subpixel(videos.scheme, **VIEWS[settings.scale])

    def build():
        if settings.detector is not None:
            detector = kfa.load(settings.detector)
        else:
            network = {name: getattr(settings, name) for name in ("gamma", "stacks", "width", "input_size")}
            detector = kfa.models.AttentiveHeatmap1D(videos.scheme, **network)
        return kfa.models.AttentiveHeatmap1DTracker(detector, width=settings.width, **VARIANTS[settings.variant])

    kfa.training.run_clips(build, videos, views, settings, frames=settings.frames, export=kfa.deploy.export_step)


if __name__ == "__main__":
    kfa.training.main(recipe)
