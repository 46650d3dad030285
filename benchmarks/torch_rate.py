"""Images a second of our `fit` on the TensorFlow backend over those of the same network in plain PyTorch.

    python benchmarks/torch_rate.py --method pipnet                            # EfficientNet-Lite0, 256 px, two threads
    python benchmarks/torch_rate.py --method hih --width 64
    python benchmarks/torch_rate.py --method lotr --batch-size 32 --optimizer sgd --channels-last

Needs the `torch` extra. Each side is trained in a process of its own on as many cores as threads, the sides taking turns;
figures are medians over all steps. A step is forward, loss against targets that it encodes, backward and optimiser on one
batch that lies in memory; ours is a step of `fit`, which also keeps the NME. PyTorch runs eagerly and with dense heads, as the
papers draw them. It is measured with threads that wait for each other at work (the default) and asleep
(`OMP_WAIT_POLICY=passive`), because at work they lose many times over to whatever else the machine does; `--channels-last`
adds the layout of memory that its convolutions may prefer. Ours is compared with the fastest of the same precision. Both must
have as many parameters and batch-norm statistics. `bfloat16` is `mixed_bfloat16` of Keras and `autocast` of PyTorch.
"""

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
import time


@dataclasses.dataclass
class Side:
    """What takes turns: a framework, what is added to its environment, and the layout of PyTorch's memory."""

    framework: str
    environment: dict
    channels_last: bool = False


OURS = "Keras, TensorFlow"
SIDES = {
    OURS: Side("keras", {}),
    "PyTorch": Side("torch", {}),
    "PyTorch, passive waiting": Side("torch", {"OMP_WAIT_POLICY": "passive"}),
    "PyTorch, channels last": Side("torch", {}, channels_last=True),
}
# Method -> scheme of its landmarks and side of its crops in the paper.
METHODS = {"lotr": ("jd106", 192), "pipnet": ("wflw98", 256), "hih": ("wflw98", 256)}
WARM_UP = 3  # steps that trace the graph or fill the caches


def batch(arguments):
    """The images (B, S, S, 3) float32 and landmarks (B, K, 2) of every step."""
    import numpy as np

    import kfacealign as kfa

    points = kfa.schemes.get(METHODS[arguments.method][0]).num_points
    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (arguments.batch_size, arguments.input_size, arguments.input_size, 3))
    return images.astype("float32"), generator.uniform(0.1, 0.9, (arguments.batch_size, points, 2)).astype("float32")


# === Ours ===


def keras_model(arguments):
    """The method's network as we have it, untrained."""
    import kfacealign as kfa

    scheme, settings = METHODS[arguments.method][0], {"input_size": arguments.input_size}
    if arguments.method == "lotr":
        return kfa.models.LOTR.m(scheme, query_stddev=1.0, **settings)
    if arguments.method == "pipnet":
        return kfa.models.PIPNet(scheme, backbone="efficientnet_lite0", **settings)
    return kfa.models.HIH(scheme, **settings, **hih_widths(arguments))


def keras_side(arguments):
    """(function from a number of steps to the seconds of each, trainable weights, weights that are not trained)."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import tensorflow as tf

    from kfacealign.backend import keras
    from kfacealign.models.complexity import trainable_parameters
    from kfacealign.training.loop import PRECISIONS

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    keras.config.set_dtype_policy(PRECISIONS[arguments.precision[0]])
    images, landmarks = batch(arguments)
    model = keras_model(arguments)
    model.compile(keras.optimizers.Adam(1e-4) if arguments.optimizer == "adam" else keras.optimizers.SGD(1e-4))
    batches = tf.data.Dataset.from_tensors((images, {"landmarks": landmarks})).repeat()
    ends = []
    clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda step, logs: ends.append(time.perf_counter()))

    def run(steps):
        ends.clear()
        model.fit(batches, steps_per_epoch=steps + 1, callbacks=[clock], verbose=0)  # the first step has no beginning
        return [end - start for start, end in itertools.pairwise(ends)]

    trainable = trainable_parameters(model)
    return run, trainable, model.network.count_params() - trainable


# === PyTorch ===


def torch_model(arguments):
    """The same network in plain PyTorch."""
    import torch

    if arguments.method == "lotr":
        from torch_lotr import LOTR

        return LOTR(106, arguments.input_size)
    if arguments.method == "pipnet":
        from torch_pipnet import PIPNet

        import kfacealign as kfa

        shape = torch.from_numpy(kfa.schemes.get("wflw98").mean_shape)
        return PIPNet(torch.cdist(shape, shape).argsort(stable=True)[:, 1:11])
    from torch_hih import HIH

    return HIH(98, arguments.input_size, **hih_widths(arguments))


def torch_side(arguments):
    """As `keras_side`."""
    import torch

    torch.set_num_threads(arguments.threads)
    images, landmarks = map(torch.from_numpy, batch(arguments))
    images = images.permute(0, 3, 1, 2).contiguous()
    model = torch_model(arguments).train()
    if SIDES[arguments.side].channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam if arguments.optimizer == "adam" else torch.optim.SGD
    optimizer = optimizer(model.parameters(), 1e-4)
    half = arguments.precision[0] == "bfloat16"

    def run(steps):
        seconds = []
        for _ in range(steps):
            start = time.perf_counter()
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16) if half else contextlib.nullcontext():
                outputs = model(images)
            loss = model.loss(outputs, landmarks)
            loss.backward()
            optimizer.step()
            loss.item()
            seconds.append(time.perf_counter() - start)
        return seconds

    statistics_count = sum(buffer.numel() for name, buffer in model.named_buffers() if "running" in name)
    return run, sum(parameter.numel() for parameter in model.parameters()), statistics_count


# === Both ===


def hih_widths(arguments):
    """Channels of HIH's trunk and, in the paper's proportion, of its decimal head."""
    return {"width": arguments.width, "decimal_width": arguments.width * 3 // 2}


def measure(arguments):
    """Trains one side in this process and prints what it took, as JSON."""
    if hasattr(os, "sched_setaffinity"):  # neither side may use more cores than it has threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    side = keras_side if SIDES[arguments.side].framework == "keras" else torch_side
    run, trainable, untrained = side(arguments)
    run(WARM_UP)
    print(json.dumps({"seconds": run(arguments.steps), "trainable": trainable, "untrained": untrained}))


def in_a_process(name, precision):
    """What `measure` finds in a new process."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **SIDES[name].environment}
    command = [sys.executable, __file__, *sys.argv[1:], "--side", name, "--precision", precision]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {name}: {(result.stderr.strip().splitlines() or [result.returncode])[-1]}")
    return json.loads(result.stdout.splitlines()[-1])


def show(turns, arguments):
    """Prints what the sides took, each turn a dict of (name, precision) -> what `measure` found.

    Raises:
        AssertionError: they are not the same model.
    """
    ours, *others = turns[0].values()
    for kind in ("trainable", "untrained"):
        for theirs in others:
            assert ours[kind] == theirs[kind], f"not the same model: {ours[kind]} {kind} weights and {theirs[kind]}"
    width = f", width {arguments.width}" if arguments.method == "hih" else ""
    print(f"{arguments.method}{width}, {ours['trainable']:,} trainable weights, {ours['untrained']:,} statistics")
    print(f"{arguments.input_size} px, batch {arguments.batch_size}, {arguments.optimizer}")
    print(f"{arguments.threads} threads of {os.cpu_count()} cores, {arguments.turns} turns of {arguments.steps} steps")
    step = {}
    for key in turns[0]:
        step[key] = statistics.median(value for turn in turns for value in turn[key]["seconds"])
        each = ", ".join(f"{1e3 * statistics.median(turn[key]['seconds']):.0f}" for turn in turns)
        rate = f"{1e3 * step[key]:9.1f} ms a step, {arguments.batch_size / step[key]:7.1f} images/s (turns: {each})"
        print(f"{', '.join(key):36} {rate}")
    for precision in arguments.precision:
        fastest = min(seconds for (name, kind), seconds in step.items() if kind == precision and name != OURS)
        print(f"{f'fit over PyTorch, {precision}':36} {fastest / step[OURS, precision]:9.2f}")


def parse(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=METHODS, default="lotr")
    parser.add_argument("--width", type=int, default=256, help="channels of HIH's trunk (default %(default)s, the paper's)")
    parser.add_argument("--input-size", type=int, help="by default the paper's")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--precision", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    parser.add_argument("--channels-last", action="store_true", help="PyTorch in this layout, too")
    parser.add_argument("--steps", type=int, default=20, help="of each turn (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help="only this one, in this process, in the first precision")
    arguments = parser.parse_args(words)
    arguments.input_size = arguments.input_size or METHODS[arguments.method][1]
    return arguments


def main():
    arguments = parse()
    if arguments.side:
        measure(arguments)
        return
    sides = [name for name, side in SIDES.items() if arguments.channels_last or not side.channels_last]
    keys = [(name, precision) for precision in arguments.precision for name in sides]
    show([{key: in_a_process(*key) for key in keys} for _ in range(arguments.turns)], arguments)


if __name__ == "__main__":
    main()
