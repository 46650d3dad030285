"""Trainings on several devices, of which a child process has four that the CPU plays, and on two processes."""

import argparse
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.data.shares import divisible, share
from kfacealign.training.devices import count_or_all, distributed, join_processes

ROOT = Path(__file__).parents[2]
# A run as recipes make it, with a batch norm, random views, and 10 faces in batches of 4: the last batch does not divide.
COMMON = """
import json, os, sys
sys.modules["tensorflow"] = None  # is not needed
import keras, numpy as np
import kfacealign as kfa
from kfacealign.data.shares import processes
kfa.evaluation.write_run = lambda *rest: []  # pictures are no subject here

def part(folder, count, seed):
    import cv2
    rng, paths = np.random.default_rng(seed), [f"{folder}/{seed}-{i}.png" for i in range(count)]
    for path in paths:
        pixels = rng.integers(0, 256, (24, 24, 3), "uint8")
        if not os.path.exists(path):  # two processes do not write what the other reads
            cv2.imwrite(path, pixels)
    points = 6 + 4 * rng.random((count, 29, 2)) + 12 * kfa.schemes.get("cofw29").mean_shape
    return kfa.data.Faces("cofw29", paths, points, weights=rng.integers(0, 4, (count, 29)) > 0)

def build():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, strides=2, use_bias=False)(keras.ops.multiply(image, 1 / 255))
    x = keras.layers.Flatten()(keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.5)(x)))
    points = keras.layers.Reshape((29, 2))(keras.layers.Dense(58)(x))
    return kfa.models.FaceAligner(keras.Model(image, {"landmarks": points}), kfa.codecs.Coordinates(), "cofw29")

def dataset(folder):
    train, test = part(folder, 10, 0), part(folder, 5, 1)
    more = {"scheme": train.scheme, "subsets": {}, "enlarge": 1.25, "normalizer": "inter_ocular"}
    return kfa.data.Dataset(name="toy", train=train, test=test, **more)

def train(folder, out, *flags):
    paper = dict(input_size=16, epochs=2, batch_size=4, learning_rate=1e-2)
    settings = kfa.training.parse_settings("", paper, {}, argv=["--out", out, *flags])
    keras.utils.set_random_seed(0)
    views = kfa.data.RandomView(scheme="cofw29")
    model, report = kfa.training.run(build, dataset(folder), views, settings)
    return model, report
"""


def child(script, *arguments, devices=4, **environment):
    """Starts a process on JAX in which the CPU plays so many devices."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT), "XLA_FLAGS": flags, **environment}
    command = [sys.executable, "-c", COMMON + script, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process):
    """The last line that it printed, as JSON."""
    printed, errors = process.communicate(timeout=1200)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(printed.splitlines()[-1])


def rows(out):
    return json.loads((Path(out) / "state.json").read_text())["history"]


# === Sharing ===


def test_what_a_process_has_of_a_batch(monkeypatch):
    """Worked out by hand: a last batch of 5 of 6 on four devices of two processes is filled up to 8, 4 of them here."""
    places = np.arange(10, 15)
    here, copies = share(places, 6)
    assert here.tolist() == places.tolist() and not copies.any()
    monkeypatch.setattr("kfacealign.data.shares.devices", lambda: 4)
    parts = []
    for number in (0, 1):
        monkeypatch.setattr("kfacealign.data.shares.processes", lambda number=number: (number, 2))
        parts.append([values.tolist() for values in share(places, 6)])
    assert parts == [[[10, 11, 12, 13], [False] * 4], [[14, 10, 11, 12], [False, True, True, True]]]
    assert [divisible(number, 4) for number in (1, 4, 5)] == [4, 4, 8]


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", ""])
def test_devices_are_a_number_or_all(text):
    with pytest.raises(argparse.ArgumentTypeError, match="neither a number of devices from 1 on nor 'all'"):
        count_or_all(text)


@pytest.mark.skipif(keras.config.backend() == "jax", reason="about the other backends")
def test_another_backend_is_told_in_one_line(monkeypatch):
    settings = kfa.training.parse_settings("", {"epochs": 1}, {}, argv=["--devices", "all"])
    refused = pytest.raises(ValueError, match=r"^--devices all needs Keras on JAX, it runs on \w+: set KERAS_BACKEND=jax$")
    with refused, distributed(settings):
        pass
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(ValueError, match="KERAS_DISTRIBUTION_NUM_PROCESSES needs Keras on JAX"):
        join_processes()


# === Four devices of one process ===


SEVERAL = """
import collections
import pathlib
from kfacealign.training import checkpoint
folder, out = sys.argv[1:]
written = collections.Counter()
save = kfa.models.FaceAligner.save
kfa.models.FaceAligner.save = lambda self, path, *rest, **more: (written.update(["saved"]), save(self, path, *rest, **more))
found = {}
for count in (1, 2, 4):
    model, report = train(folder, f"{out}/{count}", "--devices", str(count))
    found[count] = report.predicted.tolist()
spread = len(model.network.trainable_variables[0].value.sharding.device_set)
train(folder, f"{out}/resumed", "--devices", "4", "--epochs", "1", "--steps-per-call", "2")
train(folder, f"{out}/resumed", "--devices", "2", "--resume", "--cache", "device")
try:
    train(folder, f"{out}/five", "--devices", "5")
except ValueError as error:
    refused = str(error)
# By hand: arrays of a number that does not divide, and one face alone.
with keras.distribution.DataParallel(devices=keras.distribution.list_devices()).scope():
    model = build()
    model.compile("sgd")
    rng = np.random.default_rng(0)
    images, y = rng.integers(0, 256, (7, 16, 16, 3), "uint8"), {"landmarks": rng.random((7, 29, 2), "float32")}
    model.fit(images, y, batch_size=3, validation_data=(images[:5], {"landmarks": y["landmarks"][:5]}), verbose=0)
    shared = model.evaluate(images, y, batch_size=3, return_dict=True, verbose=0)["nme"]
    aligned = [model.align(images[:n], batch_size=3)[0].tolist() for n in (1, 7)]
weights = model.get_weights()
alone = build()
alone.set_weights(weights)
alone.compile("sgd")
single = alone.evaluate(images, y, batch_size=7, return_dict=True, verbose=0)["nme"]
direct = alone.align(images)[0].tolist()
print(json.dumps([found, spread, written["saved"], refused, shared, single, aligned, direct]))
"""


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    (root / "faces").mkdir()
    return root, answer(child(SEVERAL, root / "faces", root))


def test_the_number_of_devices_does_not_change_a_training(several):
    root, (found, spread, *_) = several
    assert spread == 4
    curves = [
        [row[name] for row in rows(root / str(count)) for name in ("loss", "nme", "val_loss", "val_nme")] for count in (1, 2, 4)
    ]
    assert len(curves[0]) == 8 and curves[0][0] != curves[0][4]
    np.testing.assert_allclose(curves[1:], [curves[0]] * 2, rtol=1e-4)
    np.testing.assert_allclose([found["2"], found["4"]], [found["1"]] * 2, atol=1e-3)


def test_a_run_goes_on_with_other_devices_another_cache_and_several_steps_a_call(several):
    root, _ = several
    for expected, row in zip(rows(root / "4"), rows(root / "resumed"), strict=True):
        assert row["epoch"] == expected["epoch"]
        for name in ("loss", "nme", "val_loss", "val_nme"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4)


def test_each_checkpoint_is_written_once_and_too_many_devices_are_refused(several):
    root, (_, _, saved, refused, *_) = several
    assert saved == 4 * (2 + 1) + 1  # after every epoch, and the model at each of five ends
    assert refused.startswith("--devices 5: there are 4 (cpu:0, ")
    assert [path.name for path in (root / "4").glob("checkpoint-*")] == ["checkpoint-0002.keras"]


def test_arrays_that_do_not_divide_are_filled_up_and_the_filling_is_dropped(several):
    _, (*_, shared, single, aligned, direct) = several
    assert shared == pytest.approx(single, rel=1e-5)
    assert np.shape(aligned[0]) == (1, 29, 2) and np.shape(aligned[1]) == (7, 29, 2)
    np.testing.assert_allclose(aligned[0], direct[:1], atol=1e-5)
    np.testing.assert_allclose(aligned[1], direct, atol=1e-5)


# === Two processes ===


TWO = """
folder, out = sys.argv[1:]

def recipe():
    model, report = train(folder, out, "--devices", "all")
    print(json.dumps([processes(), report.predicted.tolist()]))

kfa.training.main(recipe)
"""


def test_two_processes_train_as_one_does(several, tmp_path):
    root, _ = several
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    names = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": f"127.0.0.1:{port}", "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
    started = [
        child(TWO, root / "faces", tmp_path / "run", devices=2, **names, KERAS_DISTRIBUTION_PROCESS_ID=str(number))
        for number in (0, 1)
    ]
    found = [answer(process) for process in started]
    assert [which for which, _ in found] == [[0, 2], [1, 2]] and found[0][1] == found[1][1]
    for expected, row in zip(rows(root / "4"), rows(tmp_path / "run"), strict=True):
        for name in ("loss", "nme", "val_loss", "val_nme"):
            assert row[name] == pytest.approx(expected[name], rel=1e-4)
