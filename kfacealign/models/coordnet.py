"""CoordNet: coordinate regression, a baseline of PIPNet (Sec. 4.3.1, figure 3a)."""

import os
from typing import Any, Self

import keras

from kfacealign import schemes
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.losses import L1
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import backbone as make_backbone
from kfacealign.models.variants import Variant

NOTE = "CoordNet: the paper counts its parameters at 98 landmarks."


@keras.saving.register_keras_serializable(package="kfacealign")
class CoordNet(FaceAligner):
    """A classification backbone and three fully connected layers of 512, 512 and 2K units; L1 loss.

    At 256 px the trainable parameters with ResNet-18 / 50 / 101 are 28,317,444 / 90,980,612 / 109,972,740 at 98 landmarks
    (28.3 / 91.0 / 110.0 M in Table 9), and 28,286,664 / 90,949,832 / 109,941,960 at 68. The multiply-adds are 2.40 / 5.45 /
    10.32 billion; the table's 2.4 / 5.5 / 10.4 result when the fully connected layers are counted twice.

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: one of `kfacealign.models.backbones.BACKBONES`.
        backbone_weights: "imagenet", None for random weights, or the path of a trained model (.keras) whose backbone is copied.
        input_size: side of the crops in pixels, a multiple of 32.
        backbone_width: factor on the backbone's channels.
        enlarge: see `FaceAligner`.

    Output of the network: `landmarks` `(B, K, 2)`, crop coordinates.

    Raises:
        ValueError: an argument is out of its range, or weights cannot be fetched, see `kfacealign.models.backbones.backbone`.

    Example:
        >>> model = CoordNet("ibug68", backbone="resnet18", backbone_weights="imagenet")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3); every score is 1
    """

    variants = (
        Variant("ResNet-18", {"backbone": "resnet18"}, scheme="wflw98", parameters="28.3", gflops="2.4", note=NOTE),
        Variant("ResNet-50", {"backbone": "resnet50"}, scheme="wflw98", parameters="91.0", gflops="5.5", note=NOTE),
        Variant("ResNet-101", {"backbone": "resnet101"}, scheme="wflw98", parameters="110.0", gflops="10.4", note=NOTE),
    )

    def __init__(
        self,
        scheme: schemes.Scheme | str = "wflw98",
        *,
        backbone: str = "resnet18",
        backbone_weights: str | os.PathLike | None = None,
        input_size: int = 256,
        backbone_width: float = 1.0,
        enlarge: float = 1.2,
        **kwargs: Any,
    ):
        scheme = schemes.get(scheme)
        points = scheme.num_points

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = make_backbone(backbone, input_size, weights=backbone_weights, width=backbone_width)(image)
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(512, activation="relu", name="hidden_1")(x)
        x = keras.layers.Dense(512, activation="relu", name="hidden_2")(x)
        # The bias starts the points around the middle of the crop. Coordinates are float32, also in mixed precision.
        middle = keras.initializers.Constant(0.5)
        x = keras.layers.Dense(2 * points, bias_initializer=middle, dtype="float32", name="regression")(x)
        landmarks = keras.layers.Reshape((points, 2), dtype="float32", name="landmarks")(x)
        network = keras.Model(image, {"landmarks": landmarks}, name="network")

        super().__init__(network, Coordinates(loss=L1(), pixels=input_size), scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.backbone_width = backbone_width

    def get_config(self) -> dict[str, Any]:
        # `backbone_weights` is left out: a loaded model has its weights, and must not fetch any.
        return {
            "scheme": schemes.described(self.scheme),
            "backbone": self.backbone,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**config)
