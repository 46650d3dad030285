"""Errors on clips, by models that remember and models that do not."""

from types import SimpleNamespace

import numpy as np
import pytest

from kfacealign import data, evaluation
from kfacealign.training.clips import windows_of


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Two rendered videos of four frames as clips of two."""
    root = data.write_clips(tmp_path_factory.mktemp("videos") / "clips", clips=2, frames=4, size=64, progress=False)
    return data.frame_folders(root)


@pytest.fixture(scope="module")
def crops(videos):
    return data.ClipCrops(data.windows(videos, 2), size=32)


def truth_in_crops(crops):
    return np.stack([crops[i][1] for i in range(len(crops))])


class Model(SimpleNamespace):
    scheme, input_size, enlarge = "ibug68", 32, 1.25


def known(crops, remembers):
    """The true landmarks, a tenth of the crop to the right in all frames but the first of a clip."""
    landmarks = truth_in_crops(crops).reshape(-1, 2, 68, 2)
    landmarks[:, 1, :, 0] += 0.1
    if remembers == "clips":
        calls = iter(landmarks)

        def align_clips(clips, batch_size, verbose):
            assert clips.shape[1:] == (2, 32, 32, 3) and batch_size == len(clips)
            return np.stack([next(calls) for _ in clips]), None

        return Model(align_clips=align_clips)
    frames = iter(landmarks.reshape(-1, 68, 2))
    if remembers == "nothing":
        return Model(align=lambda images, verbose: (np.stack([next(frames) for _ in images]), None))
    resets = []
    return Model(reset=lambda: resets.append(1), step=lambda crop: (next(frames), None), resets=resets)


@pytest.mark.parametrize(("remembers", "batch_size"), [("clips", 1), ("clips", 3), ("steps", 3), ("nothing", 3)])
def test_a_known_shift(crops, remembers, batch_size):
    """A tenth of a crop is 0.1 S / |crop matrix| pixels; frame 0 of every clip has none."""
    model = known(crops, remembers)
    report = evaluation.evaluate_clips(model, crops, subsets={"last": [3], "none": []}, batch_size=batch_size)
    pixels = 0.1 * 32 / np.array([matrix[0, 0] for matrix in crops.matrices])
    eyes = crops.faces.landmarks[:, [36, 45]]
    expected = 100 * pixels / np.linalg.norm(eyes[:, 0] - eyes[:, 1], axis=-1)
    np.testing.assert_allclose(report.face_errors[1::2], expected[1::2], rtol=1e-3)
    np.testing.assert_allclose(report.face_errors[::2], 0, atol=1e-3)
    assert report.rows()["last"]["nme"] == pytest.approx(expected[7] / 2, rel=1e-3) and report.rows()["none"]["faces"] == 0
    if remembers == "steps":
        assert len(model.resets) == 4


def test_what_does_not_fit_is_refused(crops, videos):
    with pytest.raises(ValueError, match="predicts wflw98, the clips have ibug68"):
        evaluation.evaluate_clips(SimpleNamespace(scheme="wflw98"), crops)
    for clips in (videos[[]], data.Clips(videos.frames, [[0, 1], [2]])):
        with pytest.raises(ValueError, match="clips of one length"):
            evaluation.evaluate_clips(Model(), clips)


def test_subsets_of_videos_are_those_of_their_windows(videos):
    dataset = data.ClipsDataset(
        name="x",
        scheme=videos.scheme,
        train=videos[:0],
        test=videos,
        subsets={"second": [1], "none": []},
        enlarge=1.25,
        normalizer="inter_ocular",
    )
    found = windows_of(data.windows(videos, 2), dataset)
    assert {name: positions.tolist() for name, positions in found.items()} == {"second": [2, 3], "none": []}
