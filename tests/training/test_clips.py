"""The run of a tracker: what it writes, and that it goes on."""

import argparse
import csv
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.models import heatmap1d
from kfacealign.training.clips import cut


@pytest.fixture(scope="module", autouse=True)
def few_features():
    """In place of the hourglasses one convolution: they would be traced three times, and are no subject here."""

    def features_of(input_size, scheme, stacks, width):
        image = keras.Input((input_size, input_size, 3), name="image")
        return image, keras.layers.Conv2D(width, 4, strides=4, name="features")(keras.ops.multiply(image, 1.0 / 255))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(heatmap1d, "features_of", features_of)
        yield


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three rendered videos of four frames; the last is the test video."""
    root = kfa.data.write_clips(tmp_path_factory.mktemp("videos") / "clips", clips=3, frames=4, size=64, progress=False)
    clips = kfa.data.frame_folders(root)
    return kfa.data.ClipsDataset(
        name="clips", scheme=clips.scheme, train=clips[:2], test=clips[2:], subsets={}, enlarge=1.25, normalizer="inter_ocular"
    )


def build():
    detector = kfa.models.AttentiveHeatmap1D("ibug68", resolution=16, stacks=1, width=16, input_size=64)
    return kfa.models.AttentiveHeatmap1DTracker(detector, width=16)


def run(videos, out, epochs, **changed):
    settings = {"variant": "tracker", "input_size": 64, "batch_size": 1, "learning_rate": 1e-3, "drops": [], "warmup_epochs": 1}
    settings |= {"seed": 0, "precision": "float32", "strict": False, "cache": "memory", "resume": True}
    return kfa.training.run_clips(
        build,
        videos,
        None,
        argparse.Namespace(out=str(out), epochs=epochs, **{**settings, **changed}),
        frames=2,
        export=kfa.deploy.export_step,
    )


def history(out):
    with open(out / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_run_is_written_and_goes_on(videos, tmp_path, capsys):
    out = tmp_path / "run"
    _, report = run(videos, out, 1)
    assert len(report.names) == 4 and np.isfinite(report.errors).all()
    first = history(out)
    assert [row["phase"] for row in first] == ["warmup"]
    with pytest.raises(ValueError, match="holds a run of 1 epochs: add --resume"):
        run(videos, out, 2, resume=False)
    with pytest.raises(ValueError, match=r"learning_rate was 0.001 and is 0.1"):
        run(videos, out, 2, learning_rate=0.1)

    model, report = run(videos, out, 2)
    assert [row["phase"] for row in history(out)] == ["warmup", "training"]
    assert history(out)[0] == first[0]
    printed = "".join(capsys.readouterr().out.split())  # the console breaks long lines
    assert "resumedafterepoch1" in printed and "jitter" in printed
    for name in ("model.keras", "report.json", "step.tflite"):
        assert (out / name).stat().st_size > 0 and name in printed

    loaded = keras.saving.load_model(out / "model.keras")
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_settings_of_the_presets_recipe_are_enough(videos, tmp_path, monkeypatch, capsys):
    """It has a backbone and no variant, and a rate that falls as a cosine."""
    recipe = runpy.run_path(str(Path(__file__).parents[2] / "recipes" / "preset_tracker.py"))
    words = ["--data-dir", "x", "--input-size", "64", "--batch-size", "2", "--epochs", "1", "--out", str(tmp_path / "run")]
    monkeypatch.setattr("sys.argv", ["preset_tracker.py", *words])
    settings = recipe["parsed"](*recipe["SECOND"])
    kfa.training.run_clips(build, videos, None, settings, frames=2)
    printed = " ".join(capsys.readouterr().out.split())
    assert "AttentiveHeatmap1DTracker efficientnet_lite0:" in printed
    assert "1 epochs of batch 2 clips at learning rate 0.0003 (falling to 0 as a cosine)" in printed


def test_clips_with_effects_stay_whole(videos):
    """What passes through a clip belongs to its frames: such clips are not cut, and must be as long as asked."""
    hidden = kfa.data.occluded(kfa.data.windows(videos.train, 2), seed=0)
    assert cut(hidden, 2) is hidden
    assert len(cut(videos.train, 2)) == 4
    with pytest.raises(ValueError, match="they have 2 frames, not 4"):
        cut(hidden, 4)
