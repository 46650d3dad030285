"""tf-keras twins of Keras 3 networks: their outputs are equal, and layers without a twin are named."""

import os

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny_networks import SIZE, crops, randomized, tiny_pipnet

pytest.importorskip("tf_keras", reason="quantisation-aware training is an extra")

from kfacealign.deploy.compression.tf_keras_layers import Columns
from kfacealign.deploy.compression.tf_keras_twin import tf_keras, twin
from kfacealign.deploy.exporting import graphs
from kfacealign.models.backbones import backbone


def assert_equal(found, wanted):
    wanted = keras.ops.convert_to_numpy(wanted)
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1.0, np.abs(wanted).max()))


def test_keras_3_stays_what_tf_keras_is():
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert tf.keras.__version__.startswith("3.") and tf_keras.__version__.startswith("2.")
    assert tf.keras.layers.Dense is keras.layers.Dense


@pytest.mark.parametrize(("name", "width"), [("mobilenet_v2", 0.35), ("mobilenet_v3_large", 0.25)])
def test_mobilenets_are_equal_to_their_twins(name, width):
    keras.utils.set_random_seed(0)
    network = randomized(backbone(name, SIZE, width=width))
    model = twin(network)
    assert isinstance(model, tf_keras.Model)
    assert_equal(model(crops(2)), network(crops(2), training=False))


def test_every_part_of_a_pipnet_is_equal_to_its_twin(monkeypatch):
    aligner = tiny_pipnet(monkeypatch)
    rng = np.random.default_rng(0)
    compared = set()
    for model, quantizable in graphs.part_models(aligner, batch=None):
        if not quantizable:
            continue
        shapes = {name: (2, *tensor.shape[1:]) for name, tensor in model.input.items()}
        inputs = {name: rng.uniform(0, 3, shape).astype("float32") for name, shape in shapes.items()}
        wanted, found = model(inputs), twin(model)(inputs)
        for name in wanted:
            assert_equal(found[name], wanted[name])
        compared |= set(wanted)
    assert compared == {"score", "features", "x", "y", "neighbor_x", "neighbor_y"}


def test_a_twin_may_end_at_a_layer(monkeypatch):
    network = tiny_pipnet(monkeypatch).network
    assert_equal(twin(network, until="backbone")(crops(2)), network.get_layer("backbone")(crops(2), training=False))
    with pytest.raises(ValueError, match="there is no layer neck; there are image, backbone, head"):
        twin(network, until="neck")


def test_the_offsets_kernels_go_there_and_back(monkeypatch):
    head = tiny_pipnet(monkeypatch).head
    columns = Columns(head, ("neighbor_x", "neighbor_y"))
    kernel, bias = columns.get_weights()
    assert kernel.shape == (1, 1, 16, 19 * 6) and bias.shape == (19 * 6,)
    # Landmark 4: three columns of neighbor_x, then three of neighbor_y.
    np.testing.assert_array_equal(kernel[..., 24:27], head.neighbor_x.kernel[..., 12:15])
    np.testing.assert_array_equal(kernel[..., 27:30], head.neighbor_y.kernel[..., 12:15])
    columns.set_weights([2 * kernel, 2 * bias])
    for before, after in zip((kernel, bias), columns.get_weights(), strict=True):
        np.testing.assert_array_equal(after, 2 * before)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (keras.layers.LayerNormalization(name="norm"), "the layer norm, a LayerNormalization, has no tf-keras twin"),
        (keras.layers.Activation("gelu", name="act"), "the layer act, an Activation gelu, has no tf-keras twin"),
        (keras.layers.Conv2D(4, 1, activation="hard_sigmoid", name="c"), "the layer c, a Conv2D with activation hard_sigmoid"),
    ],
)
def test_a_layer_without_twin_is_named(layer, message):
    image = keras.Input((8, 8, 3), name="image")
    inner = keras.Model(image, layer(image), name="inner")
    outer = keras.Input((8, 8, 3), name="image")
    with pytest.raises(ValueError, match=message):
        twin(keras.Model(outer, inner(outer)))


@pytest.mark.parametrize(("make", "kind"), [(lambda x: 1.0 - x, "Subtract"), (keras.ops.exp, "Exp")])
def test_an_operation_without_twin_is_named(make, kind):
    image = keras.Input((8, 8, 3), name="image")
    with pytest.raises(ValueError, match=f"the operation .*, a {kind}"):
        twin(keras.Model(image, make(image)))
