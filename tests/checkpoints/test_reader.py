"""Reading PyTorch's files, the command, and whether the NumPy operations of the twins agree with PyTorch's."""

import os
import pickle
import sys

import numpy as np
import pytest
import torch_twins as twins

from kfacealign import checkpoints, deploy
from kfacealign.cli.main import main


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="PyTorch is not among the pinned requirements; without it no checkpoint is read")


@pytest.fixture(scope="module")
def state():
    return twins.StateDict(0)


class Bomb:
    """An object that makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


# === The twins' arithmetic ===


def test_the_twins_operations_are_pytorchs(torch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 7, 7))
    kernel, up = rng.normal(size=(5, 6, 3, 3)), rng.normal(size=(6, 5, 4, 4))
    F, at = torch.nn.functional, torch.from_numpy
    pairs = {
        "convolution": (twins.convolve(x, kernel, 2, 1), F.conv2d(at(x), at(kernel), stride=2, padding=1)),
        "transposed": (twins.convolve_transposed(x, up), F.conv_transpose2d(at(x), at(up), stride=2, padding=1)),
        "max": (twins.max_pool(x, 3, 2, 1), F.max_pool2d(at(x), 3, 2, 1)),
        "max without padding": (twins.max_pool(x, 3, 2), F.max_pool2d(at(x), 3, 2)),
        "average": (twins.average_pool(x), F.avg_pool2d(at(x), 2)),
        "nearest": (twins.enlarge_nearest(x), F.interpolate(at(x), scale_factor=2, mode="nearest")),
        "bilinear": (twins.enlarge_bilinear(x), F.interpolate(at(x), scale_factor=2, mode="bilinear", align_corners=True)),
    }
    for name, (ours, theirs) in pairs.items():
        np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-10, err_msg=name)


def test_the_twins_normalisation_is_pytorchs(torch):
    x = np.random.default_rng(0).normal(size=(2, 6, 3, 3))
    state = twins.StateDict(0)
    ours = twins.norm(state, "bn", x)
    layer = torch.nn.BatchNorm2d(6).double().eval()
    assert set(layer.state_dict()) == {name.removeprefix("bn.") for name in state}
    layer.load_state_dict({name.removeprefix("bn."): torch.from_numpy(np.array(value)) for name, value in state.items()})
    np.testing.assert_allclose(ours, layer(torch.from_numpy(x)).detach().numpy(), atol=1e-6)


# === Files ===


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
def test_state_dicts_are_found_and_prefixes_taken_off(torch, tmp_path, nested):
    content = {"module.a.weight": torch.ones(2, 3, dtype=torch.float16), "module.a.num_batches_tracked": torch.tensor(3)}
    if nested:
        # HIH's training saves its checkpoints so, with the best error as a NumPy number.
        content = {nested: content, "best_nme": {"epoch": 3, "nme": np.float64(0.04), "loss": np.float32(1)}, "epoch": 3}
    torch.save(content, tmp_path / "x.pth")
    found = checkpoints.read(tmp_path / "x.pth")
    assert set(found) == {"a.weight", "a.num_batches_tracked"}
    assert found["a.weight"].dtype == np.float32 and found["a.weight"].shape == (2, 3)


def test_the_older_file_format_is_read(torch, tmp_path):
    torch.save({"a": torch.arange(3)}, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(checkpoints.read(tmp_path / "x.pth.tar")["a"], [0, 1, 2])


@pytest.mark.parametrize("zipped", [True, False])
def test_a_pickle_bomb_is_refused(torch, tmp_path, zipped):
    victim = tmp_path / "made"
    torch.save({"a": torch.ones(1), "b": Bomb(victim)}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"x.pth is refused: besides tensors it holds [a-z]+.mkdir, which would .*run"):
        checkpoints.read(tmp_path / "x.pth")
    assert not victim.exists()


def test_a_numpy_array_is_refused(torch, tmp_path):
    """Of NumPy's objects only numbers are let through."""
    torch.save({"a": torch.ones(1), "b": np.array(["text"])}, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"x.pth is refused: .*numpy"):
        checkpoints.read(tmp_path / "x.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a PyTorch checkpoint"),
        (b"no checkpoint at all", "is not a PyTorch checkpoint"),
        (pickle.dumps({"a": [1, 2]}), "is not a PyTorch checkpoint"),
        ([1, 2, 3], "holds no state dict, alone or under 'state_dict' or 'model', but a list"),
        ({}, "holds no state dict"),
        ({"epoch": 3, "weights": [1.0]}, "a state dict holds tensors alone; these are none: epoch, weights"),
    ],
)
def test_what_is_no_checkpoint(torch, tmp_path, content, message):
    path = tmp_path / "x.pth"
    path.write_bytes(content) if isinstance(content, bytes) else torch.save(content, path)
    with pytest.raises(ValueError, match=f"x.pth.*{message}"):
        checkpoints.read(path)


def test_a_torchscript_archive_is_named(torch, tmp_path):
    torch.jit.script(torch.nn.ReLU()).save(tmp_path / "2DFAN4.zip")
    with pytest.raises(ValueError, match=r"2DFAN4.zip is a TorchScript archive, .*torch.jit.load\('2DFAN4.zip'\)"):
        checkpoints.read(tmp_path / "2DFAN4.zip")


def test_without_pytorch(monkeypatch, tmp_path):
    (tmp_path / "x.pth").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match=r"x.pth: reading .* needs PyTorch .*pip install 'kfacealign\[torch\]'"):
        checkpoints.read(tmp_path / "x.pth")


# === The command ===


@pytest.fixture
def small(monkeypatch):
    """The command on a narrow tiny HIH; `torch.load` is not called: the state dict is a .npz file."""
    options = {"width": 16, "decimal_size": 2, "decimal_width": 8}
    build = checkpoints.hih.build
    monkeypatch.setattr(checkpoints.hih, "build", lambda variant, **given: build(variant, **{**options, **given}))
    monkeypatch.setattr(checkpoints, "read", lambda path: dict(np.load(path)))


def test_the_command_writes_a_model_that_loads(small, tmp_path, capsys):
    state = twins.StateDict(0)
    images = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3))
    twins.hih(state, images, 1, 16, 19, 8)
    np.savez(tmp_path / "x.npz", **state)
    arguments = ["import-weights", "--model", "hih", "--variant", "tiny", "--scheme", "aflw19", "--input-size", "64"]
    assert main([*arguments, "--enlarge", "1.3", str(tmp_path / "x.npz"), "-o", str(tmp_path / "m.keras")]) == 0
    counters = sum(name.endswith("num_batches_tracked") for name in state)
    said = " ".join(capsys.readouterr().out.split())
    assert f"{len(state) - counters} of {len(state)} tensors used; not used: {counters} counters" in said
    assert "m.keras (hih tiny, aflw19, 64 px)" in said
    loaded = deploy.load(tmp_path / "m.keras")
    assert (loaded.scheme.name, loaded.enlarge, loaded.normalization) == ("aflw19", 1.3, "imagenet")
    found = loaded.network.get_layer("stem_1_conv").kernel
    np.testing.assert_array_equal(np.asarray(found), state["pre_conv.0.conv.weight"].transpose(2, 3, 1, 0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "hih", "x.pth", "-o", "m.keras"], "the variant of hih is one of tiny, small, base, not None"),
        (["--model", "fan", "--stride", "32", "x.pth", "-o", "m.keras"], "--stride is for --model pipnet, not fan"),
        (["--model", "fan", "--enlarge", "0", "x.pth", "-o", "m.keras"], "--enlarge must be positive, got 0.0"),
        (["--model", "fan", "x.pth", "-o", "m.tflite"], "--out is a file NAME.keras, not m.tflite"),
        (["--model", "fan", "none.pth", "-o", "m.keras"], "none.pth: no such checkpoint"),
        (["--model", "pipnet", "--meanface", "none.txt", "x.pth", "-o", "m.keras"], "none.txt: no such mean face"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["import-weights", *arguments]) == 2
    assert capsys.readouterr().err == f"kfacealign: error: {message}\n"
    assert list(tmp_path.iterdir()) == []


def test_a_bad_file_is_told_in_one_line(torch, tmp_path, capsys):
    torch.save({"a": Bomb(tmp_path / "made")}, tmp_path / "x.pth")
    assert main(["import-weights", "--model", "fan", str(tmp_path / "x.pth"), "-o", str(tmp_path / "m.keras")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "x.pth is refused" in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.pth"]
