"""Pruning: weights of small magnitude become zero while the rest is trained on, by tensorflow-model-optimization."""

import gzip
import os
from pathlib import Path
from typing import Any

import keras
import numpy as np

from kfacealign.deploy.compression.tf_keras_twin import tf_keras, tfmot
from kfacealign.deploy.compression.twin_aligner import TwinnedAligner
from kfacealign.models.aligner import FaceAligner

# Depthwise convolutions are not pruned, nor is the first convolution: their kernels are few weights that matter much.
PRUNED = ("Conv2D", "Conv2DTranspose", "Dense", "Offsets")
# Number of times that the share of zeros is raised.
UPDATES = 50


@keras.saving.register_keras_serializable(package="kfacealign")
class PrunedAligner(TwinnedAligner):
    """An aligner that is trained while more and more of its weights are set to zero, the smallest first.

    The share of zeros in every kernel grows from 0 to `sparsity` by a polynomial of third degree until step `end_step`
    (Zhu and Gupta, "To prune, or not to prune"); then it stays. Depthwise convolutions and the first convolution are not
    pruned. Fit the model with the callback `MaskWeights`.

    Args:
        aligner: a trained `FaceAligner`, which stays as it is.
        sparsity: share of zeros, in (0, 1).
        end_step: training step at which it is reached.

    Raises:
        ValueError: a layer has no twin, see `tf_keras_twin.twin`; `sparsity` or `end_step` is out of its range.

    Example:
        >>> model = PrunedAligner(kfacealign.deploy.load("pipnet.keras"), sparsity=0.75, end_step=2000)
        >>> model.compile(keras.optimizers.Adam(1e-4))
        >>> model.fit(batches, epochs=10, callbacks=[MaskWeights()])
        >>> model.trained_aligner().save("pipnet_75.keras")
    """

    def __init__(self, aligner: FaceAligner, *, sparsity: float, end_step: int, **kwargs: Any):
        if not 0 < sparsity < 1:
            raise ValueError(f"sparsity is a share of the weights between 0 and 1, got {sparsity}")
        if end_step < 1:
            raise ValueError(f"end_step is at least 1, got {end_step}")
        self.sparsity = sparsity
        self.end_step = end_step
        super().__init__(aligner, **kwargs)

    def prepare(self, twin: tf_keras.Model) -> tf_keras.Model:
        # The last update must fall on the step at which the sparsity is reached.
        frequency = max(1, self.end_step // UPDATES)
        end = self.end_step // frequency * frequency
        schedule = tfmot.sparsity.keras.PolynomialDecay(0.0, self.sparsity, 0, end, frequency=frequency)

        def prune(layer):
            copy = type(layer).from_config(layer.get_config())
            if type(layer).__name__ not in PRUNED or layer.input_shape[-1] == 3:
                return copy
            return tfmot.sparsity.keras.prune_low_magnitude(copy, schedule)

        model = tf_keras.models.clone_model(twin, clone_function=prune)
        for layer, original in zip(model.layers, twin.layers, strict=True):
            layer.set_weights(original.get_weights())
            if hasattr(layer, "pruning_step"):
                layer.pruning_step.assign(0)
        return model

    def mask(self) -> None:
        """Sets the pruned weights to zero again; the optimiser's last step has moved them."""
        for twin in self.twins.values():
            for layer in twin.model.layers:
                if hasattr(layer, "pruning_obj"):
                    layer.pruning_obj.weight_mask_op()

    def trained_weights(self, model: tf_keras.Model) -> dict[str, list[np.ndarray]]:
        return super().trained_weights(tfmot.sparsity.keras.strip_pruning(model))

    def get_config(self) -> dict:
        return {**super().get_config(), "sparsity": self.sparsity, "end_step": self.end_step}


class MaskWeights(keras.callbacks.Callback):
    """Makes the weights of a `PrunedAligner` sparse again at the end of every epoch."""

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.model.mask()


def sparsities(aligner: FaceAligner) -> list[tuple[str, int, float]]:
    """The share of zeros in the kernels of an aligner.

    Returns:
        List of (name of the layer, number of weights, share of zeros), one for each kernel.
    """
    found = []
    for variable in aligner.network.trainable_variables:
        if variable.path.endswith("kernel"):
            values = keras.ops.convert_to_numpy(variable)
            found.append((variable.path.removesuffix("/kernel"), values.size, float(np.mean(values == 0))))
    return found


def zipped_size(path: str | os.PathLike) -> int:
    """Number of bytes of a file when gzip has compressed it, as in a download or an app's package."""
    return len(gzip.compress(Path(path).read_bytes(), mtime=0))
