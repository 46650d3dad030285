"""benchmarks/fit_profile.py: what counts as which kind of operation, and variants that compute what `fit` computes."""

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest

import kfacealign as kfa
from kfacealign.backend import keras

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
ARGUMENTS = argparse.Namespace(steps=2, rounds=1)


@pytest.fixture(autouse=True)
def benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    yield
    for name in ("fit_profile", "fit_variants", "step_rate"):
        sys.modules.pop(name, None)


def batch(size, count=2):
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (count, size, size, 3)).astype("float32")
    return images, {"landmarks": generator.uniform(0.1, 0.9, (count, 98, 2)).astype("float32")}


def losses(model, steps=3):
    """The losses of steps on one batch: what the gradients did counts from the second on."""
    images, labels = batch(model.input_size)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    return [float(model.train_on_batch(images, labels, return_dict=True)["loss"]) for _ in range(steps)]


def test_kinds_of_operations():
    import fit_profile

    scope = "StatefulPartitionedCall/"
    for name, kind in {
        "hih_1/network_1/stem_1_conv_1/convolution:_MklNativeConv2D": "convolution, forward",
        "gradient_tape/hih_1/network_1/stem_1_conv_1/convolution/Conv2DBackpropFilter:Conv2DBackpropFilter": (
            "convolution, by kernels"
        ),
        "gradient_tape/hih_1/network_1/stem_2_bn_1/batchnorm/mul_1/Mul:Mul": "batch norm, backward",
        "hih_1/network_1/stem_2_expand_bn_1/moments/SquaredDifference:SquaredDifference": "batch norm, forward",
        "gradient_tape/x/b0_dw_1/depthwise/DepthwiseConv2dNativeBackpropInput:DepthwiseConv2dNativeBackpropInput": (
            "depthwise, backward"
        ),
        "adam_1/Sub_587/ReadVariableOp:ReadVariableOp": "optimiser",
        "SelectV2:SelectV2": "views, loss, metric",
    }.items():
        assert fit_profile.is_operation(scope + name)
        assert fit_profile.kind_of(scope + name) == kind
    assert not fit_profile.is_operation("ExecutorState::Process")


def test_an_operation_inside_another_counts_once():
    import fit_profile

    events = [(0, 100, "ExecutorState::Process"), (10, 50, "call:Call"), (20, 30, "a:Mul"), (70, 5, "b:Add")]
    assert dict(map(tuple, fit_profile.own_times(events))) == {"call:Call": 20, "a:Mul": 30, "b:Add": 5}


def test_a_profile_of_fit():
    import fit_profile
    import tensorflow as tf

    model = kfa.models.FAN("wflw98", input_size=64, stacks=1, width=16)
    model.compile(kfa.training.adam(1e-4))
    batches = tf.data.Dataset.from_tensors(batch(64)).repeat(ARGUMENTS.steps)
    kinds, profiled, plain = fit_profile.profile(model, batches, ARGUMENTS)
    assert plain > 0 and min(kinds.values()) > 0
    assert {"convolution, forward", "convolution, by kernels", "batch norm, backward", "optimiser"} <= set(kinds)
    assert kinds["convolution, forward"] < profiled


@pytest.mark.parametrize("variant", ("dense_heads", "wide_stems"))
def test_variants_compute_what_fit_computes(variant):
    import fit_variants

    keras.utils.set_random_seed(0)
    models = [kfa.models.PIPNet("wflw98", backbone="efficientnet_lite0", input_size=64, backbone_width=0.25) for _ in range(2)]
    changed = getattr(fit_variants, variant)(models[1])
    changed.set_weights(models[0].get_weights())
    np.testing.assert_allclose(losses(changed), losses(models[0]), rtol=1e-3)


def test_keras_own_batch_norms_in_fit():
    import fit_variants

    model = kfa.models.FAN("wflw98", input_size=64, stacks=1, width=16)
    model.compile(keras.optimizers.SGD(1e-3))
    norm = next(layer for layer in model.network._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization))
    seen = []
    look = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append("call" in vars(norm)))
    for change in (lambda same: same, fit_variants.plain_batch_norms):
        change(model).fit(*batch(64), batch_size=2, verbose=0, callbacks=[look])
    assert seen == [True, False]


def test_only_pipnet_has_heads_that_can_be_dense():
    import fit_variants

    assert fit_variants.dense_heads(keras.Sequential()) is None


def test_a_gain_is_the_rate_with_the_change_over_the_rate_without(monkeypatch):
    import fit_profile
    from rich.console import Console

    seconds = {(): [4.0, 2.0, 8.0], ("--precision", "bfloat16"): [2.0], ("--variant", "dense_heads"): None}
    slow = {"TF_ENABLE_ONEDNN_OPTS": "0"}
    monkeypatch.setattr(fit_profile, "in_a_process", lambda name, more, flags: [12.0] if more == slow else seconds[tuple(flags)])
    arguments = argparse.Namespace(
        methods=["FAN"],
        gains=["bfloat16", "onednn", "heads"],
        input_size=64,
        batch_size=16,
        threads=2,
        turns=2,
        rounds=1,
        steps=1,
    )
    console = Console(record=True, width=200)
    fit_profile.show_gains(arguments, console)
    row = next(line for line in console.export_text().splitlines() if "FAN" in line)
    assert row.replace("│", " ").split() == ["FAN", "4.0", "2.00", "3.00"]


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ("I0000 starting\nF0000 00:00:1.2 7 pass.cc:26] Check failed: x\n    @ 0x7f  cfunction_call", "Check failed: x"),
        ("Traceback\nValueError: no such size", "ValueError: no such size"),
        ("", "gave no reason"),
    ],
)
def test_the_line_that_says_why_a_process_ended(errors, told):
    import fit_profile

    assert told in fit_profile.reason(errors)
