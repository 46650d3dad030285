"""What the target encoding and the input pipeline cost beside a training step.

    python benchmarks/training_step.py [--variant tiny] [--input-size 256]

Prints, from one run: the time to encode targets as a share of a training step, and the images per
second of the input pipeline (cached crops, random views) over those of the training step. The two
are timed in turn, so that a change of the machine's speed meets both.
"""

import argparse
import itertools
import statistics
import tempfile
import time

import numpy as np
import tensorflow as tf

import kfacealign as kfa
from kfacealign.backend import keras

VARIANTS = {"narrow": {"width": 64, "decimal_width": 96}, "tiny": {}, "small": {"stacks": 2}, "base": {"stacks": 4}}


def timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variant", choices=VARIANTS, default="narrow")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=12)
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        kfa.data.write_wflw(f"{folder}/faces", train=args.batch_size * 4, test=1, progress=False)
        crops = kfa.data.Crops(kfa.data.wflw(f"{folder}/faces").train, args.input_size)
        crops.batch(np.arange(len(crops)))
    views = kfa.data.RandomView(scheme="wflw98")
    batches = itertools.chain.from_iterable(
        kfa.data.pipeline(crops, size=args.input_size, batch_size=args.batch_size, views=views, shuffle=True, drop_remainder=True)
        for _ in itertools.count()
    )
    model = kfa.models.HIH("wflw98", input_size=args.input_size, **VARIANTS[args.variant])
    model.compile(keras.optimizers.Adam(1e-4))
    images, labels = next(batches)
    encode = tf.function(model.codec.encode)

    steps, encodings, loads = [], [], []
    for _ in range(args.rounds):
        steps.append(timed(lambda: model.train_on_batch(images, labels)))
        encodings.append(timed(lambda: [maps.numpy() for maps in encode(labels["landmarks"]).values()]))
        # Alone, and long enough that what was prefetched during the step does not count for much.
        loads.append(timed(lambda: [next(batches) for _ in range(8)]) / 8)
    step, encoding, load = (statistics.median(values[2:]) for values in (steps, encodings, loads))
    print(f"HIH {args.variant}, {args.input_size} px, batch {args.batch_size}, medians of {args.rounds - 2} rounds")
    print(f"training step        {1e3 * step:9.1f} ms  {args.batch_size / step:8.1f} images/s")
    print(f"target encoding      {1e3 * encoding:9.1f} ms  {100 * encoding / step:8.2f} % of the step")
    print(
        f"input pipeline       {1e3 * load:9.1f} ms  {args.batch_size / load:8.1f} images/s, {step / load:.2f} times the step's"
    )


if __name__ == "__main__":
    main()
