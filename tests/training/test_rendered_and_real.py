"""What the recipes of presets train on, and what they leave for the card."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.presets import bundling
from kfacealign.training import rendered_and_real
from kfacealign.training.rendered_and_real import FLAGS


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return kfa.data.write_pts(tmp_path_factory.mktemp("faces") / "drawn", train=2, test=4, size=96, progress=False)


def test_rendered_and_real_faces_train_together(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", {"train": 3, "test": 1, "seed": 0, "size": 64})
    settings = kfa.training.parse_settings("", {"dataset": "pts"}, {}, argv=["--data-dir", str(faces)])
    found, validation, sources = rendered_and_real.rendered_and_real(settings)
    real = kfa.data.pts(faces)
    assert validation is None
    assert len(found.train) == 5 and found.name == "drawn" and found.normalizer == "inter_ocular"
    np.testing.assert_array_equal(found.train.landmarks[3:], real.train.landmarks)
    np.testing.assert_array_equal(found.test.landmarks, real.test.landmarks)
    assert sources == [
        {"name": "drawn", "faces": 2, "licence": "that of the dataset"},
        {"name": rendered_and_real.RENDERING[0], "faces": 3, "licence": "Apache-2.0"},
    ]


def test_the_training_faces_of_further_folders_come_as_often_as_asked(faces, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", {"train": 3, "test": 1, "seed": 0, "size": 64})
    argv = ["--data-dir", str(faces), "--also", str(faces / "test"), "--also-times", "3"]
    settings = kfa.training.parse_settings("", {"dataset": "pts", "also": (), "also_times": 2}, {}, argv=argv)
    found, _, sources = rendered_and_real.rendered_and_real(settings)
    further = kfa.data.pts(faces).test
    assert len(found.train) == 5 + 3 * len(further)
    np.testing.assert_array_equal(found.train.landmarks[5:], np.tile(further.landmarks, (3, 1, 1)))
    assert sources[2] == {"name": "test", "faces": len(further), "licence": "that of the dataset"}


def test_labels_of_a_region_are_moved_to_where_the_drawings_have_them(tmp_path, monkeypatch):
    """The photographs are drawings whose brows were labelled 5 % of the inter-ocular distance too high."""
    monkeypatch.chdir(tmp_path)
    counts = {"train": 8, "test": 2, "seed": 0, "size": 64}
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", counts)
    folder = kfa.data.write_pts(tmp_path / "photographs", progress=False, **counts)
    brows = list(kfa.schemes.get("ibug68").regions["brows"])
    for path in folder.rglob("*.pts"):
        points = kfa.data.readers.pts.read_pts(path)
        left, right = points[[36, 45]]
        points[brows] -= 0.05 * np.array([left[1] - right[1], right[0] - left[0]])  # a step down, taken upwards
        lines = "".join(f"{x + 0.5} {y + 0.5}\n" for x, y in points)
        path.write_text(f"version: 1\nn_points: 68\n{{\n{lines}}}\n")
    paper = {"dataset": "pts", "as_drawn": (), "person": None, "validation": 0.25}
    argv = ["--data-dir", str(folder), "--as-drawn", "brows", "--out", str(tmp_path / "run")]
    settings = kfa.training.parse_settings("", paper, {}, flags=FLAGS, argv=argv)
    found, validation, sources = rendered_and_real.rendered_and_real(settings)
    assert sources[0]["name"] == "photographs, brows moved to where the rendered faces have them"
    places = {Path(image).stem: place for place, image in enumerate(found.train.images[:8])}  # the drawings come first
    for faces in (found.train[range(8, len(found.train))], validation):
        drawn = found.train.landmarks[[places[Path(image).stem] for image in faces.images]]
        distance = np.linalg.norm(drawn[:, 45] - drawn[:, 36], axis=1)[:, None]
        apart = np.linalg.norm(faces.landmarks - drawn, axis=-1) / distance
        assert apart[:, brows].max() < 0.02 and np.delete(apart, brows, 1).max() < 1e-3
    np.testing.assert_array_equal(found.test.landmarks, kfa.data.pts(folder).test.landmarks)  # what is measured stays


def test_labels_of_clips_are_moved_to_where_the_drawn_clips_have_them(tmp_path):
    """The videos are drawn clips whose brows were labelled 5 % of the inter-ocular distance too high."""
    settings = {"clips": 2, "frames": 4}
    clips = kfa.data.frame_folders(kfa.data.write_clips(tmp_path / "videos", **settings, progress=False))
    brows = list(clips.scheme.regions["brows"])
    offsets = np.zeros((68, 2))
    offsets[brows] = (0, -0.05)
    raised = kfa.data.definitions.with_offsets(clips.frames, offsets)
    videos = kfa.data.Clips(raised, clips.indices, names=clips.names, numbers=clips.numbers)
    parts = {"train": videos, "test": videos, "subsets": {"full": np.arange(len(videos))}}
    real = kfa.data.ClipsDataset(name="videos", scheme=clips.scheme, enlarge=1.2, normalizer="inter_ocular", **parts)
    root = tmp_path / "rendered"
    found, sources = rendered_and_real.rendered_and_real_clips(real, root, **settings, as_drawn=["brows"])
    assert sources[0]["name"] == "videos, brows moved to where the rendered faces have them"
    assert found.train.names == clips.names * 2
    np.testing.assert_array_equal(found.train.indices[2], clips.indices[0] + len(clips.frames))
    same, moved = found.train.frames[: len(clips.frames)], found.train.frames[len(clips.frames) :]
    np.testing.assert_allclose(moved.landmarks, same.landmarks, atol=0.01)
    np.testing.assert_array_equal(found.test.frames.landmarks, raised.landmarks)  # what is measured stays
    kept, sources = rendered_and_real.rendered_and_real_clips(real, root, **settings)
    np.testing.assert_array_equal(kept.train.frames.landmarks[len(clips.frames) :], raised.landmarks)
    assert sources[0]["name"] == "videos"


def test_nobody_is_trained_on_and_validated_by(tmp_path, monkeypatch):
    """Ten frames of five people, of whom one is kept back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rendered_and_real, "SYNTHETIC", {"train": 3, "test": 1, "seed": 0, "size": 64})
    folder = kfa.data.write_pts(tmp_path / "frames", train=10, test=2, size=64, progress=False)
    for number, path in enumerate(sorted((folder / "train").glob("*.pts"))):
        for file in (path, path.with_suffix(".jpg")):
            file.rename(file.with_name(f"{'abcde'[number // 2]}_{number % 2}{file.suffix}"))
    paper = {"dataset": "pts", "person": None, "validation": 0.2}
    argv = ["--data-dir", str(folder), "--person", "(.*)_", "--out", str(tmp_path / "run")]
    settings = kfa.training.parse_settings("", paper, {}, flags=FLAGS, argv=argv)
    found, validation, sources = rendered_and_real.rendered_and_real(settings)
    trained, kept = ({name.split("_")[0] for name in faces.names} for faces in (found.train[range(3, 11)], validation))
    assert len(validation) == 2 and len(kept) == 1 and trained | kept == set("abcde") and not trained & kept
    assert sources[0]["faces"] == 8 and len(found.train) == 11
    text = rendered_and_real.splits(settings, validation)
    assert text.startswith(rendered_and_real.SPLITS) and "2 faces of 1 people" in text
    assert rendered_and_real.splits(settings, None) == rendered_and_real.SPLITS


def test_rendered_faces_alone_are_of_the_full_ranges_and_others_usual(faces, tmp_path, monkeypatch):
    """A preset that sees no photograph has to know profiles and tilted heads from drawings; the card says which were drawn."""
    monkeypatch.chdir(tmp_path)
    for module in (rendered_and_real, kfa.data.catalogue):
        monkeypatch.setattr(module, "SYNTHETIC", {"train": 2, "test": 1, "seed": 0, "size": 64})
    common = {"ranges": "usual", "drawn": 2}
    paper, quick = {"dataset": "pts", **common}, {"dataset": "synthetic68", **common}
    cases = (
        (["--dataset", "synthetic68", "--drawn", "2"], "synthetic68_full", "full", "Its landmarks were learnt"),
        (["--scale", "quick"], "synthetic68", "usual", "Its landmarks were learnt"),
        (["--data-dir", str(faces)], "synthetic68", "usual", "Trained on a small set of frames"),
        (["--data-dir", str(faces), "--ranges", "full"], "synthetic68_full", "full", "Trained on a small set of frames"),
        (["--data-dir", str(faces), "--drawn", "3"], "synthetic68_3", "usual", "Trained on a small set of frames"),
        (["--dataset", "synthetic68", "--drawn", "3"], "synthetic68_full_3", "full", "Its landmarks were learnt"),
        (
            ["--dataset", "synthetic68", "--drawn", "2", "--ranges", "mixed"],
            "synthetic68_mixed",
            "mixed",
            "Its landmarks were learnt",
        ),
    )
    for argv, folder, ranges, sentence in cases:
        settings = kfa.training.parse_settings("", paper, quick, datasets=rendered_and_real.ALONE, flags=FLAGS, argv=argv)
        found, _, _ = rendered_and_real.rendered_and_real(settings)
        drawn = [str(path) for path in found.train.images if "synthetic68" in str(path)]
        assert drawn == [str(Path("data") / folder / "train" / f"train_{number:05d}.jpg") for number in range(settings.drawn)]
        assert json.loads((tmp_path / "data" / folder / "synthetic.json").read_text())["ranges"] == ranges
        limits = rendered_and_real.limits(settings)
        assert limits[0].startswith(sentence) and limits[1] == rendered_and_real.UNSEEN[ranges]


def test_joined_faces_keep_the_attributes_that_all_have():
    def some(count, occluded, **attributes):
        landmarks = np.random.default_rng(count).uniform(0, 9, (count, 68, 2))
        flags = {name: np.full(count, value) for name, value in attributes.items()}
        return kfa.data.Faces("ibug68", ["a"] * count, landmarks, attributes=flags, occluded=occluded)

    both = rendered_and_real.joined([some(2, np.ones((2, 68)), blur=True, pose=False), some(1, None, blur=False)])
    assert both.attributes.keys() == {"blur"} and both.attributes["blur"].tolist() == [True, True, False]
    assert len(both) == 3 and both.occluded is None


def test_clips_joined_are_the_clips_of_both():
    def clips(count, name):
        points = np.random.default_rng(count).uniform(0, 9, (3 * count, 68, 2))
        frames = kfa.data.Faces("ibug68", [f"{name}{i}" for i in range(3 * count)], points)
        return kfa.data.Clips(frames, np.arange(3 * count).reshape(count, 3), names=[f"{name}_{i}" for i in range(count)])

    first, second = clips(2, "a"), clips(1, "b")
    both = rendered_and_real.joined_clips([first, second])
    assert both.names == ["a_0", "a_1", "b_0"] and both.length == 3
    assert both[2].images == ["b0", "b1", "b2"] and both[1].images == ["a3", "a4", "a5"]
    np.testing.assert_array_equal(both[2].landmarks, second[0].landmarks)
    moving = kfa.data.moving_stills(first.frames, length=3)
    with pytest.raises(ValueError, match="clips with effects cannot be joined"):
        rendered_and_real.joined_clips([moving, second])


def test_facts_name_no_place_of_this_machine(tmp_path):
    settings = kfa.training.parse_settings("", {"epochs": 4}, {}, argv=["--out", str(tmp_path)])
    views = kfa.data.RandomView.paper("ibug68", scale=(0.9, 1.1))
    argv = ["/a/b/recipes/preset_x.py", "--data-dir", "/somewhere/else/ytf68", "--out", "runs/x", "--resume"]
    path = rendered_and_real.write_facts(
        settings, [rendered_and_real.source(rendered_and_real.known("ytf68"), 5)], views, argv, epochs="4 and more"
    )
    facts = bundling.read_facts(path)
    assert facts["command"] == "python recipes/preset_x.py --data-dir ytf68 --out runs/x"
    assert facts["epochs"] == "4 and more" and facts["seed"] == 0 and facts["augmentation"]["scale"] == [0.9, 1.1]
    assert facts["data"][0]["licence"] == "research use only"
    assert "/somewhere" not in path.read_text()


def test_a_card_says_what_the_training_began_with():
    def told(**settings):
        return rendered_and_real.begun_with(argparse.Namespace(**settings))

    assert told(begin_with="runs/a/model.keras", backbone_weights=None) == "model.keras"
    assert "Apache-2.0" in told(begin_with=None, backbone_weights="imagenet", backbone="efficientnet_lite0")
    assert told(backbone_weights="runs/b.keras", backbone="resnet18") == "the backbone of b.keras"
    assert told(begin_with=None) is None
