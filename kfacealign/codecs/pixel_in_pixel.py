"""Pixel in pixel, the representation of PIPNet (Sec. 3.1 to 3.3)."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kfacealign.codecs.codec import Codec, weighted_mean
from kfacealign.codecs.decoders import argmax_cells
from kfacealign.codecs.heatmap import one_hot_maps

# Stride -> alpha, which equals beta (Sec. 4.1.2).
OFFSET_WEIGHTS = {16: 0.02, 32: 0.1, 64: 0.125, 128: 0.25}


def nearest_neighbors(mean_shape: np.ndarray, count: int) -> np.ndarray:
    """The `count` other points of a mean shape that are closest to each point.

    Args:
        mean_shape: `(K, 2)` in any unit.
        count: number C of neighbours of each point.

    Returns:
        `(K, C)` int64, the closest first.

    Raises:
        ValueError: there are not that many other points.
    """
    shape = np.asarray(mean_shape, "float64")
    if not 0 <= count < len(shape):
        raise ValueError(f"each of {len(shape)} landmarks has 0 to {len(shape) - 1} neighbours, not {count}")
    distance = np.linalg.norm(shape[:, None] - shape[None], axis=-1)
    np.fill_diagonal(distance, -1.0)
    return np.argsort(distance, axis=1, kind="stable")[:, 1 : count + 1]


@keras.saving.register_keras_serializable(package="kfacealign")
class PixelInPixel(Codec):
    """A score for every cell of a coarse map, offsets inside the cell, and offsets of the neighbours.

    Encoding: the positive cell of a landmark is the floor of its position in cells, clipped to the map. The landmark's
    offset and its neighbours' offsets are relative to the top-left corner of this cell, in cells.

    Loss (Eq. 1 to 3, 5 and 6): squared error of the scores over all cells, and absolute error of the offsets at the positive
    cell only, times `offset_weight` (alpha = beta). Eq. 6 prints that a neighbour's offset lies in [0, 1]; it may lie outside,
    as the 1.8 of Fig. 4e does.

    Decoding: the winning cell's corner plus the offset. With neighbours it is the mean of this position and of all votes that
    other landmarks cast for the landmark. A landmark's score is the score of its winning cell.

    Outputs read: `score` `(B, size, size, K)`; at one cell per landmark `x`, `y` `(B, K)`, `neighbor_x`, `neighbor_y`
    `(B, K, C)`. Decoding also reads these cells, `cells` `(B, K, 2)`, and their `scores` `(B, K)`. Self-training reads
    `score_2` and `score_4`, the maps at twice and four times the stride.

    Args:
        neighbor_indices: `(K, C)` table of each landmark's neighbours.
        size: side of the score map in cells.
        offset_weight: alpha and beta of Eq. 5.
        repeated_votes: whether votes are merged as in the authors' release. It repeats the votes for a landmark from the first
            on until all landmarks have equally many, so that some votes count once more than others.

    Attributes:
        neighbors: C, the number of neighbours of each landmark.
        table: `(K, C)` int32, `neighbor_indices`.
        votes: what `voters` returns for the table.
    """

    terms = ("score_loss", "offset_loss", "neighbor_loss")

    def __init__(
        self,
        neighbor_indices: Sequence[Sequence[int]] | np.ndarray,
        size: int,
        *,
        offset_weight: float = 0.1,
        repeated_votes: bool = False,
    ):
        self.neighbor_indices = [[int(index) for index in row] for row in neighbor_indices]
        self.size = size
        self.offset_weight = offset_weight
        self.repeated_votes = repeated_votes
        table = np.array(self.neighbor_indices, "int32").reshape(len(self.neighbor_indices), -1)
        self.neighbors = table.shape[1]
        self.table = table
        self.votes = voters(table, repeated=repeated_votes)
        if not self.neighbors:
            self.terms = ("score_loss", "offset_loss")

    # === Encoding ===

    def cells(self, landmarks: Any, size: int) -> Any:
        """The positive cells: crop coordinates `(B, K, 2)` -> integer-valued float32 `(B, K, 2)`."""
        return ops.clip(ops.floor(landmarks * size), 0.0, size - 1.0)

    def encode(self, landmarks: Any) -> dict[str, Any]:
        cells = self.cells(landmarks, self.size)
        offsets = landmarks * self.size - cells
        targets = {"cells": cells, "x": offsets[..., 0], "y": offsets[..., 1]}
        for factor in (1, 2, 4):
            if self.size % factor == 0:
                size = self.size // factor
                targets["score" if factor == 1 else f"score_{factor}"] = one_hot_maps(self.cells(landmarks, size), size)
        if self.neighbors:
            near = ops.take(landmarks * self.size, self.table, axis=1)
            targets["neighbor_x"] = near[..., 0] - cells[..., 0:1]
            targets["neighbor_y"] = near[..., 1] - cells[..., 1:2]
        return targets

    # === Loss ===

    def loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: Any) -> dict[str, Any]:
        """The terms of Eq. 5.

        Args:
            targets: what `encode` returned.
            outputs: the network's dict.
            weights: `(B, K)`, or what `curriculum` returned.
        """
        if not isinstance(weights, dict):
            weights = {"score": weights, "offset": weights}
        terms = {"score_loss": self.score_loss(targets, outputs, weights)}
        offset = sum(weighted_mean(distance(outputs, targets, name), weights["offset"]) for name in ("x", "y"))
        terms["offset_loss"] = self.offset_weight * offset / 2
        if self.neighbors:
            known = weights["offset"][..., None] * ops.take(weights["offset"], self.table, axis=1)
            names = ("neighbor_x", "neighbor_y")
            vote = sum(weighted_mean(distance(outputs, targets, name), known) for name in names)
            terms["neighbor_loss"] = self.offset_weight * vote / 2
        return terms

    def score_loss(self, targets: dict[str, Any], outputs: dict[str, Any], weights: dict[str, Any]) -> Any:
        """Eq. 2: the mean over all cells of all maps that `weights` names; each cell counts once."""
        total, cells = 0.0, 0.0
        for name in ("score", "score_2", "score_4"):
            if name in weights:
                squared = ops.sum(ops.square(ops.cast(outputs[name], "float32") - targets[name]), axis=(1, 2))
                total = total + ops.sum(squared * weights[name])
                cells = cells + ops.sum(weights[name]) * (targets[name].shape[1] * targets[name].shape[2])
        return total / ops.maximum(cells, 1.0)

    def curriculum(self, weights: Any, unlabelled: Any, task: int) -> dict[str, Any]:
        """The weights of a batch of labelled and pseudo-labelled samples (Sec. 3.3).

        Labelled samples count in everything. A pseudo-labelled sample counts in task 1 only in the map at four times the
        stride, in task 2 only in the map at twice the stride, and in task 3 in everything.

        Args:
            weights: `(B, K)`, 0 = not annotated.
            unlabelled: `(B,)`, 1 for pseudo-labelled samples.
            task: 1, 2 or 3.

        Returns:
            dict: weights `(B, K)` of `score`, `score_2` and `score_4` as far as the task uses them, and of `offset`.
        """
        if task == 3:
            return {"score": weights, "offset": weights}
        labelled = weights * (1.0 - unlabelled)[:, None]
        coarse = "score_4" if task == 1 else "score_2"
        return {"score": labelled, "offset": labelled, coarse: weights * unlabelled[:, None]}

    # === Decoding ===

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        cells = ops.cast(outputs["cells"], "float32")
        x, y = (self.merge(outputs, name, cells[..., axis]) for axis, name in enumerate(("x", "y")))
        return ops.stack([x, y], axis=-1) / self.size, ops.cast(outputs["scores"], "float32")

    def merge(self, outputs: dict[str, Any], name: str, corner: Any) -> Any:
        """One coordinate in cells, `(B, K)`: the mean of the landmark's own prediction and the votes for it.

        Args:
            outputs: the network's dict.
            name: "x" or "y".
            corner: `(B, K)`, this coordinate of the winning cells.
        """
        own = corner + ops.cast(outputs[name], "float32")
        if not self.neighbors:
            return own
        cast = corner[..., None] + ops.cast(outputs[f"neighbor_{name}"], "float32")
        places, shares = self.votes
        found = ops.take(ops.reshape(cast, (-1, len(places) * self.neighbors)), places, axis=1)
        return own * shares[:, 0] + ops.sum(found * shares[:, 1:], axis=-1)

    def locate(self, score: Any) -> tuple[Any, Any]:
        """Score maps `(B, size, size, K)` -> the winning cells `(B, K, 2)` and their scores `(B, K)`."""
        return argmax_cells(score)

    def get_config(self) -> dict[str, Any]:
        return {
            "neighbor_indices": self.neighbor_indices,
            "size": self.size,
            "offset_weight": self.offset_weight,
            "repeated_votes": self.repeated_votes,
        }


def distance(outputs, targets, name):
    """How far an output is from its target, float32 also where the network computes in half precision."""
    return ops.abs(ops.cast(outputs[name], "float32") - targets[name])


def voters(table: np.ndarray, *, repeated: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Which votes each landmark receives, from the table of the votes that each landmark casts.

    Args:
        table: `(K, C)`: landmark i votes for `table[i]`.
        repeated: whether the votes are repeated until all landmarks have equally many.

    Returns:
        places `(K, V)` int32 in the flattened `(K, C)` votes, padded with 0, and shares `(K, 1 + V)` float32. The shares
        are the weights of the landmark's own prediction and of each vote for it: 1 over their number, and 0 for padding. V
        is the largest number of votes for a landmark.
    """
    points = len(table)
    received = [np.flatnonzero(table.reshape(-1) == point) for point in range(points)]
    most = max(map(len, received))
    places = np.zeros((points, most), "int32")
    shares = np.zeros((points, 1 + most), "float32")
    for point, votes in enumerate(received):
        if repeated and len(votes):
            votes = np.resize(votes, most)
        places[point, : len(votes)] = votes
        shares[point, : 1 + len(votes)] = 1.0 / (1 + len(votes))
    return places, shares
