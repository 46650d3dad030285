"""The preset tracker_1d_ibug68: attentive 1D heatmaps, first the detector on stills, then the tracker on clips.

    python recipes/preset_tracker.py --data-dir YTF68 --out runs/preset_tracker   # 128 px, on a CPU
    python recipes/preset_tracker.py --data-dir YTF68 --input-size 256 --epochs 60 --drops 40 54 --out runs/gpu
    python recipes/preset_tracker.py --data-dir YTF68 --detector MODEL.keras --out runs/preset_tracker   # only the tracker
    python recipes/preset_tracker.py --scale quick --data-dir YTF68 --out runs/preset_tracker_quick   # to try it

    python benchmarks/weak_spots.py runs/preset_tracker/model.keras
    kfacealign presets make tracker_1d_ibug68 --model runs/preset_tracker/model.keras --data-dir YTF68 --clips

YTF68 holds clips of three frames, PERSON_CF with the frame F last; rendered clips are cut to as many. The detector is kept
in OUT/detector. With --detector the flags of epochs, drops and rate are those of the tracker's training.
"""

import argparse
from pathlib import Path

import kfacealign as kfa

PAPER = {
    "dataset": "pts",
    "ranges": "usual",
    "detector": None,
    "gamma": 0.4,
    "stacks": 1,
    "width": 64,
    "lam": 0.3,
    "input_size": 128,
    "epochs": 24,
    "warmup_epochs": 5,
    "batch_size": 8,
    "learning_rate": 1e-3,
    "drops": (17, 22),
}
QUICK = {"epochs": 2, "warmup_epochs": 1, "drops": ()}
NETWORK = ("gamma", "stacks", "width", "input_size")
FRAMES = 3
CLIPS = {"clips": 72, "frames": 12}
# The second stage, which trains the detector further; a batch is of clips.
TRACKING = {
    "paper": {"epochs": 8, "drops": [6], "warmup_epochs": 0, "batch_size": 4, "learning_rate": 3e-4},
    "quick": {"epochs": 2, "drops": [], "warmup_epochs": 0, "batch_size": 4, "learning_rate": 3e-4},
}
SECOND = ({**PAPER, **TRACKING["paper"]}, {**QUICK, **TRACKING["quick"]})
VIEWS = {"translation": 16 / 256, "rotation": 18.0, "scale": (0.88, 1.14), "color": (0.7, 1.3), "brightness": 0.1, "gray": 0.05}


def train_detector(settings, views):
    """The path of the trained detector, and the sources it was trained on."""
    faces, _, sources = kfa.training.rendered_and_real.rendered_and_real(settings)
    out = Path(settings.out) / "detector"
    finished = out / "model.keras"
    if not (settings.resume and finished.exists()):

        def build():
            return kfa.models.AttentiveHeatmap1D(faces.scheme, **{name: getattr(settings, name) for name in NETWORK})

        first = argparse.Namespace(**{**vars(settings), "out": str(out)})
        kfa.training.run(build, faces, views, first, export=kfa.deploy.export)
    return finished, sources


def recipe():
    settings = parsed(PAPER, QUICK)
    if settings.data_dir is None or settings.dataset != "pts":
        raise FileNotFoundError("the tracker's clips are those of a folder: give --data-dir, with train and test")
    videos = kfa.data.ytf68_clips(settings.data_dir)
    views = kfa.data.RandomView.paper(videos.scheme, **VIEWS, occlusion_probability=0.2)
    if settings.detector is None:
        detector, sources = train_detector(settings, views)
        second = argparse.Namespace(**{**vars(settings), **TRACKING[settings.scale]})
        before = f"{settings.epochs} of the detector on stills"
    else:
        second = parsed(*SECOND)
        detector, sources, before = settings.detector, [], f"a detector that was trained before ({settings.detector})"
    root = kfa.data.catalogue.rendered_root("synthetic_clips68", settings.ranges)
    videos, more = kfa.training.rendered_and_real.rendered_and_real_clips(videos, root, **CLIPS, ranges=settings.ranges)

    def build():
        trained = kfa.load(detector)
        return kfa.models.AttentiveHeatmap1DTracker(trained, lam=settings.lam, width=settings.width)

    kfa.training.run_clips(build, videos, views, second, frames=FRAMES, export=kfa.deploy.export_step)
    stages = f"{before}, {second.epochs} of the tracker on clips of {FRAMES} frames"
    kfa.training.rendered_and_real.write_facts(settings, clips_and_stills(sources, more), views, epochs=stages)


def parsed(paper, quick):
    return kfa.training.parse_settings(__doc__, paper, quick)


def clips_and_stills(stills, clips):
    """The sources of both stages, told apart."""
    return [{**its, "name": f"{its['name']}, {what}"} for what, part in (("stills", stills), ("clips", clips)) for its in part]


if __name__ == "__main__":
    kfa.training.main(recipe)
