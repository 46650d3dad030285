"""Where a step of `fit` goes on the CPU, by kind of operation, and what other ways to compute it gain.

    python benchmarks/fit_profile.py                                           # HIH, PIPNet, FAN of the papers, two threads
    python benchmarks/fit_profile.py --narrow --input-size 128
    python benchmarks/fit_profile.py --gains onednn bfloat16 heads batch_norm stem

TensorFlow's profiler says how long each operation took. Operations come one after the other, each on all threads, so that their
times add up to the step; what is missing is Python, waiting for the input, and the executor. The profiler slows steps down,
most where operations are small: a line has a step with it and without. `fit` reads a pipeline of rendered faces with random
views that are made in the step.

With `--gains`, `fit` as it is and with one change at a time are trained in processes of their own that take turns; a gain is
the images a second with the change over those without: bfloat16, oneDNN (of `TF_ENABLE_ONEDNN_OPTS=0` against it), offsets of
PIPNet gathered at one cell (of dense heads against it), TensorFlow's fused kernel of batch norms (of Keras' own against it),
eight channels in place of the three that the first convolution reads.
"""

import argparse
import collections
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rich.table import Table
from step_rate import PAPER, SMALL, WITH_BACKBONE, Clock

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.console import make_console
from kfacealign.training.loop import PRECISIONS

METHODS = ("HIH", "PIPNet Lite0", "FAN")
# The first that matches says the kind: what it is called, and a pattern of "scopes/node:Type".
KINDS = (
    ("optimiser", r"/(adam|adamw|sgd|lamb)(_\d+)?/"),
    ("batch norm, backward", r"gradient_tape/.*(/(batchnorm|moments)/|FusedBatchNorm)"),
    ("batch norm, forward", r"/(batchnorm|moments)/|FusedBatchNorm|_?bn\d*(_\d+)?/"),
    ("depthwise, backward", r":\w*Depthwise\w*Backprop"),
    ("depthwise, forward", r":\w*Depthwise"),
    ("convolution, by kernels", r":\w*Conv2DBackpropFilter"),
    ("convolution, by inputs", r":\w*Conv2DBackpropInput"),
    ("convolution, forward", r":\w*Conv2D"),
    ("pooling", r":\w*Pool"),
    ("products, transposition", r":\w*(MatMul|Transpose|Resize)"),
    ("input", r":\w*(Iterator|Optional)"),
    ("network, other, backward", r"gradient_tape/"),
    ("network, other, forward", r"/network(_\d+)?/"),
    ("views, loss, metric", r""),
)
# Gain -> (environment, flags) of the process with the change, and whether the change is what `fit` has not.
GAINS = {
    "bfloat16": ({}, ["--precision", "bfloat16"], True),
    "onednn": ({"TF_ENABLE_ONEDNN_OPTS": "0"}, [], False),
    "heads": ({}, ["--variant", "dense_heads"], False),
    "batch_norm": ({}, ["--variant", "plain_batch_norms"], False),
    "stem": ({}, ["--variant", "wide_stems"], True),
}


# === A model and its `fit` ===


def compiled(name, args):
    """The method's model, untrained, in the variant that is asked for; None where the method has no such variant."""
    method, settings = SMALL.get(name, PAPER[name]) if args.narrow else PAPER[name]
    settings = settings | ({"backbone_weights": None} if method in WITH_BACKBONE else {})
    model = method("wflw98", input_size=args.input_size, **settings)
    if args.variant:
        import fit_variants

        model = getattr(fit_variants, args.variant)(model)
    if model is not None:
        model.compile(kfa.training.adam(1e-4))
    return model


def pipeline(args):
    """An epoch of `args.steps` batches of rendered faces."""
    with tempfile.TemporaryDirectory() as folder:
        kfa.data.write_wflw(f"{folder}/faces", train=args.batch_size * args.steps, test=1, progress=False)
        crops = kfa.data.Crops(kfa.data.wflw(f"{folder}/faces").train, args.input_size, cache="memory")
        crops.batch(np.arange(len(crops)))
    views = kfa.data.RandomView.paper("wflw98")
    options = {"size": args.input_size, "batch_size": args.batch_size, "shuffle": True, "drop_remainder": True}
    return views, kfa.data.pipeline(crops, views=views, views_on="device", **options)


def seconds_of_steps(model, batches, args, rounds):
    """Seconds of a step of `fit`, in each of so many epochs."""
    clock = Clock()
    found = []
    for _ in range(rounds):
        model.fit(batches, epochs=1, callbacks=[clock], verbose=0)
        found.append(clock.seconds[0] / args.steps)
    return found


# === The profile ===


def profile(model, batches, args):
    """Milliseconds of a step by kind, and those of a whole step with the profiler and without it."""
    import tensorflow as tf

    plain = statistics.median(seconds_of_steps(model, batches, args, 1 + args.rounds)[1:])  # the first is traced
    with tempfile.TemporaryDirectory() as folder:
        options = tf.profiler.experimental.ProfilerOptions(host_tracer_level=2, python_tracer_level=0, device_tracer_level=0)
        tf.profiler.experimental.start(folder, options=options)
        (profiled,) = seconds_of_steps(model, batches, args, 1)
        tf.profiler.experimental.stop()
        (trace,) = Path(folder).rglob("*.xplane.pb")
        kinds = seconds_by_kind(trace)
    kinds = {kind: 1e3 * seconds / args.steps for kind, seconds in kinds.items()}
    return kinds, 1e3 * profiled, 1e3 * plain


def seconds_by_kind(trace):
    """Kind -> the seconds that operations took of their own, from the profiler's file."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space = xplane_pb2.XSpace()
    space.ParseFromString(trace.read_bytes())
    found = collections.Counter()
    for plane in space.planes:
        names = {number: metadata.name for number, metadata in plane.event_metadata.items()}
        for line in plane.lines:
            if line.name.startswith("tf_Compute"):
                events = [(event.offset_ps, event.duration_ps, names[event.metadata_id]) for event in line.events]
                for name, picoseconds in own_times(events):
                    found[kind_of(name)] += picoseconds / 1e12
    return found


def own_times(events):
    """(begin, duration, name) of a thread's events -> (name, duration without the operations inside) of its operations."""
    operations = sorted((event for event in events if is_operation(event[2])), key=lambda event: (event[0], -event[1]))
    open_ones, found = [], []
    for begin, duration, name in operations:
        while open_ones and open_ones[-1][0] <= begin:
            open_ones.pop()
        if open_ones:
            found[open_ones[-1][1]][1] -= duration
        open_ones.append((begin + duration, len(found)))
        found.append([name, duration])
    return found


def is_operation(name):
    """Whether the event is an operation of the graph, "scopes/node:Type", and not of the executor."""
    return re.fullmatch(r"[^:]+:\w+", name) is not None


def kind_of(name):
    return next(kind for kind, pattern in KINDS if re.search(pattern, name))


def show_profiles(args, console):
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    views, batches = pipeline(args)
    console.print(f"{args.input_size} px, batch {args.batch_size}, {args.precision}, {args.threads} threads")
    for name in args.methods:
        model = compiled(name, args)
        model.set_views(views)
        kinds, profiled, plain = profile(model, batches, args)
        console.print(f"\n{name}: a step takes {plain:.1f} ms, {profiled:.1f} ms while it is profiled")
        table = Table("kind", "ms", "%")
        kinds["Python, executor, waiting"] = profiled - sum(kinds.values())
        for kind, milliseconds in sorted(kinds.items(), key=lambda item: -item[1]):
            table.add_row(kind, f"{milliseconds:.2f}", f"{100 * milliseconds / profiled:.1f}")
        console.print(table)


# === Gains ===


def measure(args):
    """Trains the one method that is named in this process, and prints the seconds of its steps as JSON."""
    import tensorflow as tf

    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    model = compiled(args.methods[0], args)
    if model is None:
        print("null")
        return
    views, batches = pipeline(args)
    model.set_views(views)
    print(json.dumps(seconds_of_steps(model, batches, args, 1 + args.rounds)[1:]))


def in_a_process(name, environment, flags):
    command = [sys.executable, __file__, *sys.argv[1:], "--methods", name, "--measure", *flags]
    result = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)
    if result.returncode:
        told = " ".join([f"{key}={value}" for key, value in environment.items()] + flags) or "as it is"
        sys.exit(f"error: {name}, {told}: status {result.returncode}, {reason(result.stderr)}")
    return json.loads(result.stdout.splitlines()[-1])


def reason(errors):
    """The line that says why a process ended: the fatal one of TensorFlow's log, else the last."""
    lines = errors.strip().splitlines() or ["which gave no reason"]
    return next((line for line in lines if re.match(r"F\d{4} |.* F tensorflow", line)), lines[-1])


def show_gains(args, console):
    size = f"{args.input_size} px, batch {args.batch_size}, {args.threads} threads"
    console.print(f"{size}, {args.turns} turns of {args.rounds} epochs of {args.steps} steps; gains are ratios of images/s")
    table = Table("method", "images/s", *args.gains)
    for name in args.methods:
        kinds = {"as it is": ({}, []), **{gain: GAINS[gain][:2] for gain in args.gains}}
        turns = [{kind: in_a_process(name, *how) for kind, how in kinds.items()} for _ in range(args.turns)]
        step = {kind: median_of(turn[kind] for turn in turns) for kind in kinds}
        base = step.pop("as it is")
        cells = (gain_cell(base / seconds, GAINS[gain][2]) if seconds else "" for gain, seconds in step.items())
        table.add_row(name, f"{args.batch_size / base:.1f}", *cells)
    console.print(table)


def median_of(turns):
    """The median of all turns' values; None where there are none."""
    values = [value for turn in turns for value in turn or ()]
    return statistics.median(values) if values else None


def gain_cell(ratio, is_new):
    """The gain, from the rate with the change over the rate without: its inverse where the change is to do without."""
    return f"{ratio if is_new else 1 / ratio:.2f}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=PAPER, default=list(METHODS), metavar="NAME")
    parser.add_argument("--narrow", action="store_true", help="narrow networks in place of the papers', where there are")
    parser.add_argument("--gains", nargs="+", choices=GAINS, help="these gains in place of the profile")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    parser.add_argument("--input-size", type=int, default=256)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=6, help="of an epoch (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=2, help="epochs that count (default %(default)s)")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--variant", help="a function of fit_variants.py")
    parser.add_argument("--measure", action="store_true", help="the seconds of the first method's steps, as JSON")
    args = parser.parse_args()
    if keras.config.backend() != "tensorflow":
        parser.error(f"the profiler is TensorFlow's, and the backend is {keras.config.backend()}")
    if hasattr(os, "sched_setaffinity"):  # no more cores than threads
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    keras.config.set_dtype_policy(PRECISIONS[args.precision])
    if args.measure:
        measure(args)
    elif args.gains:
        show_gains(args, make_console())
    else:
        show_profiles(args, make_console())


if __name__ == "__main__":
    main()
