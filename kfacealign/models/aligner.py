"""The aligner: a network plus a codec, as one Keras model."""

import keras
import numpy as np
from keras import ops

from kfacealign import schemes
from kfacealign.metrics.errors import NME
from kfacealign.models.inference import DecodeLandmarks, InferencePart, flip_averaged
from kfacealign.quiet import quiet


@keras.saving.register_keras_serializable(package="kfacealign")
class FaceAligner(keras.Model):
    """A face crop goes in as pixels; landmarks come out as points.

    Labels are landmarks, never heatmaps: the codec encodes them inside the training step,
    so any dataset trains any method. `compile` needs no loss, `fit` and `evaluate` take
    batches of `(images, {"landmarks": (B, K, 2), "weights": (B, K)})` in crop coordinates and
    report every term of the loss and the NME in percent.

    Args:
        network: functional model, `(B, S, S, 3)` pixels 0..255 -> dict of raw outputs.
        codec: the representation, see `kfacealign.codecs`.
        scheme: landmark scheme, a name or a `Scheme`.
        enlarge: side of the training crops over the longer side of the landmark box;
            kept so that inference crops a face as training did.

    A subclass whose method is more than network, codec and their plain composition overrides
    `loss_terms`, `decode` and `inference_parts`.

    Attributes:
        warmup: while True the codec's warm-up loss takes the place of its loss.
        extra_terms: names of the terms that `loss_terms` adds to those of the codec.

    Example:
        >>> model = kfacealign.models.HIH.tiny("wflw98")
        >>> model.compile(keras.optimizers.Adam(5e-6))
        >>> model.fit(images, {"landmarks": landmarks, "weights": weights})
        >>> landmarks, scores = model.align(crops)
    """

    extra_terms = ()

    def __init__(self, network, codec, scheme, enlarge=1.25, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.codec = codec
        self.scheme = schemes.get(scheme)
        self.enlarge = enlarge
        self.nme = NME(scheme=self.scheme.name, name="nme")
        names = (*codec.terms, *codec.warmup_terms, *self.extra_terms)
        self.term_means = {name: keras.metrics.Mean(name) for name in dict.fromkeys(names)}
        self._warmup = False
        self._inference = {}
        self.built = True

    @property
    def input_size(self):
        """Side of the square crops that the network reads, in pixels."""
        return self.network.input_shape[1]

    def call(self, images, training=None):
        """`(B, S, S, 3)` pixels -> dict of raw outputs."""
        return self.network(images, training=training)

    # === Training ===

    def compile(self, optimizer="adam", jit_compile=None, **kwargs):
        """As `keras.Model.compile`, without a loss. `jit_compile=None` leaves XLA off for TensorFlow on a CPU."""
        if jit_compile is None:
            jit_compile = default_jit_compile()
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def fit(self, x=None, y=None, *args, shuffle=None, **kwargs):
        """As `keras.Model.fit`. `shuffle=None` shuffles arrays and leaves the order of a pipeline to the pipeline."""
        if self.compiled and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)  # else TensorFlow traces the step twice, to make them in the first
        return super().fit(x, y, *args, shuffle=y is not None if shuffle is None else shuffle, **kwargs)

    def get_compile_config(self):
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config):
        self.compile(optimizer=keras.saving.deserialize_keras_object(config["optimizer"]))
        self.optimizer.build(self.trainable_variables)

    @property
    def warmup(self):
        return self._warmup

    @warmup.setter
    def warmup(self, value):
        if value and not self.codec.warmup_terms:
            raise ValueError(f"{type(self.codec).__name__} has no warm-up; use warmup_epochs=0")
        if value != self._warmup:
            self._warmup = value
            # The compiled steps hold the old loss; fit makes new ones.
            self.train_function = self.test_function = None

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        terms = self.loss_terms(y, y_pred)
        for name, term in terms.items():
            self.term_means[name].update_state(term, sample_weight=ops.shape(y["landmarks"])[0])
        loss = sum(terms.values())
        for regularisation in self.losses:
            loss = loss + ops.sum(regularisation)
        return loss

    def loss_terms(self, y, outputs):
        """The named scalars whose sum is the training loss.

        Args:
            y: the batch's dict of labels. outputs: what `call` returned.
        """
        landmarks, weights = labels(y)
        if self.warmup:
            return self.codec.warmup_loss(landmarks, outputs, weights)
        return self.codec.loss(self.codec.encode(landmarks), outputs, weights)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        landmarks, weights = labels(y)
        if "unlabelled" in y:
            weights = weights * (1.0 - ops.cast(y["unlabelled"], "float32")[:, None])
        y_pred = keras.tree.map_structure(ops.stop_gradient, y_pred)  # NumPy constants meet no PyTorch tensor with a gradient
        predicted, _ = self.codec.warmup_decode(y_pred) if self.warmup else self.decode(y_pred)
        self.nme.update_state(landmarks, predicted, sample_weight=weights)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """Results by name: the loss, the terms of the loss in use, the NME in percent."""
        used = self.codec.warmup_terms if self.warmup else (*self.codec.terms, *self.extra_terms)
        unused = set(self.term_means) - set(used)
        return {name: value for name, value in super().get_metrics_result().items() if name not in unused}

    # === Inference ===

    def decode(self, outputs):
        """What `call` returned -> landmarks `(B, K, 2)` and scores `(B, K)`."""
        return self.codec.decode(outputs)

    def inference_parts(self, network=None):
        """The steps of inference after one another: functions from a dict of tensors to a dict of tensors.

        The first reads `image`, each other reads tensors of those before it, the last
        returns `landmarks` and `scores`.

        Args:
            network: takes the place of the model's own, such as a float32 copy.

        Returns:
            List of `InferencePart`.
        """
        network = network or self.network
        decode = DecodeLandmarks(self.codec, name="decode")
        return [
            InferencePart("network", ("image",), lambda tensors: network(tensors["image"], training=False), True),
            InferencePart("decode", tuple(network.output), decode, False),
        ]

    def inference_model(self, batch_size=None, network=None, flip=False):
        """Functional model `image` (B, S, S, 3) -> {"landmarks": (B, K, 2), "scores": (B, K)}; `flip` as in `align`."""
        size = self.input_size
        image = keras.Input((size, size, 3), batch_size=batch_size, dtype="float32", name="image")
        tensors = {"image": image}
        parts = self.inference_parts(network)
        for part in flip_averaged(parts, self.scheme) if flip else parts:
            tensors.update(part({name: tensors[name] for name in part.inputs}))
        model = keras.Model(image, {name: tensors[name] for name in ("landmarks", "scores")}, name="inference")
        model.jit_compile = default_jit_compile()
        return model

    def align(self, images, batch_size=32, verbose="auto", flip=False):
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float, S the input size.
            batch_size: crops a step.
            verbose: 1 shows a progress bar, 0 none; "auto" shows it from four batches on.
            flip: whether each crop is also read mirrored, and both answers are averaged; twice the work.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: the crops are not of the shape the network reads.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        if not len(images):
            points = self.scheme.num_points
            return np.zeros((0, points, 2), "float32"), np.zeros((0, points), "float32")
        if flip not in self._inference:
            self._inference[flip] = self.inference_model(flip=flip)
        if verbose == "auto":
            verbose = int(len(images) >= 4 * batch_size)
        result = self._inference[flip].predict(images, batch_size=batch_size, verbose=verbose)
        return result["landmarks"], result["scores"]

    # === Config ===

    def get_config(self):
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "codec": keras.saving.serialize_keras_object(self.codec),
            "scheme": self.scheme.name,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config):
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        codec = keras.saving.deserialize_keras_object(config.pop("codec"))
        return cls(network, codec, **config)


def labels(y):
    """The label dict's landmarks and weights; without weights every point counts."""
    landmarks = ops.cast(y["landmarks"], "float32")
    if "weights" in y:
        return landmarks, ops.cast(y["weights"], "float32")
    return landmarks, ops.ones_like(landmarks[..., 0])


def default_jit_compile():
    """XLA on JAX and under TensorFlow on a GPU; on a CPU it measured seven times slower than TensorFlow's plain graph.

    PyTorch's compiler is left out: of a MobileNetV2 it was not done after ten minutes (tried on two cores).
    """
    if keras.backend.backend() != "tensorflow":
        return "auto" if keras.backend.backend() == "jax" else False
    with quiet():  # TensorFlow's search for a GPU
        devices = keras.distribution.list_devices()
    return "auto" if any("gpu" in device.lower() for device in devices) else False
