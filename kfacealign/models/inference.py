"""The parts that inference is made of; an exporter converts each of them in its own way."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, Self

import keras
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.codec import Codec

# What a calibrated model answers besides landmarks and scores, see `kfacealign.models.CalibratedAligner`.
CERTAINTY = ("visibility", "covariance")


@dataclasses.dataclass
class InferencePart:
    """One step of inference.

    Attributes:
        name: the part's name in messages and reports.
        inputs: names of the tensors that the part reads.
        function: dict of these tensors -> dict of new ones, built of Keras layers.
        quantizable: whether the part may compute in integers; decoding may not.
        in_integers: a form of `function` with the same results that quantises better.
    """

    name: str
    inputs: tuple[str, ...]
    function: Callable[[dict[str, Any]], dict[str, Any]]
    _: dataclasses.KW_ONLY
    quantizable: bool
    in_integers: Callable[[dict[str, Any]], dict[str, Any]] | None = None

    def __call__(self, tensors: dict[str, Any]) -> dict[str, Any]:
        return self.function(tensors)


@keras.saving.register_keras_serializable(package="kfacealign")
class DecodeLandmarks(keras.layers.Layer):
    """A codec's decoding as the last layer of a graph.

    Args:
        codec: the codec that decodes.

    Input: the network's dict of outputs. Output: `{"landmarks": (B, K, 2), "scores": (B, K)}`.
    """

    def __init__(self, codec: Codec, **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.codec = codec

    def call(self, outputs: dict[str, Any]) -> dict[str, Any]:
        landmarks, scores = self.codec.decode(outputs)
        return {"landmarks": landmarks, "scores": scores}

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "codec": keras.saving.serialize_keras_object(self.codec)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(**{**config, "codec": keras.saving.deserialize_keras_object(config["codec"])})


@keras.saving.register_keras_serializable(package="kfacealign")
class WithMirrored(keras.layers.Layer):
    """`image` (B, S, S, 3) -> `both` (2 B, S, S, 3): the crops, then their mirror images."""

    def call(self, tensors: dict[str, Any]) -> dict[str, Any]:
        image = tensors["image"]
        return {"both": ops.concatenate([image, ops.flip(image, axis=2)], axis=0)}


@keras.saving.register_keras_serializable(package="kfacealign")
class FlipAverage(keras.layers.Layer):
    """The mean of the landmarks and scores that were found in crops and in their mirror images.

    Landmarks of mirror images are mirrored back: x becomes 1 - x, and every point takes the place of its counterpart. Where the
    model has `both_visibility` and `both_covariance`, they are mirrored back and averaged, too; the covariance of x and y changes
    its sign.

    Args:
        mirror: the scheme's permutation, K indices.

    Input: `both_landmarks` `(2 B, K, 2)` and `both_scores` `(2 B, K)`, the crops before their mirror images. Output:
    `{"landmarks": (B, K, 2), "scores": (B, K)}`, and `visibility` and `covariance` where they are given.
    """

    def __init__(self, mirror: Sequence[int], **kwargs: Any):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.mirror = tuple(mirror)

    def call(self, tensors: dict[str, Any]) -> dict[str, Any]:
        points = len(self.mirror)
        landmarks = ops.reshape(tensors["both_landmarks"], (2, -1, points, 2))
        scores = ops.reshape(tensors["both_scores"], (2, -1, points))
        back = ops.take(landmarks[1], self.mirror, axis=1) * ops.array([-1.0, 1.0]) + ops.array([1.0, 0.0])
        averaged = {
            "landmarks": 0.5 * (landmarks[0] + back),
            "scores": 0.5 * (scores[0] + ops.take(scores[1], self.mirror, axis=1)),
        }
        if "both_visibility" in tensors:
            visibility = ops.reshape(tensors["both_visibility"], (2, -1, points))
            averaged["visibility"] = 0.5 * (visibility[0] + ops.take(visibility[1], self.mirror, axis=1))
        if "both_covariance" in tensors:
            covariance = ops.reshape(tensors["both_covariance"], (2, -1, points, 3))
            back = ops.take(covariance[1], self.mirror, axis=1) * ops.array([1.0, -1.0, 1.0])
            averaged["covariance"] = 0.5 * (covariance[0] + back)
        return averaged

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mirror": self.mirror}


def flip_averaged(
    parts: Sequence[InferencePart], scheme: schemes.Scheme, answers: Sequence[str] = ("landmarks", "scores")
) -> list[InferencePart]:
    """Parts of inference that read each crop and its mirror image and average the two answers.

    Args:
        parts: the parts that read the crop alone.
        scheme: scheme of the landmarks.
        answers: names of the tensors that the last part returns.
    """
    first, last = parts[0], parts[-1]

    def read_both(tensors):
        return first({"image": tensors["both"]})

    def name_both(tensors):
        return {f"both_{name}": value for name, value in last(tensors).items()}

    return [
        InferencePart("mirror", ("image",), WithMirrored(name="mirror"), quantizable=False),
        dataclasses.replace(first, inputs=("both",), function=read_both),
        *parts[1:-1],
        dataclasses.replace(last, function=name_both),
        InferencePart(
            "average",
            tuple(f"both_{name}" for name in answers),
            FlipAverage(scheme.mirror, name="average"),
            quantizable=False,
        ),
    ]


# === Precision ===


def in_float32(network: keras.Model) -> keras.Model:
    """The network itself; if it was trained in mixed precision, a float32 copy of it."""
    config = network.get_config()
    wanted = with_float32_policies(config)
    if wanted == config:
        return network
    policy = keras.config.dtype_policy()
    # A layer that builds other layers gives them the global policy.
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(network).from_config(wanted)
    finally:
        keras.config.set_dtype_policy(policy)
    copy.set_weights(network.get_weights())
    return copy


def with_float32_policies(config: Any) -> Any:
    """A copy of a Keras config in which every dtype policy, at any depth, is float32."""
    if isinstance(config, dict):
        if config.get("class_name") == "DTypePolicy":
            return {**config, "config": {"name": "float32"}}
        return {key: with_float32_policies(value) for key, value in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(map(with_float32_policies, config))
    return config
