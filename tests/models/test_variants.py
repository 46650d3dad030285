"""Which methods are known, and which networks each of them has."""

import subprocess
import sys

import keras
import pytest

from kfacealign import models
from kfacealign.models import FaceAligner, Variant, methods, variants_of

OURS = [
    "AttentiveHeatmap1D",
    "CNNFFN",
    "CoordNet",
    "FAN",
    "HIH",
    "Heatmap2D",
    "LOTR",
    "MapNet",
    "PIPNet",
]

# A method of another package in a module of its own, and what a fresh process then knows.
FOREIGN = """
import keras
from kfacealign.models import HIH, FaceAligner, Variant, methods, variants_of

assert "Mine" not in methods()
count = len(methods())


@keras.saving.register_keras_serializable(package="mine")
class Mine(HIH):
    variants = (Variant("small", {"width": 16}),)


assert list(methods())[count:] == ["Mine"] and variants_of(methods()["Mine"])[0].settings == {"width": 16}
"""


@keras.saving.register_keras_serializable(package="test_variants")
class Plain(FaceAligner):
    """A method that names no networks."""


@keras.saving.register_keras_serializable(package="test_variants")
class Sized(FaceAligner):
    """A method that names its networks."""

    variants = (Variant("small", {"width": 8}), Variant("large", {"width": 32}, gflops="1.5"))


class Unregistered(FaceAligner):
    """A class that Keras does not know."""


def ours():
    """The methods of this package."""
    return {name: kind for name, kind in methods().items() if kind.__module__.startswith("kfacealign.")}


def test_methods_of_this_package():
    found = ours()
    assert sorted(found) == sorted(OURS)
    assert all(found[name] is getattr(models, name) for name in OURS)


@pytest.mark.parametrize(
    "name", ["FaceAligner", "AttentiveHeatmap1DTracker", "Heatmap2DTracker", "DomainAdversarialPIPNet", "Hourglass"]
)
def test_classes_without_networks_of_their_own_are_no_methods(name):
    assert hasattr(models, name) and name not in methods()


def test_tf_keras_twins_are_no_methods():
    pytest.importorskip("tf_keras", reason="quantisation-aware training is an extra")
    pytest.importorskip("tensorflow_model_optimization", reason="quantisation-aware training is an extra")
    from kfacealign.deploy.compression.pruning import PrunedAligner
    from kfacealign.deploy.compression.qat import QuantizedAligner
    from kfacealign.deploy.compression.twin_aligner import TwinnedAligner

    registered = keras.saving.get_custom_objects().values()
    assert PrunedAligner in registered and QuantizedAligner in registered
    assert not any(issubclass(kind, TwinnedAligner) for kind in methods().values())


def test_foreign_methods_come_after_ours():
    found = methods()
    assert found["Plain"] is Plain and found["Sized"] is Sized and "Unregistered" not in found
    assert list(found)[: len(OURS)] == list(ours())


def test_a_registered_subclass_is_known_at_once():
    subprocess.run([sys.executable, "-c", FOREIGN], check=True, timeout=300)


def test_networks_of_a_method():
    (default,) = variants_of(Plain)
    assert (default.name, default.settings) == ("default", {})
    assert [variant.name for variant in variants_of(Sized)] == ["small", "large"]
    assert [variant.settings for variant in variants_of(Sized)] == [{"width": 8}, {"width": 32}]
    assert [variant.gflops for variant in variants_of(Sized)] == ["-", "1.5"]


@pytest.mark.parametrize("name", OURS)
def test_networks_of_our_methods_have_names_of_their_own(name):
    variants = variants_of(methods()[name])
    assert len({variant.name for variant in variants}) == len(variants) > 1


def test_numbers_of_a_variant_are_given_by_name():
    with pytest.raises(TypeError):
        Variant("small", {}, "wflw98")
