"""PIPNet: pixel-in-pixel regression with neighbours (Sec. 3, figure 3d)."""

import keras
import numpy as np
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.pixel_in_pixel import OFFSET_WEIGHTS, PixelInPixel, nearest_neighbors
from kfacealign.layers.pixel_in_pixel import Locate, OffsetsAtCells, PixelInPixelHead, features_at_cells, locate
from kfacealign.models.aligner import FaceAligner, labels
from kfacealign.models.backbones import backbone as make_backbone
from kfacealign.models.inference import DecodeLandmarks, InferencePart


@keras.saving.register_keras_serializable(package="kfacealign")
class PIPNet(FaceAligner):
    """A classification backbone with a pixel-in-pixel head.

    At 68 landmarks, 10 neighbours and 256 px, in millions of parameters and billions of
    multiply-adds with the head evaluated everywhere (Table 9): ResNet-18 12.0 and 2.4,
    ResNet-50 26.7 and 5.6, ResNet-101 45.7 and 10.5, MobileNetV2 4.2 and 0.5,
    MobileNetV3 4.5 and 0.4. The head is evaluated at one cell per landmark.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: "resnet18", "resnet50", "resnet101", "mobilenet_v2" or "mobilenet_v3_large".
        backbone_weights: "imagenet", None for random weights, or a trained model (.keras) to take the backbone of.
        stride: 16, 32, 64 or 128 pixels of the crop to a cell (Sec. 4.2.1).
        neighbors: neighbours that each landmark predicts, 0 for plain PIP regression, or a
            `(K, C)` table of their indices.
        mean_shape: `(K, 2)` from which neighbours are found; the scheme's by default.
        input_size: side of the crops in pixels, a multiple of the stride and of 32.
        backbone_width: factor on the backbone's channels.
        offset_weight: alpha and beta of Eq. 5; by default those of Sec. 4.1.2 for the stride.
        repeated_votes: see `PixelInPixel`; imported checkpoints have it.
        enlarge: see `FaceAligner`.

    Outputs of the network: `score` `(B, S/stride, S/stride, K)` and `features`, from which
    the offsets are taken.

    Attributes:
        task: what samples with the label `unlabelled` are trained on (Sec. 3.3): 1, the
            score map at four times the stride; 2, at twice; 3, everything.

    Raises:
        ValueError: an argument out of its range.

    Example:
        >>> model = PIPNet("wflw98", backbone="mobilenet_v2", backbone_weights="imagenet")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3)
    """

    def __init__(
        self,
        scheme="wflw98",
        backbone="resnet18",
        backbone_weights=None,
        stride=32,
        neighbors=10,
        mean_shape=None,
        input_size=256,
        backbone_width=1.0,
        offset_weight=None,
        repeated_votes=False,
        enlarge=1.2,
        **kwargs,
    ):
        if stride not in OFFSET_WEIGHTS:
            raise ValueError(f"stride is one of {', '.join(map(str, OFFSET_WEIGHTS))}, not {stride}")
        if input_size <= 0 or input_size % max(stride, 32):
            raise ValueError(f"input_size must be a multiple of {max(stride, 32)} at stride {stride}, got {input_size}")
        scheme = schemes.get(scheme)
        table = neighbor_table(scheme, neighbors, mean_shape)
        codec = PixelInPixel(
            neighbor_indices=table,
            size=input_size // stride,
            offset_weight=OFFSET_WEIGHTS[stride] if offset_weight is None else offset_weight,
            repeated_votes=repeated_votes,
        )

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        features = make_backbone(backbone, input_size, weights=backbone_weights, width=backbone_width)(image)
        head = PixelInPixelHead(scheme.num_points, codec.neighbors, name="head")
        network = keras.Model(image, head(to_stride(features, stride)), name="network")

        super().__init__(network, codec, scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.stride = stride
        self.backbone_width = backbone_width
        self._task = 3

    @property
    def head(self):
        return self.network.get_layer("head")

    @property
    def task(self):
        return self._task

    @task.setter
    def task(self, value):
        if value not in (1, 2, 3):
            raise ValueError(f"task is 1, 2 or 3, not {value!r}")
        if value < 3 and self.codec.size % 4:
            raise ValueError(
                f"tasks 1 and 2 halve the score map twice, but its side is {self.codec.size} cells: use larger crops"
            )
        if value != self._task:
            self._task = value
            self.train_function = self.test_function = None

    def call(self, images, training=None):
        """`(B, S, S, 3)` pixels -> the network's outputs, and the offsets at the winning `cells`."""
        outputs = self.network(images, training=training)
        located = locate(self.codec, outputs)
        return {**outputs, **located, **self.head.at_cells(located["gathered"])}

    # === Training ===

    def loss_terms(self, y, outputs):
        landmarks, weights = labels(y)
        targets = self.codec.encode(landmarks)
        outputs = {**outputs, **self.head.at_cells(features_at_cells(outputs["features"], targets["cells"]))}
        if "unlabelled" in y:
            weights = self.codec.curriculum(weights, ops.cast(y["unlabelled"], "float32"), self.task)
            outputs.update(self.coarse_scores(outputs["features"], weights))
        return self.codec.loss(targets, outputs, weights)

    def coarse_scores(self, features, wanted):
        """The score maps of Fig. 8: the shared score head on features pooled once and twice, as far as `wanted` names them."""
        found = {}
        for name in ("score_2", "score_4"):
            features = ops.max_pool(features, 2, strides=2)
            if name in wanted:
                found[name] = self.head.score(features)
        return found

    # === Inference ===

    def inference_parts(self, network=None):
        """The network, the winning cells, the offsets there, the landmarks."""
        network = network or self.network
        head = network.get_layer("head")
        locate, decode = Locate(self.codec, name="locate"), DecodeLandmarks(self.codec, name="decode")
        product, grouped = (OffsetsAtCells(head, grouped, name="offsets") for grouped in (False, True))
        return [
            InferencePart("network", ("image",), lambda tensors: network(tensors["image"], training=False), True),
            InferencePart("locate", ("score", "features"), locate, False),
            InferencePart("offsets", ("gathered",), product, True, in_integers=grouped),
            InferencePart("decode", ("cells", "scores", *head.branches), decode, False),
        ]

    # === Config ===

    def get_config(self):
        return {
            "scheme": self.scheme.name,
            "backbone": self.backbone,
            "stride": self.stride,
            "neighbors": self.codec.neighbor_indices,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "offset_weight": self.codec.offset_weight,
            "repeated_votes": self.codec.repeated_votes,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def neighbor_table(scheme, neighbors, mean_shape=None):
    """The `(K, C)` neighbours: a table as it is, or a number of them found in the mean shape.

    Raises:
        ValueError: more neighbours than landmarks, no mean shape to find them in, or a table that does not fit.
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


def to_stride(features, stride):
    """Features at stride 32 to another stride, by convolutions of 512 channels (Sec. 4.2.1)."""
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
