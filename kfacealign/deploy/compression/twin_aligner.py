"""Aligners that are trained through twins of their networks."""

import dataclasses
import types
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from kfacealign.deploy.compression.tf_keras_twin import TwinLayer, plain, twin_and_originals
from kfacealign.deploy.exporting import graphs
from kfacealign.models.aligner import FaceAligner
from kfacealign.models.calibrated import CalibratedAligner
from kfacealign.models.inference import InferencePart, with_float32_policies


class TwinnedAligner(FaceAligner):
    """An aligner in which every part of inference that may compute in integers is a twin.

    It is trained, evaluated and applied like any aligner, and has the loss and the decoding of the model that it was made
    of. Only the networks are tf-keras models, which `prepare` makes. The parts that are no twins are trained in the form
    that they have in inference, so without dropout.

    Args:
        aligner: a trained `FaceAligner`, which stays as it is.

    Attributes:
        aligner: a float32 copy of it, which keeps the weights from before the training until `trained_aligner` is called.
        twins: dict of the names of parts -> `TwinLayer`.

    Raises:
        ValueError: a layer has no twin, see `tf_keras_twin.twin`, or the model is calibrated.
    """

    def __init__(self, aligner: FaceAligner, **kwargs: Any):
        if isinstance(aligner, CalibratedAligner):
            raise ValueError(
                "the model is calibrated, and training would make that wrong: give the model inside, model.aligner, and "
                "calibrate what comes out"
            )
        copy = float32_copy(aligner)
        options = {"enlarge": copy.enlarge, "name": f"{aligner.name}_twin", **kwargs}
        super().__init__(copy.network, copy.codec, copy.scheme, **options)
        # Hidden in a namespace from Keras, which would count the copy's weights and metrics again.
        self._plain = types.SimpleNamespace(aligner=copy, originals={}, parts=copy.inference_parts())
        self.twins = {}
        shapes = {"image": (None, copy.input_size, copy.input_size, 3)}
        for part in self._plain.parts:
            model = graphs.part_model(part.name, part.inputs, part.function, shapes)
            if part.quantizable:
                twin, originals = twin_and_originals(model)
                self._plain.originals[part.name] = originals
                self.twins[part.name] = TwinLayer(self.prepare(twin), name=f"{part.name}_twin")
                for original in originals.values():
                    original.trainable = False
        if "offsets" in self.twins:
            # PIPNet's loss reads the offsets at other cells than inference does.
            copy.head.at_cells = lambda gathered: self.twins["offsets"]({"gathered": gathered})

    def prepare(self, twin: Any) -> Any:
        """The `tf_keras.Model` that is trained in place of a twin; by default the twin itself."""
        return twin

    @property
    def aligner(self) -> FaceAligner:
        return self._plain.aligner

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        tensors = {"image": ops.cast(images, "float32")}
        for part in self._plain.parts[:-1]:
            inputs = {name: tensors[name] for name in part.inputs}
            tensors.update(self.twins[part.name](inputs, training=training) if part.name in self.twins else part(inputs))
        tensors.pop("image")
        return tensors

    def loss_terms(self, y: Any, outputs: dict[str, Any]) -> dict[str, Any]:
        return self.aligner.loss_terms(y, outputs)

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        return self.aligner.decode(outputs)

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """The parts of the model that it was made of, some of them replaced by twins; `network` is ignored."""
        return [
            dataclasses.replace(part, function=self.twins[part.name], in_integers=None) if part.name in self.twins else part
            for part in self._plain.parts
        ]

    def compile(self, optimizer: Any = "adam", *, jit_compile: bool = False, **kwargs: Any) -> None:
        """`FaceAligner.compile` without XLA, which tensorflow-model-optimization does not support."""
        super().compile(optimizer, jit_compile=jit_compile, **kwargs)

    # === Back to Keras ===

    def trained_aligner(self) -> FaceAligner:
        """A new aligner with the trained weights, of the class that this was made of, to save, evaluate and export."""
        for name, originals in self._plain.originals.items():
            for layer_name, weights in self.trained_weights(self.twins[name].model).items():
                originals[layer_name].set_weights(weights)
        aligner = float32_copy(self.aligner)
        aligner.network.trainable = True
        return aligner

    def trained_weights(self, model: Any) -> dict[str, list[np.ndarray]]:
        """For each layer of a twin with weights, by name, its weights in the order of `get_weights`."""
        return {layer.name: layer.get_weights() for layer in map(plain, model.layers) if layer.weights}

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        return {"aligner": keras.saving.serialize_keras_object(self.aligner), "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("aligner")), **config)


def float32_copy(aligner: FaceAligner) -> FaceAligner:
    """A new aligner with the same weights, all in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(aligner).from_config(with_float32_policies(aligner.get_config()))
    finally:
        keras.config.set_dtype_policy(policy)
    copy.network.set_weights(aligner.network.get_weights())
    return copy
