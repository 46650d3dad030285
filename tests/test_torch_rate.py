"""benchmarks/torch_rate.py: the PyTorch networks are ours, layer for layer, and so are their losses."""

import sys
from pathlib import Path

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.layers.pixel_in_pixel import features_at_cells
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.efficientnet import efficientnet_lite0

torch = pytest.importorskip("torch")  # not in the test environment of a plain installation: it is an extra
BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in [name for name in sys.modules if name.startswith("torch_")]:
        del sys.modules[name]


def uniform(*shape, low=0.0, high=1.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, shape).astype("float32")


def randomise(model):
    """Gives every weight a random value that is no special case, and keeps the features near 1."""
    generator = np.random.default_rng(1)
    for number, weight in enumerate(model.weights):
        shape = weight.shape
        if len(shape) == 4:
            fan_in = shape[0] * shape[1] * (1 if "depthwise" in weight.path else shape[2])
            weight.assign(generator.normal(0, fan_in**-0.5, shape))
        else:
            weight.assign(generator.uniform(0.5, 1.5, shape) if number % 2 else generator.uniform(-0.3, 0.3, shape))
        if "variance" in weight.path:
            weight.assign(generator.uniform(0.5, 1.5, shape))


def give(module, layer):
    """A convolution or batch norm of PyTorch gets the weights of the layer."""
    values = [torch.from_numpy(np.array(value)) for value in layer.get_weights()]
    if isinstance(module, torch.nn.BatchNorm2d):
        names = ("weight", "bias", "running_mean", "running_var")
    else:
        names = ("weight", "bias")
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        values[0] = values[0].permute((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))
    for name, value in zip(names, values, strict=False):
        assert getattr(module, name).shape == value.shape
        getattr(module, name).data = value.contiguous()


def leaves(module):
    """The convolutions and batch norms by their names, in the order in which they were made."""
    kinds = (torch.nn.Conv2d, torch.nn.BatchNorm2d)
    return {name: part for name, part in module.named_modules() if isinstance(part, kinds)}


@pytest.mark.parametrize("words", (["lotr"], ["pipnet"], ["hih", "--width", "16"]), ids=lambda words: words[0])
def test_both_sides_have_as_many_weights(words):
    import torch_rate

    arguments = torch_rate.parse(["--method", *words, "--input-size", "128"])
    ours, theirs = torch_rate.keras_model(arguments), torch_rate.torch_model(arguments)
    trainable = trainable_parameters(ours)
    assert trainable == sum(parameter.numel() for parameter in theirs.parameters())
    untrained = sum(buffer.numel() for name, buffer in theirs.named_buffers() if "running" in name)
    assert ours.network.count_params() - trainable == untrained


def test_efficientnet_lite0_computes_the_same():
    """At 33 px, where Keras' "same" pads both sides alike, as PyTorch does at every size."""
    from torch_pipnet import PIPNet

    ours = efficientnet_lite0(33, pretrained=False)
    randomise(ours)
    theirs = PIPNet(torch.zeros(3, 2, dtype=torch.long)).eval()
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.BatchNormalization)
    layers = [layer for layer in ours.layers if isinstance(layer, kinds)]
    for module, layer in zip(leaves(theirs.backbone).values(), layers, strict=True):
        give(module, layer)
    images = uniform(2, 33, 33, 3, high=255)
    with torch.no_grad():
        found = theirs.backbone((torch.from_numpy(images).permute(0, 3, 1, 2) - 127.0) / 128.0)
    expected = keras.ops.convert_to_numpy(ours(images, training=False))
    assert expected.std() > 0.1
    np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), expected, atol=1e-3)


def test_pipnets_loss_is_the_codecs():
    from torch_pipnet import FEATURES, PIPNet

    model = kfa.models.PIPNet("wflw98", backbone="efficientnet_lite0", input_size=128)
    theirs = PIPNet(torch.from_numpy(np.array(model.codec.table, "int64")))
    for name, branch in theirs.head.items():
        give(branch, getattr(model.head, name))
    features, landmarks = uniform(2, 4, 4, FEATURES), uniform(2, 98, 2, low=-0.1, high=1.1, seed=1)
    targets = model.codec.encode(keras.ops.convert_to_tensor(landmarks))
    outputs = model.head(features)
    outputs = {**outputs, **model.head.at_cells(features_at_cells(outputs["features"], targets["cells"]))}
    expected = sum(float(term) for term in model.codec.loss(targets, outputs, np.ones((2, 98), "float32")).values())
    channels_first = torch.from_numpy(features).permute(0, 3, 1, 2)
    maps = {name: branch(channels_first) for name, branch in theirs.head.items()}
    assert theirs.loss(maps, torch.from_numpy(landmarks)).item() == pytest.approx(expected, rel=1e-5)


def test_hih_computes_the_same_and_so_does_its_loss():
    from torch_hih import HIH

    model = kfa.models.HIH("wflw98", input_size=64, width=16, decimal_width=24, decimal_size=4)
    randomise(model.network)
    layers = {layer.name: layer for layer in model.network.layers}
    layers |= {f"decimal_{layer.name}": layer for layer in layers["decimal"].body.layers}
    theirs = HIH(98, 64, width=16, decimal_width=24, decimal_size=4).eval()
    for name, module in leaves(theirs).items():
        name = name.replace(".", "_")
        if name in layers:
            give(module, layers[name])
        else:  # a projection that neither side runs
            assert name.endswith(("_skip_conv", "_skip_bn"))
    images, landmarks = uniform(2, 64, 64, 3, high=255), uniform(2, 98, 2, low=-0.1, high=1.1, seed=1)
    expected = model.network(images, training=False)
    with torch.no_grad():
        heatmap, decimal = theirs(torch.from_numpy(images).permute(0, 3, 1, 2))
    for found, name in ((heatmap, "heatmap_1"), (decimal, "decimal")):
        maps = keras.ops.convert_to_numpy(expected[name])
        assert maps.std() > 0.1
        np.testing.assert_allclose(found.permute(0, 2, 3, 1).numpy(), maps, atol=1e-3)
    terms = model.codec.loss(model.codec.encode(keras.ops.convert_to_tensor(landmarks)), expected, np.ones((2, 98), "float32"))
    loss = theirs.loss((heatmap, decimal), torch.from_numpy(landmarks)).item()
    assert loss == pytest.approx(sum(float(term) for term in terms.values()), rel=1e-4)
