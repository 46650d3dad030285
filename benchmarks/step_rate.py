"""How much of the network's own speed `fit` keeps, for each method.

    python benchmarks/step_rate.py                                    # minutes on a CPU
    KERAS_BACKEND=jax python benchmarks/step_rate.py --paper --input-size 256 --batch-size 64 --precision bfloat16

The reference is the bare step: forward, loss against encoded targets, backward and optimiser, compiled, on one batch that
lies on the device. Beside it stand that step with the encoding of targets and the decoding for the metric, that with random
views, too, and `fit` on a pipeline. All are timed in turn, so that a change of the machine's speed meets all. The last column
is `fit`'s images a second over those of the bare step; shares are of a step of `fit`.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np

import kfacealign as kfa
from kfacealign.backend import keras
from kfacealign.data.step_views import images_in_view
from kfacealign.fused_norms import fused_batch_norms
from kfacealign.training.loop import PRECISIONS

# Networks of the papers, and narrow ones whose steps a CPU makes in a moment.
PAPER = {
    "HIH": (kfa.models.HIH, {}),
    "PIPNet": (kfa.models.PIPNet, {"backbone": "resnet18"}),
    "PIPNet Lite0": (kfa.models.PIPNet, {"backbone": "efficientnet_lite0"}),
    "LOTR": (kfa.models.LOTR, {}),
    "FAN": (kfa.models.FAN, {}),
    "1D heatmaps": (kfa.models.AttentiveHeatmap1D, {}),
}
SMALL = {
    "HIH": (kfa.models.HIH, {"width": 64, "decimal_width": 96}),
    "PIPNet": (kfa.models.PIPNet, {"backbone": "resnet18", "backbone_width": 0.5}),
    "LOTR": (kfa.models.LOTR, {}),
    "FAN": (kfa.models.FAN, {"stacks": 1, "width": 64}),
    "1D heatmaps": (kfa.models.AttentiveHeatmap1D, {"stacks": 1, "width": 64}),
}
WITH_BACKBONE = (kfa.models.PIPNet, kfa.models.LOTR)


class Clock(keras.callbacks.Callback):
    """The seconds of each epoch, without what `fit` does before the first."""

    def on_train_begin(self, logs=None):
        self.seconds = []

    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        self.seconds.append(time.perf_counter() - self.start)


class Stage:
    """One compiled step of a model, and the batch on the device that it is made on."""

    def __init__(self, model, batch):
        self.model, self.batch = model, keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
        model.make_train_function(force=True)
        self.function = model.train_function
        self.run(2)

    def run(self, count):
        """Seconds of a step, of so many without a pause."""
        if keras.config.backend() == "jax":
            parts = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
            state, start = self.model._get_jax_state(**dict.fromkeys(parts, True)), time.perf_counter()
            for _ in range(count):
                logs, state = self.function(state, iter([self.batch]))
            float(logs["loss"])
            seconds = time.perf_counter() - start
            self.model._jax_state, self.model._jax_state_synced = dict(zip(parts, state, strict=True)), False
            self.model.jax_state_sync()
            self.model._jax_state = None
            return seconds / count
        import tensorflow as tf

        iterator = iter(tf.data.Dataset.from_tensors(self.batch).repeat())
        start = time.perf_counter()
        for _ in range(count):
            logs = self.function(iterator)
        float(logs["loss"])
        return (time.perf_counter() - start) / count


def bare(model):
    """Makes the model's loss read encoded targets from the labels, and leaves out its metric; returns what undoes it."""
    terms, encode = model.loss_terms, model.codec.encode

    def loss_terms(y, outputs):
        model.codec.encode = lambda _: y["targets"]
        try:
            return terms(y, outputs)
        finally:
            model.codec.encode = encode

    def undo():
        del model.loss_terms, model.compute_metrics

    model.loss_terms = loss_terms
    model.compute_metrics = lambda x, y, y_pred, sample_weight=None: model.get_metrics_result()
    return undo


def measure(model, crops, views, args):
    """Median seconds of a step by stage."""
    options = {"size": args.input_size, "batch_size": args.batch_size, "shuffle": True, "drop_remainder": True}
    x, y = kfa.data.FaceBatches(crops, views=views, views_on="device", **options)[0]
    model.set_views(views)
    seen = images_in_view(views, x)
    with fused_batch_norms(model):  # as `fit` does
        undo = bare(model)
        stages = {"bare": Stage(model, (seen, {**y, "targets": model.codec.encode(y["landmarks"])}))}
        undo()
        stages["encoding"] = Stage(model, (seen, y))
        stages["views"] = Stage(model, (x, y))
    clock, times = Clock(), {name: [] for name in (*stages, "fit")}
    batches = kfa.data.pipeline(crops, views=views, views_on="device", **options)
    for _ in range(args.rounds):
        for name, stage in stages.items():
            times[name].append(stage.run(args.steps))
        model.fit(batches, epochs=1, callbacks=[clock], verbose=0)
        times["fit"].append(clock.seconds[0] / args.steps)
    return {name: statistics.median(seconds[1:]) for name, seconds in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--paper", action="store_true", help="the papers' networks instead of narrow ones")
    parser.add_argument("--methods", nargs="+", choices=PAPER, metavar="NAME")
    parser.add_argument("--input-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="in a round")
    parser.add_argument("--rounds", type=int, default=4, help="the first does not count")
    parser.add_argument("--precision", choices=PRECISIONS, default="float32")
    args = parser.parse_args()

    keras.config.set_dtype_policy(PRECISIONS[args.precision])
    with tempfile.TemporaryDirectory() as folder:
        kfa.data.write_wflw(f"{folder}/faces", train=args.batch_size * args.steps, test=1, progress=False)
        cache = "device" if keras.config.backend() == "jax" else "memory"
        crops = kfa.data.Crops(kfa.data.wflw(f"{folder}/faces").train, args.input_size, cache=cache)
        crops.batch(np.arange(len(crops)))
    views = kfa.data.RandomView.paper("wflw98")
    print(f"{args.input_size} px, batch {args.batch_size}, {args.precision}, {keras.config.backend()}")
    print(f"{'method':14}{'bare':>12}{'fit':>12}   {'encoding':>9}{'views':>9}{'input':>9}{'fit/bare':>10}")
    networks = PAPER if args.paper else SMALL
    for name in args.methods or networks:
        method, settings = networks[name]
        settings = settings | ({"backbone_weights": None} if method in WITH_BACKBONE else {})
        model = method("wflw98", input_size=args.input_size, **settings)
        model.compile(kfa.training.adam(1e-4))
        model.optimizer.build(model.trainable_variables)
        found = measure(model, crops, views, args)
        ends = (found["encoding"] - found["bare"], found["views"] - found["encoding"], found["fit"] - found["views"])
        shares = "".join(f"{100 * share / found['fit']:8.1f}%" for share in ends)
        rates = "".join(f"{args.batch_size / found[stage]:8.1f} i/s" for stage in ("bare", "fit"))
        print(f"{name:14}{rates}   {shares}{found['bare'] / found['fit']:10.2f}", flush=True)


if __name__ == "__main__":
    main()
