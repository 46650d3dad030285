"""What a network says of images, in batches: quickly where there are few, by `predict` where there are many."""

import keras
import numpy as np

from kfacealign.data.shares import devices, divisible


def answers(model: keras.Model, images: np.ndarray, batch_size: int, verbose: int) -> list[dict[str, np.ndarray]]:
    """What a model says of images, in parts: `predict` is for several whole batches, or where progress is shown."""
    batch_size = divisible(batch_size, devices() or 1)
    whole, results = len(images) // batch_size * batch_size, []
    if whole > batch_size or (whole and verbose):
        results.append(model.predict(images[:whole], batch_size=batch_size, verbose=verbose))
    elif whole:
        results.append(predicted(model, images[:whole], batch_size))
    if whole < len(images):
        results.append(predicted(model, images[whole:], batch_size))
    return results


def predicted(model: keras.Model, images: np.ndarray, most: int) -> dict[str, np.ndarray]:
    """What `model.predict` gives of up to `most` crops, without its cost of 80 ms a call.

    The batch is filled up to the next power of two, `most` at the highest, so that compilers see few sizes, and to a size that
    several devices can share.

    Args:
        model: images (B, S, S, 3) -> dict of tensors (B, ...).
        images: (N, S, S, 3).
        most: size of the largest batch.
    """
    size = divisible(min(most, 1 << (len(images) - 1).bit_length()), devices() or 1)
    padding = np.broadcast_to(images[-1:], (size - len(images), *images.shape[1:]))
    result = model.predict_on_batch(np.concatenate([images, padding]).astype("float32"))
    return {name: np.asarray(values)[: len(images)] for name, values in result.items()}
