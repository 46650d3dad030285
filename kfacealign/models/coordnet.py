"""CoordNet: coordinate regression, a baseline of PIPNet (Sec. 4.3.1, figure 3a)."""

import keras

from kfacealign import schemes
from kfacealign.codecs.coordinates import Coordinates
from kfacealign.losses import L1
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.backbones import backbone as make_backbone


@keras.saving.register_keras_serializable(package="kfacealign")
class CoordNet(FaceAligner):
    """A classification backbone and three fully connected layers of 512, 512 and 2K units; L1 loss.

    Trainable parameters at 256 px with ResNet-18 / 50 / 101: 28,317,444 / 90,980,612 /
    109,972,740 at 98 landmarks (28.3 / 91.0 / 110.0 M in Table 9), 28,286,664 / 90,949,832 /
    109,941,960 at 68. Billions of multiply-adds: 2.40 / 5.45 / 10.32 (2.4 / 5.5 / 10.4 in the
    table, which are the numbers with the fully connected layers counted twice).

    Args:
        scheme: landmark scheme, a name or a `Scheme`.
        backbone: one of `BACKBONES`.
        backbone_weights: "imagenet", None for random weights, or a trained model (.keras) to take the backbone of.
        input_size: side of the crops in pixels, a multiple of 32.
        backbone_width: factor on the backbone's channels.
        enlarge: see `FaceAligner`.

    Output of the network: `landmarks` `(B, K, 2)`, crop coordinates.

    Raises:
        ValueError: an argument out of its range, or weights that cannot be fetched, see `backbone`.

    Example:
        >>> model = CoordNet("ibug68", backbone="resnet18", backbone_weights="imagenet")
        >>> landmarks, scores = model.align(crops)   # crops: (N, 256, 256, 3); every score is 1
    """

    def __init__(
        self,
        scheme="wflw98",
        backbone="resnet18",
        backbone_weights=None,
        input_size=256,
        backbone_width=1.0,
        enlarge=1.2,
        **kwargs,
    ):
        scheme = schemes.get(scheme)
        points = scheme.num_points

        # === Functional model ===
        image = keras.Input((input_size, input_size, 3), name="image")
        x = make_backbone(backbone, input_size, weights=backbone_weights, width=backbone_width)(image)
        x = keras.layers.Flatten(name="flatten")(x)
        x = keras.layers.Dense(512, activation="relu", name="hidden_1")(x)
        x = keras.layers.Dense(512, activation="relu", name="hidden_2")(x)
        # Points start around the middle of the crop; float32 under mixed precision.
        middle = keras.initializers.Constant(0.5)
        x = keras.layers.Dense(2 * points, bias_initializer=middle, dtype="float32", name="regression")(x)
        landmarks = keras.layers.Reshape((points, 2), dtype="float32", name="landmarks")(x)
        network = keras.Model(image, {"landmarks": landmarks}, name="network")

        super().__init__(network, Coordinates(loss=L1(), pixels=input_size), scheme, enlarge=enlarge, **kwargs)

        # === Config ===
        self.backbone = backbone
        self.backbone_width = backbone_width

    def get_config(self):
        # Not backbone_weights: what is loaded has its weights, and must not fetch any.
        return {
            "scheme": self.scheme.name,
            "backbone": self.backbone,
            "input_size": self.input_size,
            "backbone_width": self.backbone_width,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)
