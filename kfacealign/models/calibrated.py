"""A trained model that also says which of its points can be seen, and how far off each may be."""

import dataclasses
from typing import Any, NoReturn, Self

import keras

from kfacealign.codecs.codec import Codec
from kfacealign.layers.certainty import CertaintyHead
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.inference import CERTAINTY, InferencePart

FEATURES = "certainty_features"


@keras.saving.register_keras_serializable(package="kfacealign")
class CalibratedAligner(FaceAligner):
    """A `FaceAligner` of any method with a `CertaintyHead`; `kfacealign calibrate` makes one.

    Its landmarks and scores are those of the model inside. `align_all` and exported graphs also return `visibility`
    `(B, K)`, the probability that a point can be seen, and `covariance` `(B, K, 3)`, xx, xy and yy of the error in crop
    coordinates squared.

    Args:
        aligner: the trained model; it stays as it is.
        head: its `CertaintyHead`, or None for a new one.
        radii: (level, radius) pairs: the ellipse whose half-axes are `radius` standard deviations holds the share `level` of
            the errors. A Gaussian's radii are 1.177, 1.794 and 2.146 at 0.5, 0.8 and 0.9.

    Attributes:
        radii: the pairs as a dict.

    Raises:
        ValueError: the model is a tracker or calibrated already, or its class does not say where its features are.
    """

    answers = ("landmarks", "scores", *CERTAINTY)

    def __init__(self, aligner: FaceAligner, head: CertaintyHead | None = None, *, radii: Any = (), **kwargs: Any):
        if hasattr(aligner, "step_parts"):
            raise ValueError("a tracker is not calibrated: calibrate the detector that it was made of")
        if isinstance(aligner, CalibratedAligner):
            raise ValueError("the model is calibrated already: calibrate the model inside, model.aligner")
        name, network = with_features(aligner)
        super().__init__(network, aligner.codec, aligner.scheme, enlarge=aligner.enlarge, **kwargs)
        self.aligner = aligner
        self.feature_name = name
        self.head = head or CertaintyHead(aligner.scheme.num_points, network.output[name].shape[-1], name="certainty")
        self.radii = {float(level): float(radius) for level, radius in dict(radii).items()}

    @property
    def codec(self) -> Codec:
        """The codec of the model inside."""
        return self.aligner.codec

    @codec.setter
    def codec(self, codec: Codec) -> None:
        if hasattr(self, "aligner"):
            self.aligner.codec = codec

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """`(B, S, S, 3)` pixels -> what the model inside returns."""
        return self.aligner(images, training=training)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        return self.aligner.decode(outputs)

    def compile(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raises ValueError: training would make the calibration wrong."""
        raise ValueError("a calibrated model is not trained: train model.aligner, then calibrate it anew")

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """The parts of the model inside; the last, which stays float, decodes and says how sure it is."""
        *parts, last = self.aligner.inference_parts(network=network or self.network)
        inputs = [name for name in last.inputs if name != FEATURES]

        def decode(tensors):
            found = last({name: tensors[name] for name in inputs})
            return {**found, **self.head({**found, self.feature_name: tensors[self.feature_name]})}

        return [*parts, dataclasses.replace(last, inputs=(*inputs, self.feature_name), function=decode)]

    def get_config(self) -> dict[str, Any]:
        aligner = keras.saving.serialize_keras_object(self.aligner)
        aligner.pop("compile_config", None)
        return {
            "aligner": aligner,
            "head": keras.saving.serialize_keras_object(self.head),
            "radii": [list(pair) for pair in self.radii.items()],
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        aligner, head = (keras.saving.deserialize_keras_object(config.pop(name)) for name in ("aligner", "head"))
        return cls(aligner, head, **config)


def with_features(aligner: FaceAligner) -> tuple[str, keras.Model]:
    """The name of the output that has a model's features, and its network with such an output.

    Raises:
        ValueError: its class does not name the layer.
    """
    name, network = aligner.feature_layer, aligner.network
    if name is None:
        raise ValueError(f"{type(aligner).__name__} does not say which layer has its features: set its feature_layer")
    if name in network.output:
        return name, network
    outputs = {**network.output, FEATURES: network.get_layer(name).output}
    return FEATURES, keras.Model(network.input, outputs, name=network.name)
