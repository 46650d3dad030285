"""Crops in the accelerator's memory (`tests/test_backends.py` runs this file on JAX)."""

import cv2
import keras
import numpy as np
import pytest

from kfacealign.data import Faces, RandomView, pipeline, resident
from kfacealign.data.batches import FaceBatches

ON_TENSORFLOW = keras.config.backend() == "tensorflow"


@pytest.fixture
def faces(tmp_path):
    """Five photographs, the third of which cannot be read."""
    rng, images = np.random.default_rng(1), [str(tmp_path / f"{i}.png") for i in range(5)]
    for path in images:
        cv2.imwrite(path, rng.integers(0, 256, (40, 40, 3), "uint8"))
    (tmp_path / "2.png").write_bytes(b"no photograph")
    return Faces("cofw29", images, rng.uniform(5, 35, (5, 29, 2)))


@pytest.mark.skipif(not ON_TENSORFLOW, reason="about batches of tf.data")
def test_tensorflow_is_refused(faces):
    with pytest.raises(ValueError, match=r"^cache 'device' needs Keras on JAX \(KERAS_BACKEND=jax\)"):
        pipeline(faces, size=16, batch_size=2, cache="device")


@pytest.mark.skipif(ON_TENSORFLOW, reason="TensorFlow's batches are made on the host")
@pytest.mark.filterwarnings("ignore:.*cannot be read")
def test_batches_are_those_of_the_host_and_need_no_photograph_any_more(faces):
    views = RandomView(scheme="cofw29")
    options = {"size": 16, "batch_size": 2, "views": views, "views_on": "device", "seed": 3}
    near = FaceBatches(faces, cache="device", **options)
    host = FaceBatches(faces, cache="memory", **options)
    first = near[0]
    assert near.crops.resident.shape == (5, 16, 16, 3) and keras.ops.is_tensor(first[0]["image"])
    near.crops.batch = None  # nothing comes from the host any more
    for number in range(3):
        keras.tree.map_structure(np.testing.assert_array_equal, keras.tree.map_structure(np.asarray, near[number]), host[number])
    order = near.plan(0)[0]
    assert [bool(near[number][1]["weights"].any(1).all()) for number in range(3)] == [
        2 not in order[2 * n : 2 * n + 2] for n in range(3)
    ]


def test_crops_that_do_not_fit_are_told_with_their_size(monkeypatch):
    def full(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(resident.ops, "convert_to_tensor", full)
    with pytest.raises(MemoryError, match=r"^1,024 crops of 64 px take 12 MiB, which the device does not have \(RESOURCE_EXH"):
        resident.on_device(np.zeros((1024, 64, 64, 3), "uint8"))
