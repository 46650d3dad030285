"""Aligners that are trained through twins of their networks."""

import dataclasses
import types

import keras
from keras import ops

from kfacealign.deploy.compression.tf_keras_twin import TwinLayer, plain, twin_and_originals
from kfacealign.deploy.exporting import graphs
from kfacealign.models.aligner import FaceAligner


class TwinnedAligner(FaceAligner):
    """An aligner in which every part of inference that may compute in integers is a twin.

    `fit`, `evaluate` and `align` are those of an aligner, the loss and the decoding those of the model that it was made
    of; only the networks are tf-keras models, made by `prepare`. The parts that are no twins are trained as they are in
    inference, so without dropout.

    Args:
        aligner: a trained `FaceAligner`, which stays as it is.

    Attributes:
        aligner: a float32 copy of it, which keeps the weights of before the training until `trained_aligner` is called.
        twins: `TwinLayer` by the name of its part.

    Raises:
        ValueError: a layer has no twin, see `twins.twin`.
    """

    def __init__(self, aligner, **kwargs):
        copy = float32_copy(aligner)
        super().__init__(copy.network, copy.codec, copy.scheme, copy.enlarge, **{"name": f"{aligner.name}_twin", **kwargs})
        # Out of Keras' sight, which would count its weights and metrics again.
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
            # PIPNet's loss reads the offsets at other cells than inference.
            copy.head.at_cells = lambda gathered: self.twins["offsets"]({"gathered": gathered})

    def prepare(self, twin):
        """What is trained in the place of a twin; by default the twin."""
        return twin

    @property
    def aligner(self):
        return self._plain.aligner

    def call(self, images, training=None):
        tensors = {"image": ops.cast(images, "float32")}
        for part in self._plain.parts[:-1]:
            inputs = {name: tensors[name] for name in part.inputs}
            tensors.update(self.twins[part.name](inputs, training=training) if part.name in self.twins else part(inputs))
        tensors.pop("image")
        return tensors

    def loss_terms(self, y, outputs):
        return self.aligner.loss_terms(y, outputs)

    def decode(self, outputs):
        return self.aligner.decode(outputs)

    def inference_parts(self, network=None):
        """Those of the model it was made of, the twins in their places; `network` is of no use here."""
        return [
            dataclasses.replace(part, function=self.twins[part.name], in_integers=None) if part.name in self.twins else part
            for part in self._plain.parts
        ]

    def compile(self, optimizer="adam", jit_compile=False, **kwargs):
        """As `FaceAligner.compile`, without XLA, which tensorflow-model-optimization does not know."""
        super().compile(optimizer, jit_compile=jit_compile, **kwargs)

    # === Back to Keras ===

    def trained_aligner(self):
        """A new aligner of the kind that this was made of, with the trained weights: to save, evaluate and export."""
        for name, originals in self._plain.originals.items():
            for layer_name, weights in self.trained_weights(self.twins[name].model).items():
                originals[layer_name].set_weights(weights)
        aligner = float32_copy(self.aligner)
        aligner.network.trainable = True
        return aligner

    def trained_weights(self, model):
        """The weights of a twin's layers by their names: list of arrays as `get_weights` returns."""
        return {layer.name: layer.get_weights() for layer in map(plain, model.layers) if layer.weights}

    # === Config ===

    def get_config(self):
        return {"aligner": keras.saving.serialize_keras_object(self.aligner), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config.pop("aligner")), **config)


def float32_copy(aligner):
    """A new aligner of the same weights, all in float32."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        copy = type(aligner).from_config(graphs.with_float32_policies(aligner.get_config()))
    finally:
        keras.config.set_dtype_policy(policy)
    copy.network.set_weights(aligner.network.get_weights())
    return copy
