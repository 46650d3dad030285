"""Seconds of a training step of LOTR-M: ours on the TensorFlow backend over the same model in plain PyTorch.

    python benchmarks/lotr_torch.py                              # 192 px, batch 16, two threads
    python benchmarks/lotr_torch.py --batch-size 32 --optimizer sgd --channels-last

Needs the `torch` extra. Each side is trained in a process of its own on as many cores as threads, the sides taking
turns; figures are medians over all steps. PyTorch is measured with threads that wait for each other at work (the
default) and asleep (`OMP_WAIT_POLICY=passive`), because at work they lose many times over to whatever else the machine
does, and compared by the faster. A step is forward, smooth-Wing loss, backward and optimiser on one batch
that lies in memory; ours is `train_on_batch` of the compiled model, which also keeps the NME that `fit` shows. PyTorch
runs eagerly, as it does unless told otherwise; `--channels-last` gives it the layout of memory that its convolutions
may prefer. Both sides must have as many parameters and batch-norm statistics.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

POINTS = 106
# What takes turns: name -> (side, what is added to its environment).
SIDES = {
    "Keras, TensorFlow": ("keras", {}),
    "PyTorch": ("torch", {}),
    "PyTorch, passive waiting": ("torch", {"OMP_WAIT_POLICY": "passive"}),
}
WARM_UP = 3  # steps that trace the graph or fill the caches


def batch(arguments):
    """The images (B, S, S, 3) float32 and landmarks (B, K, 2) of every step."""
    import numpy as np

    generator = np.random.default_rng(0)
    images = generator.uniform(0, 255, (arguments.batch_size, arguments.input_size, arguments.input_size, 3))
    return images.astype("float32"), generator.uniform(0.1, 0.9, (arguments.batch_size, POINTS, 2)).astype("float32")


def keras_side(arguments):
    """(function of one training step, trainable weights, weights that are not trained)."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras  # after kfacealign, which keeps the backend's notices off the console
    import tensorflow as tf

    import kfacealign as kfa

    tf.config.threading.set_intra_op_parallelism_threads(arguments.threads)
    tf.config.threading.set_inter_op_parallelism_threads(arguments.threads)
    images, landmarks = batch(arguments)
    model = kfa.models.LOTR.m("jd106", input_size=arguments.input_size, query_stddev=1.0)
    model.compile(keras.optimizers.Adam(1e-4) if arguments.optimizer == "adam" else keras.optimizers.SGD(1e-4))
    trainable = kfa.models.complexity.trainable_parameters(model)
    # Tensors, as a pipeline hands them out.
    images, labels = tf.constant(images), {"landmarks": tf.constant(landmarks)}
    return lambda: model.train_on_batch(images, labels), trainable, model.network.count_params() - trainable


def torch_side(arguments):
    """As `keras_side`."""
    import torch
    from lotr_torch_model import LOTRM, smooth_wing

    torch.set_num_threads(arguments.threads)
    images, landmarks = map(torch.from_numpy, batch(arguments))
    images = images.permute(0, 3, 1, 2).contiguous()
    model = LOTRM(POINTS, arguments.input_size).train()
    if arguments.channels_last:
        model, images = model.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam if arguments.optimizer == "adam" else torch.optim.SGD
    optimizer = optimizer(model.parameters(), 1e-4)

    def step():
        optimizer.zero_grad()
        loss = smooth_wing(model(images), landmarks)
        loss.backward()
        optimizer.step()
        return loss.item()

    statistics_count = sum(buffer.numel() for name, buffer in model.named_buffers() if "num_batches" not in name)
    return step, sum(parameter.numel() for parameter in model.parameters()), statistics_count


def measure(side, arguments):
    """Trains one side in this process and prints what it took, as JSON."""
    if hasattr(os, "sched_setaffinity"):  # neither side may use more cores than it has threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    step, trainable, untrained = (keras_side if side == "keras" else torch_side)(arguments)
    for _ in range(WARM_UP):
        step()
    seconds = []
    for _ in range(arguments.steps):
        start = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": seconds, "trainable": trainable, "untrained": untrained}))


def in_a_process(side, further):
    """What `measure` finds in a new process; `further` are variables of its environment."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **further}
    command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {side}: {result.stderr.strip().splitlines()[-1]}")
    return json.loads(result.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-size", type=int, default=192)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--optimizer", choices=("adam", "sgd"), default="adam")
    parser.add_argument("--channels-last", action="store_true", help="PyTorch's images and convolutions in this layout")
    parser.add_argument("--steps", type=int, default=20, help="of each turn (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--side", choices=("keras", "torch"), help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.side:
        measure(arguments.side, arguments)
        return

    turns = [{name: in_a_process(*side) for name, side in SIDES.items()} for _ in range(arguments.turns)]
    show(turns, arguments)


def show(turns, arguments):
    """Prints what the sides took, each turn a dict of name -> what `measure` found.

    Raises:
        AssertionError: they are not the same model.
    """
    ours, *theirs = turns[0].values()
    for kind in ("trainable", "untrained"):
        assert ours[kind] == theirs[0][kind], f"not the same model: {ours[kind]} {kind} weights and {theirs[0][kind]}"
    layout = ", PyTorch with channels last" if arguments.channels_last else ""
    weights = f"{ours['trainable']:,} trainable weights"
    print(f"LOTR-M, {weights}, {arguments.input_size} px, batch {arguments.batch_size}, {arguments.optimizer}")
    print(f"{arguments.threads} threads of {os.cpu_count()} cores, {arguments.turns} turns of {arguments.steps} steps{layout}")
    step = {}
    for name in SIDES:
        step[name] = statistics.median(value for turn in turns for value in turn[name]["seconds"])
        each = ", ".join(f"{1e3 * statistics.median(turn[name]['seconds']):.0f}" for turn in turns)
        print(f"{name:25} {1e3 * step[name]:9.1f} ms a step, {arguments.batch_size / step[name]:7.1f} images/s (turns: {each})")
    first, *others = step.values()
    print(f"{'PyTorch / Keras':25} {min(others) / first:9.2f}")


if __name__ == "__main__":
    main()
