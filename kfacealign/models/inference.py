"""What inference is made of: parts after one another, so that an exporter can convert each as it needs."""

import dataclasses
from collections.abc import Callable

import keras
from keras import ops


@dataclasses.dataclass
class InferencePart:
    """One step of inference.

    Attributes:
        name: for messages.
        inputs: names of the tensors it reads.
        function: dict of these tensors -> dict of new ones, built of Keras layers.
        quantizable: whether it may compute in integers; decoding may not.
        in_integers: a form of `function` with the same results that quantises better.
    """

    name: str
    inputs: tuple
    function: Callable
    quantizable: bool
    in_integers: Callable | None = None

    def __call__(self, tensors):
        return self.function(tensors)


@keras.saving.register_keras_serializable(package="kfacealign")
class DecodeLandmarks(keras.layers.Layer):
    """A codec's decoding as the last layer of a graph: outputs -> `landmarks` and `scores`."""

    def __init__(self, codec, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.codec = codec

    def call(self, outputs):
        landmarks, scores = self.codec.decode(outputs)
        return {"landmarks": landmarks, "scores": scores}

    def get_config(self):
        return {**super().get_config(), "codec": keras.saving.serialize_keras_object(self.codec)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "codec": keras.saving.deserialize_keras_object(config["codec"])})


@keras.saving.register_keras_serializable(package="kfacealign")
class WithMirrored(keras.layers.Layer):
    """`image` (B, S, S, 3) -> `both` (2 B, S, S, 3): the crops, then their mirror images."""

    def call(self, tensors):
        image = tensors["image"]
        return {"both": ops.concatenate([image, ops.flip(image, axis=2)], axis=0)}


@keras.saving.register_keras_serializable(package="kfacealign")
class FlipAverage(keras.layers.Layer):
    """Landmarks and scores of crops and of their mirror images, (2 B, K, ...) -> their means, (B, K, ...).

    Mirrored back, x becomes 1 - x and every point takes the place of its counterpart.

    Args:
        mirror: the scheme's permutation, K indices.
    """

    def __init__(self, mirror, **kwargs):
        super().__init__(**{"dtype": "float32", "autocast": False, **kwargs})
        self.mirror = tuple(mirror)

    def call(self, tensors):
        points = len(self.mirror)
        landmarks = ops.reshape(tensors["both_landmarks"], (2, -1, points, 2))
        scores = ops.reshape(tensors["both_scores"], (2, -1, points))
        back = ops.take(landmarks[1], self.mirror, axis=1) * ops.array([-1.0, 1.0]) + ops.array([1.0, 0.0])
        return {
            "landmarks": 0.5 * (landmarks[0] + back),
            "scores": 0.5 * (scores[0] + ops.take(scores[1], self.mirror, axis=1)),
        }

    def get_config(self):
        return {**super().get_config(), "mirror": self.mirror}


def flip_averaged(parts, scheme):
    """The parts of inference that read each crop and its mirror image and average the two answers."""
    first, last = parts[0], parts[-1]

    def read_both(tensors):
        return first({"image": tensors["both"]})

    def name_both(tensors):
        return {f"both_{name}": value for name, value in last(tensors).items()}

    return [
        InferencePart("mirror", ("image",), WithMirrored(name="mirror"), False),
        dataclasses.replace(first, inputs=("both",), function=read_both),
        *parts[1:-1],
        dataclasses.replace(last, function=name_both),
        InferencePart("average", ("both_landmarks", "both_scores"), FlipAverage(scheme.mirror, name="average"), False),
    ]
