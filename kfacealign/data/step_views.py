"""Random views inside of a compiled step: a batch brings uint8 crops and the draws of their views.

Such a batch is `({"image": (B, S, S, 3), "draws": (B, D)}, labels)`, and of clips `({"image": (B, T, S, S, 3), "draws":
(B, T, D)}, labels)`. Pixels and labels go through the same draws, so both come out as `kfacealign.data.pipeline` makes them on
the host.
"""

import functools
from collections.abc import Callable
from typing import Any

from kfacealign.backend import ops
from kfacealign.data.views import RandomView


def images_in_view(views: RandomView | None, x: Any) -> Any:
    """The images of a batch in the views that its draws say.

    Args:
        views: what the draws are for.
        x: images (B, S, S, 3), which stay as they are, or a dict of them as `image` and, where there are views, `draws`.

    Returns:
        (B, S, S, 3), or of clips (B, T, S, S, 3): float32, 0..255, where there are draws, and else as they came.

    Raises:
        ValueError: there are draws and `views` is None.
    """
    if not isinstance(x, dict):
        return x
    images = x["image"]
    if "draws" not in x:
        return images
    seen = known(views).view_images(flat(images, 3), flat(x["draws"], 1))
    return seen if len(images.shape) == 4 else ops.reshape(seen, (-1, *images.shape[1:]))


def labels_in_view(views: RandomView | None, x: Any, y: dict[str, Any]) -> dict[str, Any]:
    """The labels of a batch as the views show them: the landmarks are mapped, and values of the points go with their points.

    Args:
        views: what the draws are for.
        x: see `images_in_view`.
        y: labels: `landmarks` (B, K, 2), or of clips (B, T, K, 2) or (B T, K, 2), and others by name. Those of shape (B, K), such
            as `weights` or flags of hidden points, are reordered where a view is mirrored; any others stay as they are.

    Returns:
        The labels, each of its own shape.

    Raises:
        ValueError: there are draws and `views` is None.
    """
    if not isinstance(x, dict) or "draws" not in x:
        return y
    views, shape = known(views), y["landmarks"].shape
    landmarks, affine = views.view_landmarks(flat(y["landmarks"], 2), flat(x["draws"], 1))
    seen = {**y, "landmarks": ops.reshape(landmarks, (-1, *shape[1:]))}
    for name, values in y.items():
        if name != "landmarks" and len(values.shape) == len(shape) - 1 and values.shape[-1] == shape[-2]:
            seen[name] = ops.reshape(views.permute(flat(values, 1), affine), (-1, *values.shape[1:]))
    return seen


def reads_views(call: Callable) -> Callable:
    """A model's `call` of images as one that reads the dict of a batch, too; the model has the method `images_in_view`."""

    @functools.wraps(call)
    def of_batch(self, x, *args, **kwargs):
        return call(self, self.images_in_view(x), *args, **kwargs)

    return of_batch


def known(views):
    """The views, or ValueError where there are none."""
    if views is None:
        raise ValueError("the batch brings draws of random views: give the RandomView they are for to the model's set_views")
    return views


def flat(values, rank):
    """Values whose last `rank` axes are those of one face, with one axis before them."""
    return values if len(values.shape) == rank + 1 else ops.reshape(values, (-1, *values.shape[-rank:]))
