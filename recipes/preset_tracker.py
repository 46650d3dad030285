"""The preset tracker_1d_ibug68: attentive 1D heatmaps, first the detector on stills, then the tracker on clips.

    python recipes/preset_tracker.py --data-dir YTF68 --also INFANFACE LFPW --out runs/preset_tracker   # 128 px, on a CPU
    python recipes/preset_tracker.py --data-dir YTF68 --also INFANFACE LFPW --input-size 256 --width 256 --epochs 60 \\
        --frozen-blocks 0 --backbone-weights imagenet --out runs/gpu
    python recipes/preset_tracker.py --data-dir YTF68 --detector MODEL.keras --out runs/preset_tracker   # only the tracker
    python recipes/preset_tracker.py --scale quick --data-dir YTF68 --out runs/preset_tracker_quick   # to try it

    python benchmarks/weak_spots.py runs/preset_tracker/model.keras
    kfacealign presets make tracker_1d_ibug68 --model runs/preset_tracker/model.keras --data-dir YTF68 --clips

YTF68 holds clips of three frames, PERSON_CF with the frame F last; rendered clips are cut to as many. Folders of --also hold
stills, images with .pts files. The detector is kept in OUT/detector: one hourglass whose descending half begins with the
backbone of the default preset. With --detector the flags of epochs and rate are those of the tracker's training.
"""

import argparse
from pathlib import Path

import kfacealign as kfa

# The heatmaps are read over the whole peak: a window of 73 bins is six positions of the features wide.
PAPER = {
    "dataset": "pts",
    "ranges": "usual",
    "drawn": 1800,
    "also": (),
    "also_times": 2,
    "person": None,
    "as_drawn": (),
    "validation": 0.0,
    "detector": None,
    "backbone": "efficientnet_lite0",
    "backbone_weights": "pipnet_lite0_ibug68",
    "frozen_blocks": 3,
    "gamma": 0.4,
    "width": 64,
    "lam": 0.3,
    "input_size": 128,
    "enlarge": 1.2,
    "decoder": "local",
    "window": 73,
    "epochs": 10,
    "warmup_epochs": 1,
    "batch_size": 16,
    "learning_rate": 1e-3,
    "drops": (),
    "decay": "cosine",
}
QUICK = {"epochs": 2}
NETWORK = ("backbone", "frozen_blocks", "gamma", "width", "input_size", "enlarge", "decoder", "window")
FRAMES = 3
CLIPS = {"clips": 72, "frames": 12}
# The second stage, which trains the detector further; a batch is of clips.
TRACKING = {
    "paper": {"epochs": 4, "warmup_epochs": 0, "batch_size": 6, "learning_rate": 3e-4},
    "quick": {"epochs": 2, "warmup_epochs": 0, "batch_size": 6, "learning_rate": 3e-4},
}
SECOND = ({**PAPER, **TRACKING["paper"]}, {**QUICK, **TRACKING["quick"]})
# A tracker holds its crop until the face has moved by a tenth of it, and crops of a detector's box are never exact.
VIEWS = {
    "translation": 0.07,
    "translation_probability": 1.0,
    "scale": (0.84, 1.19),
    "scale_probability": 1.0,
    "rotation": 30.0,
    "color": (0.7, 1.3),
    "brightness": 0.15,
    "gray": 0.1,
    "occlusion_probability": 0.2,
}


def train_detector(settings, views):
    """The path of the trained detector, and the sources it was trained on."""
    faces, validation, sources = kfa.training.rendered_and_real.rendered_and_real(settings)
    weights = settings.backbone_weights
    if weights in kfa.presets.names():
        weights = kfa.presets.path(weights)
    out = Path(settings.out) / "detector"
    finished = out / "model.keras"
    if not (settings.resume and finished.exists()):

        def build():
            network = {name: getattr(settings, name) for name in NETWORK}
            return kfa.models.AttentiveHeatmap1D(faces.scheme, stacks=1, backbone_weights=weights, **network)

        first = argparse.Namespace(**{**vars(settings), "out": str(out)})
        kfa.training.run(build, faces, views, first, load=kfa.load, export=kfa.deploy.export, validation=validation)
    return finished, sources


def recipe():
    settings = parsed(PAPER, QUICK)
    if settings.data_dir is None or settings.dataset != "pts":
        raise FileNotFoundError("the tracker's clips are those of a folder: give --data-dir, with train and test")
    videos = kfa.data.ytf68_clips(settings.data_dir)
    views = kfa.data.RandomView.paper(videos.scheme, **VIEWS)
    if settings.detector is None:
        detector, sources = train_detector(settings, views)
        second = argparse.Namespace(**{**vars(settings), **TRACKING[settings.scale]})
        before = f"{settings.epochs} of the detector on stills"
    else:
        second = parsed(*SECOND)
        detector, sources, before = settings.detector, [], f"a detector that was trained before ({settings.detector})"
    root = kfa.data.catalogue.rendered_root("synthetic_clips68", settings.ranges)
    rendered = {**CLIPS, "ranges": settings.ranges, "as_drawn": settings.as_drawn}
    videos, more = kfa.training.rendered_and_real.rendered_and_real_clips(videos, root, **rendered)

    def build():
        trained = kfa.load(detector)
        return kfa.models.AttentiveHeatmap1DTracker(trained, lam=settings.lam, width=settings.width)

    kfa.training.run_clips(build, videos, views, second, frames=FRAMES, export=kfa.deploy.export_step)
    stages = f"{before}, {second.epochs} of the tracker on clips of {FRAMES} frames"
    kfa.training.rendered_and_real.write_facts(settings, clips_and_stills(sources, more), views, epochs=stages)


def parsed(paper, quick):
    flags = {**kfa.training.rendered_and_real.FLAGS, "backbone": {"choices": kfa.models.lite_hourglass.TRUNKS}}
    return kfa.training.parse_settings(__doc__, paper, quick, flags=flags)


def clips_and_stills(stills, clips):
    """The sources of both stages, told apart."""
    return [{**its, "name": f"{its['name']}, {what}"} for what, part in (("stills", stills), ("clips", clips)) for its in part]


if __name__ == "__main__":
    kfa.training.main(recipe)
