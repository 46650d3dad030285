"""PIPNet: pixel-in-pixel regression with neighbours (Sec. 3, figure 3d)."""

import os
from collections.abc import Container, Sequence
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.pixel_in_pixel import OFFSET_WEIGHTS, PixelInPixel, nearest_neighbors
from kfacealign.layers.pixel_in_pixel import Locate, OffsetsAtCells, PixelInPixelHead, features_at_cells, locate
from kfacealign.models.aligner import FaceAligner, labels
from kfacealign.models.backbones import backbone as make_backbone
from kfacealign.models.inference import DecodeLandmarks, InferencePart
from kfacealign.models.variants import Variant


@keras.saving.register_keras_serializable(package="kfacealign")
class PIPNet(FaceAligner):
    """A classification backbone with a pixel-in-pixel head.

    Table 9 gives the size at 68 landmarks, 10 neighbours and 256 px, in millions of parameters and billions of multiply-adds:
    12.0 and 2.4 with ResNet-18, 26.7 and 5.6 with ResNet-50, 45.7 and 10.5 with ResNet-101, 4.2 and 0.5 with MobileNetV2, 4.5
    and 0.4 with MobileNetV3. The table counts the head at every cell; this model evaluates its offsets at one cell per
    landmark.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: one of `kfacealign.models.backbones.BACKBONES`; `efficientnet_lite0` is not the paper's.
        backbone_weights: "imagenet", None for random weights, or the path of a trained model (.keras) whose backbone is copied.
        stride: 16, 32, 64 or 128 pixels of the crop for each cell (Sec. 4.2.1).
        neighbors: how many neighbours each landmark predicts, 0 for plain PIP regression; or a `(K, C)` table of their
            indices.
        mean_shape: `(K, 2)` shape in which the neighbours are found; by default the scheme's.
        input_size: side of the crops in pixels, a multiple of the stride and of 32.
        backbone_width: factor on the backbone's channels.
        last_expansion: see `kfacealign.models.backbones.backbone`; without EfficientNet-Lite0's last expansion the head reads
            320 channels in place of 1,280, and the file is a third smaller.
        offset_weight: alpha and beta of Eq. 5; by default the values of Sec. 4.1.2 for the stride.
        repeated_votes: see `PixelInPixel`; imported checkpoints have it.
        enlarge: see `FaceAligner`.

    Outputs of the network: `score` `(B, S/stride, S/stride, K)`, and `features`, from which the offsets are computed.

    Attributes:
        task: what samples with the label `unlabelled` are trained on (Sec. 3.3): 1 is the score map at four times the stride,
            2 the score map at twice the stride, and 3 everything.

    Raises:
        ValueError: an argument is out of its range, or weights cannot be fetched, see `kfacealign.models.backbones.backbone`.

    Example:
        >>> model = PIPNet("wflw98", backbone="mobilenet_v2", backbone_weights="imagenet")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    feature_layer = "features"
    variants = (
        Variant("MobileNetV2", {"backbone": "mobilenet_v2"}, parameters="4.2", gflops="0.5"),
        Variant("MobileNetV3", {"backbone": "mobilenet_v3_large"}, parameters="4.5", gflops="0.4"),
        Variant("ResNet-18", {"backbone": "resnet18"}, parameters="12.0", gflops="2.4"),
        Variant("ResNet-50", {"backbone": "resnet50"}, parameters="26.7", gflops="5.6"),
        Variant("ResNet-101", {"backbone": "resnet101"}, parameters="45.7", gflops="10.5"),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        backbone: str = "resnet18",
        *,
        backbone_weights: str | os.PathLike | None = None,
        stride: int = 32,
        neighbors: int | np.ndarray | Sequence[Sequence[int]] = 10,
        mean_shape: np.ndarray | None = None,
        input_size: int = 256,
        backbone_width: float = 1.0,
        last_expansion: bool = True,
        offset_weight: float | None = None,
        repeated_votes: bool = False,
        enlarge: float = 1.2,
        **kwargs: Any,
    ):
        if stride not in OFFSET_WEIGHTS:
            raise ValueError(f"stride is one of {', '.join(map(str, OFFSET_WEIGHTS))}, not {stride}")
        if input_size <= 0 or input_size % max(stride, 32):
            raise ValueError(f"input_size must be a multiple of {max(stride, 32)} at stride {stride}, got {input_size}")
        scheme = schemes.get(scheme)
        table = neighbor_table(scheme, neighbors, mean_shape=mean_shape)
        codec = PixelInPixel(
            neighbor_indices=table,
            size=input_size // stride,
            offset_weight=OFFSET_WEIGHTS[stride] if offset_weight is None else offset_weight,
            repeated_votes=repeated_votes,
        )

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        settings = {"weights": backbone_weights, "width": backbone_width, "last_expansion": last_expansion}
        features = make_backbone(backbone, input_size, **settings)(image)
        head = PixelInPixelHead(scheme.num_points, codec.neighbors, name="head")
        network = keras.Model(image, head(to_stride(features, stride)), name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.stride = stride
        self.backbone_width = backbone_width
        self.last_expansion = last_expansion
        self._task = 3

    @property
    def head(self) -> PixelInPixelHead:
        """The network's last layer."""
        return self.network.get_layer("head")

    @property
    def task(self) -> int:
        """What pseudo-labelled samples are trained on: 1, 2 or 3.

        Raises:
            ValueError: it is set to another number, or to 1 or 2 where the score map's side is not a multiple of 4.
        """
        return self._task

    @task.setter
    def task(self, value: int) -> None:
        if value not in (1, 2, 3):
            raise ValueError(f"task is 1, 2 or 3, not {value!r}")
        if value < 3 and self.codec.size % 4:
            raise ValueError(
                f"tasks 1 and 2 halve the score map twice, but its side is {self.codec.size} cells: use larger crops"
            )
        if value != self._task:
            self._task = value
            self.train_function = self.test_function = None

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """`(B, S, S, 3)` pixels -> the network's outputs, the winning `cells`, and the offsets there."""
        outputs = self.network(images, training=training)
        located = locate(self.codec, outputs)
        return {**outputs, **located, **self.head.at_cells(located["gathered"])}

    # === Training ===

    def loss_terms(self, y: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        landmarks, weights = labels(y)
        targets = self.codec.encode(landmarks)
        outputs = {**outputs, **self.head.at_cells(features_at_cells(outputs["features"], targets["cells"]))}
        if "unlabelled" in y:
            weights = self.codec.curriculum(weights, ops.cast(y["unlabelled"], "float32"), self.task)
            outputs.update(self.coarse_scores(outputs["features"], weights))
        return self.codec.loss(targets, outputs, weights)

    def coarse_scores(self, features: Any, wanted: Container[str]) -> dict[str, Any]:
        """The coarse score maps of Fig. 8: the score head, applied to features that were pooled once and twice.

        Args:
            features: `(B, h, w, F)`, the network's.
            wanted: which to compute, "score_2" or "score_4" or both.

        Returns:
            The dict of the maps that are wanted: `score_2` `(B, h/2, w/2, K)`, `score_4` `(B, h/4, w/4, K)`.
        """
        found = {}
        for name in ("score_2", "score_4"):
            features = ops.max_pool(features, 2, strides=2)
            if name in wanted:
                found[name] = self.head.score(features)
        return found

    # === Inference ===

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """Four parts: the network, the winning cells, the offsets there, and decoding."""
        network = network or self.network
        head = network.get_layer("head")
        locate, decode = Locate(self.codec, name="locate"), DecodeLandmarks(self.codec, name="decode")
        product, grouped = (OffsetsAtCells(head, grouped=grouped, name="offsets") for grouped in (False, True))
        return [
            InferencePart("network", ("image",), lambda tensors: network(tensors["image"], training=False), quantizable=True),
            InferencePart("locate", ("score", "features"), locate, quantizable=False),
            InferencePart("offsets", ("gathered",), product, quantizable=True, in_integers=grouped),
            InferencePart("decode", ("cells", "scores", *head.branches), decode, quantizable=False),
        ]

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "stride": self.stride,
            "neighbors": self.codec.neighbor_indices,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "last_expansion": self.last_expansion,
            "offset_weight": self.codec.offset_weight,
            "repeated_votes": self.codec.repeated_votes,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)


def neighbor_table(
    scheme: schemes.Scheme, neighbors: int | np.ndarray | Sequence[Sequence[int]], *, mean_shape: np.ndarray | None = None
) -> np.ndarray:
    """The neighbours of every landmark.

    Args:
        scheme: scheme of the landmarks.
        neighbors: how many neighbours are found in the mean shape; or their `(K, C)` table, which is checked and returned.
        mean_shape: `(K, 2)`, in any unit; None takes the scheme's.

    Returns:
        `(K, C)` int64 indices, the closest first.

    Raises:
        ValueError: there are more neighbours than landmarks, there is no mean shape to find them in, or the table does not
            fit the scheme.
    """
    points = scheme.num_points
    if np.ndim(neighbors):
        table = np.asarray(neighbors, "int64").reshape(len(neighbors), -1)
        if len(table) != points or (table.size and not ((table >= 0) & (table < points)).all()):
            raise ValueError(
                f"neighbors of {scheme.name} is a ({points}, C) table of indices below {points}, got shape {table.shape}"
            )
        return table
    if not neighbors:
        return np.zeros((points, 0), "int64")
    if mean_shape is None:
        mean_shape = scheme.mean_shape
    if mean_shape is None or np.shape(mean_shape) != (points, 2):
        raise ValueError(
            f"{scheme.name} has no mean shape of {points} points to find neighbours in: pass mean_shape or neighbors=0"
        )
    return nearest_neighbors(mean_shape, neighbors)


def to_stride(features: Any, stride: int) -> Any:
    """Brings features from stride 32 to another stride by convolutions of 512 channels (Sec. 4.2.1)."""
    if stride == 16:
        x = keras.layers.Conv2DTranspose(512, 4, strides=2, padding="same", use_bias=False, name="up_conv")(features)
        x = keras.layers.BatchNormalization(name="up_norm")(x)
        return keras.layers.ReLU(name="up_relu")(x)
    steps = {32: 0, 64: 1, 128: 2}[stride]
    for step in range(1, steps + 1):
        features = keras.layers.ZeroPadding2D(1, name=f"down_{step}_pad")(features)
        features = keras.layers.Conv2D(512, 3, strides=2, use_bias=False, name=f"down_{step}_conv")(features)
        features = keras.layers.BatchNormalization(name=f"down_{step}_norm")(features)
        features = keras.layers.ReLU(name=f"down_{step}_relu")(features)
    return features
