"""Siamese consistency training ("Subpixel Heatmap Regression", Sec. 3.4) for any heatmap model."""

import types
from typing import Any, ClassVar

import numpy as np
from keras import ops

from kfacealign.codecs.codec import weighted_mean
from kfacealign.codecs.heatmap import HeatmapCodec
from kfacealign.data.image_ops import sample_affine
from kfacealign.data.views import RandomView
from kfacealign.models.aligner import FaceAligner, labels


class Siamese(FaceAligner):
    """Trains a heatmap model on two random views of every crop at a time.

    Both views go through the network as one batch. Their heatmaps are warped back to the crop by the inverse of the
    view, the maps of mirrored landmarks change places, and the two are added (Eq. 6); the sum is supervised by the crop's own
    heatmap under L2, as the term `siamese_loss`. The paper leaves open whether single views are supervised too. Here
    they are, by the codec's own loss against the landmarks as the view shows them, with the same weight, because
    otherwise nothing would fix the share that each view has in the sum. Where one view does not show a cell, the other
    view is judged alone. The sum is divided by two, so that both terms have the scale of a heatmap loss.

    The network, its weights and its codec are those of `aligner`, which is trained through this and remains the
    model to use, evaluate and export; `save` writes it, with the optimiser. To go on with a saved one, wrap what was
    loaded: its optimiser is taken over.

    Args:
        aligner: a `FaceAligner` with a `HeatmapCodec`.
        views: the `RandomView` whose views are drawn; batches come without views of their own.
        weight: of `siamese_loss`.

    Raises:
        ValueError: the model has no heatmaps; `views` is None.

    Example:
        >>> model = kfacealign.models.FAN("ibug68")
        >>> siamese = Siamese(model, kfacealign.data.RandomView.subpixel("ibug68"))
        >>> siamese.compile(keras.optimizers.Adam(1e-4))
        >>> siamese.fit(kfacealign.data.pipeline(faces.train, size=256, batch_size=16, shuffle=True), epochs=50)
        >>> landmarks, scores = model.align(crops)
    """

    extra_terms: ClassVar[tuple[str, ...]] = ("siamese_loss",)

    def __init__(self, aligner: FaceAligner, views: RandomView, *, weight: float = 1.0):
        if not isinstance(aligner.codec, HeatmapCodec):
            raise ValueError(f"Siamese training compares heatmaps, and {type(aligner.codec).__name__} has none")
        if views is None:
            raise ValueError("Siamese training draws its own views: pass views=RandomView(...)")
        name = f"{aligner.name}_siamese"
        super().__init__(aligner.network, aligner.codec, aligner.scheme, enlarge=aligner.enlarge, name=name)
        # Out of Keras' sight, which would count its weights and metrics again.
        self._plain = types.SimpleNamespace(aligner=aligner)
        self.views = views
        self.weight = weight
        if aligner.compiled:
            self.compile(aligner.optimizer)

    @property
    def aligner(self) -> FaceAligner:
        """The model that is trained."""
        return self._plain.aligner

    def compile(self, optimizer: Any = "adam", **kwargs: Any) -> None:
        """Compiles this model and `aligner`, which share the optimiser."""
        super().compile(optimizer, **kwargs)
        self.aligner.compile(self.optimizer, **kwargs)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Writes `aligner`, with its optimiser."""
        self.aligner.save(filepath, *args, **kwargs)

    # === Training ===

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """The network's answer to the crops; in training its answer to two views of each crop.

        Returns:
            Dict of raw outputs, of 2 B views in training, the first of every crop before the second of any; and then
            `affine` `(2B, 2, 3)`, crop coordinates -> coordinates of the view.
        """
        if not training:
            return self.network(images, training=training)
        twice = ops.concatenate([images, images], axis=0)
        nowhere = ops.zeros((ops.shape(twice)[0], self.scheme.num_points, 2))
        shown, _, affine = self.views((twice, nowhere))
        return {**self.network(shown, training=True), "affine": affine}

    def in_views(self, y: dict, affine: Any) -> tuple[Any, Any]:
        """The labels of a batch as its two views show them: landmarks `(2B, K, 2)` and weights `(2B, K)`."""
        landmarks, weights = (ops.concatenate([value, value], axis=0) for value in labels(y))
        x, y = landmarks[..., 0], landmarks[..., 1]
        rows = [affine[:, i, 0, None] * x + affine[:, i, 1, None] * y + affine[:, i, 2, None] for i in (0, 1)]
        return self.views.permute(ops.stack(rows, axis=-1), affine), self.views.permute(weights, affine)

    def loss_terms(self, y: dict, outputs: dict) -> dict[str, Any]:
        """The terms of the codec on both views and, in training, `siamese_loss`; see `FaceAligner.loss_terms`."""
        if "affine" not in outputs:
            return super().loss_terms(y, outputs)
        outputs = dict(outputs)
        affine = outputs.pop("affine")
        landmarks, weights = self.in_views(y, affine)
        terms = super().loss_terms({"landmarks": landmarks, "weights": weights}, outputs)
        landmarks, weights = labels(y)
        target = self.codec.encode(landmarks)["heatmap"]
        errors = [
            weighted_mean(self.disagreement(self.in_crop(maps, affine), target), weights)
            for maps in self.codec.stack_maps(outputs)
        ]
        terms["siamese_loss"] = self.weight * sum(errors) / len(errors)
        return terms

    def in_crop(self, maps: Any, affine: Any) -> tuple[Any, Any]:
        """Maps of views `(2B, h, w, K)` as they lie in the crop, and where they are known `(2B, h, w, 1)`."""
        maps, known = warp_back(maps, affine, self.codec.cell_centre)
        # `permute` reorders the second axis; reordering is its own inverse.
        by_point = self.views.permute(ops.transpose(maps, (0, 3, 1, 2)), affine)
        return ops.transpose(by_point, (0, 2, 3, 1)), known

    @staticmethod
    def disagreement(warped: tuple[Any, Any], target: Any) -> Any:
        """Mean over the cells of ((h_1 m_1 + h_2 m_2 - t (m_1 + m_2)) / 2)^2, `(B, K)`.

        h are the warped maps of the two views, m is 1 where a view shows the cell, t is the target.
        """
        maps, known = warped
        first, second = ops.split(maps * known, 2, axis=0)
        known_first, known_second = ops.split(known, 2, axis=0)
        difference = 0.5 * (first + second - target * (known_first + known_second))
        return ops.mean(ops.square(difference), axis=(1, 2))

    def compute_metrics(self, x: Any, y: dict, y_pred: dict, sample_weight: Any = None) -> dict[str, Any]:
        """As of `FaceAligner`; in training the landmarks are compared within the views."""
        if "affine" in y_pred:
            outputs = dict(y_pred)
            landmarks, weights = self.in_views(y, outputs.pop("affine"))
            return super().compute_metrics(x, {"landmarks": landmarks, "weights": weights}, outputs, sample_weight)
        results = super().compute_metrics(x, y, y_pred, sample_weight)
        results.pop("siamese_loss", None)  # nothing was measured
        return results

    def get_metrics_result(self) -> dict[str, Any]:
        """As of `FaceAligner`; `siamese_loss` is there during a warm-up, too."""
        results = super().get_metrics_result()
        if self.warmup:
            results["siamese_loss"] = self.term_means["siamese_loss"].result()
        return results


def warp_back(maps: Any, affine: Any, cell_centre: float) -> tuple[Any, Any]:
    """Heatmaps of views, resampled in the frame of the crop: bilinear and differentiable in the maps.

    Args:
        maps: `(B, h, w, K)`.
        affine: `(B, 2, 3)`, crop coordinates -> coordinates of the view, as `RandomView` returns it.
        cell_centre: cell i of n stands for `(i + cell_centre) / n`.

    Returns:
        `(B, h, w, K)` float32, 0 outside of the view; `(B, h, w, 1)` float32, 1 in the cells that lie between cells of
        the view and 0 in others.
    """
    maps = ops.cast(maps, "float32")
    _, height, width, _ = maps.shape
    sides, moved = (width, height), 0.5 - cell_centre
    rows, places = [], []
    columns = (np.arange(width, dtype="float32") + cell_centre)[None, None, :] / width
    lines = (np.arange(height, dtype="float32") + cell_centre)[None, :, None] / height
    for axis in (0, 1):
        side = sides[axis]
        across, down, shift = affine[:, axis, 0], affine[:, axis, 1], affine[:, axis, 2]
        # The same map from cells to cells, about the middle of the maps as `sample_affine` wants it.
        centre = side * (shift + 0.5 * across + 0.5 * down - 0.5)
        offset = moved * (1.0 - across * (side / width) - down * (side / height))
        rows.append((across * (side / width), down * (side / height), centre + offset))
        position = across[:, None, None] * columns + down[:, None, None] * lines + shift[:, None, None]
        cell = position * side - cell_centre
        places.append(ops.logical_and(cell >= -1e-3, cell <= side - 1.0 + 1e-3))
    known = ops.cast(ops.logical_and(*places), "float32")
    return sample_affine(maps, rows), known[..., None]
