"""The tracker of 1D heatmaps with lambda = 0 against 0.3 (Table 2 of "Attentive One-Dimensional Heatmap Regression").

    python benchmarks/heatmap1d_tracker.py --data-dir YTF68 --detector runs/heatmap1d/1d_384_0.4_0/model.keras --width 64
    python benchmarks/heatmap1d_tracker.py --data-dir YTF68 --detector runs/w300/model.keras --epochs 10       # for a GPU

All trackers begin with the same trained detector and see the same clips: those of YTF68's training people, three frames each,
half of them with an object that passes through. They are measured on the clips of its test people, on these with an object
in every clip, on rendered clips (written to --rendered), and on test photographs that move smoothly. Errors are in percent
of the inter-ocular distance, NRMSE as in the paper; jitter is the mean acceleration of landmarks in the same percent.
Runs are kept in runs/tracker and go on where they were stopped.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import kfacealign as kfa
from kfacealign.evaluation.clips import evaluate_clips
from kfacealign.evaluation.reports import shown

FRAMES = 3  # of YTF68's clips
LONG = 10  # of the other clips
# Few epochs cannot overfit: gentler views let short runs get further.
VIEWS = {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}


def settings_of(arguments, lam, seed, input_size):
    """What a recipe's command line would have given."""
    return argparse.Namespace(
        variant=f"lambda_{lam:g}_{Path(arguments.detector).parent.name}_width{arguments.width}",
        input_size=input_size,
        epochs=arguments.epochs,
        warmup_epochs=0,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        drops=arguments.drops,
        seed=seed,
        out=str(Path(arguments.out) / f"lambda_{lam:g}_{seed}"),
        resume=True,
        precision="float32",
        strict=False,
        cache="memory",
    )


def tests(videos, arguments):
    """Name of a set of clips -> the clips."""
    rendered = kfa.data.frame_folders(kfa.data.write_clips(Path(arguments.rendered), clips=24, frames=LONG, seed=7))
    stills = videos.test.faces[::FRAMES]
    return {
        "clips": videos.test,
        "clips, occluded": kfa.data.occluded(videos.test, seed=1),
        "rendered clips": rendered,
        "rendered clips, occluded": kfa.data.occluded(rendered, seed=1),
        "moving stills": kfa.data.moving_stills(stills, LONG, seed=1, shift=0.02, scale=0.02, rotation=3.0),
        "moving stills, occluded": kfa.data.moving_stills(
            stills, LONG, seed=1, shift=0.02, scale=0.02, rotation=3.0, occlusion=1.0
        ),
    }


def figures(model, clips, normalizer):
    """NRMSE, NME and jitter of a model on clips, in percent."""
    report = evaluate_clips(model, clips, normalizer=normalizer)
    truth = clips.faces.landmarks
    errors = np.asarray(kfa.metrics.nrmse(truth, report.predicted, report.scheme, name=report.normalizer, weights=report.weights))
    starts = np.arange(len(truth)) % clips.length == 0
    jitter = kfa.metrics.jitter(report.predicted, report.scheme, starts=starts)
    return float(errors[report.counted].mean()), report.summary()["nme"], jitter


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", required=True, help="YTF68: train and test with clips of three frames")
    parser.add_argument("--detector", required=True, help="a trained AttentiveHeatmap1D (.keras)")
    parser.add_argument("--rendered", default="data/tracker_clips", help="where rendered test clips are written")
    parser.add_argument("--lambdas", type=float, nargs="+", default=[0.0, 0.3])
    parser.add_argument("--width", type=int, default=256, help="channels of CNN3 and CNN4")
    parser.add_argument("--every", type=int, default=1, help="train on every Nth clip")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--drops", type=int, nargs="*", default=[3])
    parser.add_argument("--batch-size", type=int, default=4, help="clips")
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", default="runs/tracker")
    return parser.parse_args()


def main():
    arguments = parse()
    videos = kfa.data.ytf68_clips(arguments.data_dir)
    videos = dataclasses.replace(videos, train=videos.train[:: arguments.every])
    train = kfa.data.occluded(videos.train, probability=0.5, seed=0)
    sets = tests(videos, arguments)
    views = kfa.data.RandomView.subpixel(videos.scheme, **VIEWS)
    rows = [("the detector alone", "", kfa.deploy.load(arguments.detector))]
    for lam in arguments.lambdas:
        for seed in arguments.seeds:
            settings = settings_of(arguments, lam, seed, rows[0][2].input_size)

            def build(lam=lam):
                detector = kfa.load(arguments.detector)
                return kfa.models.AttentiveHeatmap1DTracker(detector, lam=lam, width=arguments.width)

            model, _ = kfa.training.run_clips(build, dataclasses.replace(videos, train=train), views, settings, FRAMES)
            rows.append((f"lambda = {lam:g}", str(seed), model))
    table = Table("clips", "frames", "model", "seed", "NRMSE", "NME", "jitter", title=f"{videos.summary()}, errors in percent")
    for name, clips in sets.items():
        truth = clips.faces.landmarks
        still = kfa.metrics.jitter(truth, clips.scheme, starts=np.arange(len(truth)) % clips.length == 0)
        table.add_row(name, f"{len(truth):,}", "(truth)", "", "", "", f"{still:.2f}")
        for model_name, seed, model in rows:
            nrmse, nme, jitter = figures(model, clips, videos.normalizer)
            table.add_row("", "", model_name, seed, shown("nme", nrmse), shown("nme", nme), f"{jitter:.2f}")
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
