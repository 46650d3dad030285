"""The aligner: a network plus a codec, as one Keras model."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.codec import Codec
from kfacealign.metrics.errors import NME
from kfacealign.models.inference import DecodeLandmarks, InferencePart, flip_averaged
from kfacealign.quiet import quiet
from kfacealign.streaming import require_finite

if TYPE_CHECKING:
    from kfacealign.models.variants import Variant


@keras.saving.register_keras_serializable(package="kfacealign")
class FaceAligner(keras.Model):
    """A face crop goes in as pixels; landmarks come out as points.

    Labels are landmarks, never heatmaps: the codec encodes them inside the training step, so any dataset trains any method.
    `compile` needs no loss. `fit` and `evaluate` take batches of `(images, {"landmarks": (B, K, 2), "weights": (B, K)})` in
    crop coordinates, and report every term of the loss and the NME in percent.

    Args:
        network: functional model, `(B, S, S, 3)` pixels 0..255 -> dict of raw outputs.
        codec: the representation, see `kfacealign.codecs`.
        scheme: landmark scheme, a name or a `Scheme`.
        enlarge: side of the training crops over the longer side of the landmark box. The model keeps it so that inference
            crops a face as training did.

    A subclass whose method is more than a network followed by a codec overrides `loss_terms`, `decode` and
    `inference_parts`.

    A method of your own becomes known in three steps: register the subclass with
    `@keras.saving.register_keras_serializable(package="yours")`, list its networks in `variants`, and import its module. The
    class is then in `kfacealign.models.methods()` and in the tables of sizes, of exports and of the leaderboard, and its
    `.keras` files load. Commands import the module where they are told to: `kfacealign models --from your.module`. Without
    `variants` the method has one network, that of the default arguments.

    Attributes:
        variants: the method's networks for those tables, `kfacealign.models.Variant` each.
        warmup: while True, the codec's warm-up loss takes the place of its loss.
        extra_terms: names of the terms that `loss_terms` adds to the codec's.

    Example:
        >>> model = kfacealign.models.HIH.tiny("wflw98")
        >>> model.compile(keras.optimizers.Adam(5e-6))
        >>> model.fit(images, {"landmarks": landmarks, "weights": weights})
        >>> landmarks, scores = model.align(crops)
    """

    variants: ClassVar[tuple["Variant", ...]] = ()
    extra_terms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, network: keras.Model, codec: Codec, scheme: schemes.Scheme | str, *, enlarge: float = 1.25, **kwargs: Any):
        super().__init__(**kwargs)
        self.network = network
        self.codec = codec
        self.scheme = schemes.get(scheme)
        self.enlarge = enlarge
        self.nme = NME(scheme=self.scheme, name="nme")
        names = (*codec.terms, *codec.warmup_terms, *self.extra_terms)
        self.term_means = {name: keras.metrics.Mean(name) for name in dict.fromkeys(names)}
        self._warmup = False
        self._inference = {}
        self.built = True

    @property
    def input_size(self) -> int:
        """Side of the square crops that the network reads, in pixels."""
        return self.network.input_shape[1]

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """`(B, S, S, 3)` pixels -> dict of raw outputs."""
        return self.network(images, training=training)

    # === Training ===

    def compile(
        self,
        optimizer: keras.optimizers.Optimizer | str = "adam",
        *,
        jit_compile: bool | str | None = None,
        **kwargs: Any,
    ) -> None:
        """Works as `keras.Model.compile`, but needs no loss. `jit_compile=None` leaves XLA off for TensorFlow on a CPU."""
        if jit_compile is None:
            jit_compile = default_jit_compile()
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, shuffle: bool | None = None, **kwargs: Any
    ) -> keras.callbacks.History:
        """Works as `keras.Model.fit`. `shuffle=None` shuffles arrays, and leaves the order of a pipeline to the pipeline."""
        if self.compiled and not self.optimizer.built:
            # Otherwise TensorFlow traces the step twice, because the first trace makes the optimiser's variables.
            self.optimizer.build(self.trainable_variables)
        return super().fit(x, y, *args, shuffle=y is not None if shuffle is None else shuffle, **kwargs)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(optimizer=keras.saving.deserialize_keras_object(config["optimizer"]))
        self.optimizer.build(self.trainable_variables)

    @property
    def warmup(self) -> bool:
        return self._warmup

    @warmup.setter
    def warmup(self, value: bool) -> None:
        if value and not self.codec.warmup_terms:
            raise ValueError(f"{type(self.codec).__name__} has no warm-up; use warmup_epochs=0")
        if value != self._warmup:
            self._warmup = value
            # The compiled steps hold the old loss; fit makes new ones.
            self.train_function = self.test_function = None

    def compute_loss(
        self,
        x: Any = None,
        y: dict[str, Any] | None = None,
        y_pred: dict[str, Any] | None = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        terms = self.loss_terms(y, y_pred)
        for name, term in terms.items():
            self.term_means[name].update_state(term, sample_weight=ops.shape(y["landmarks"])[0])
        loss = sum(terms.values())
        for regularisation in self.losses:
            loss = loss + ops.sum(regularisation)
        return loss

    def loss_terms(self, y: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        """The named scalars whose sum is the training loss.

        Args:
            y: the batch's dict of labels.
            outputs: what `call` returned.
        """
        landmarks, weights = labels(y)
        if self.warmup:
            return self.codec.warmup_loss(landmarks, outputs, weights)
        return self.codec.loss(self.codec.encode(landmarks), outputs, weights)

    def compute_metrics(self, x: Any, y: dict[str, Any], y_pred: dict[str, Any], sample_weight: Any = None) -> dict[str, Any]:
        landmarks, weights = labels(y)
        if "unlabelled" in y:
            weights = weights * (1.0 - ops.cast(y["unlabelled"], "float32")[:, None])
        # Decoding has NumPy constants, which PyTorch does not combine with a tensor that has a gradient.
        y_pred = keras.tree.map_structure(ops.stop_gradient, y_pred)
        predicted, _ = self.codec.warmup_decode(y_pred) if self.warmup else self.decode(y_pred)
        self.nme.update_state(landmarks, predicted, sample_weight=weights)
        return self.get_metrics_result()

    def get_metrics_result(self) -> dict[str, Any]:
        """Results by name: the loss, the terms of the loss in use, and the NME in percent."""
        used = self.codec.warmup_terms if self.warmup else (*self.codec.terms, *self.extra_terms)
        unused = set(self.term_means) - set(used)
        return {name: value for name, value in super().get_metrics_result().items() if name not in unused}

    # === Inference ===

    def decode(self, outputs: dict[str, Any]) -> tuple[Any, Any]:
        """What `call` returned -> landmarks `(B, K, 2)` and scores `(B, K)`."""
        return self.codec.decode(outputs)

    def inference_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """The steps of inference in their order, each a function from a dict of tensors to a dict of tensors.

        The first step reads `image`, every later one reads tensors that earlier steps returned, and the last returns
        `landmarks` and `scores`.

        Args:
            network: takes the place of the model's own network; exporters pass a float32 copy.
        """
        network = network or self.network
        return [
            InferencePart("network", ("image",), lambda tensors: network(tensors["image"], training=False), quantizable=True),
            InferencePart("decode", tuple(network.output), DecodeLandmarks(self.codec, name="decode"), quantizable=False),
        ]

    def inference_model(
        self, *, batch_size: int | None = None, network: keras.Model | None = None, flip: bool = False
    ) -> keras.Model:
        """Functional model `image` (B, S, S, 3) -> {"landmarks": (B, K, 2), "scores": (B, K)}.

        Args:
            batch_size: B; None leaves it open.
            network: takes the place of the model's own network.
            flip: whether each crop is also read mirrored, see `align`.
        """
        size = self.input_size
        image = keras.Input((size, size, 3), batch_size=batch_size, dtype="float32", name="image")
        tensors = {"image": image}
        parts = self.inference_parts(network=network)
        for part in flip_averaged(parts, self.scheme) if flip else parts:
            tensors.update(part({name: tensors[name] for name in part.inputs}))
        model = keras.Model(image, {name: tensors[name] for name in ("landmarks", "scores")}, name="inference")
        model.jit_compile = default_jit_compile()
        return model

    def align(
        self, images: np.ndarray, *, batch_size: int = 32, verbose: int | str = "auto", flip: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float; S is the input size.
            batch_size: crops in a step; fewer crops are filled up to a power of two.
            verbose: 1 shows a progress bar, 0 none; "auto" shows it from four batches on.
            flip: whether each crop is also read mirrored and both answers are averaged, which takes twice the time.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: the crops are not of the shape the network reads, or an answer is not finite.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        if not len(images):
            points = self.scheme.num_points
            return np.zeros((0, points, 2), "float32"), np.zeros((0, points), "float32")
        if verbose == "auto":
            verbose = int(len(images) >= 4 * batch_size)
        try:
            if flip not in self._inference:
                self._inference[flip] = self.inference_model(flip=flip)
            results = answers(self._inference[flip], images, batch_size, verbose)
        except (ValueError, OSError, MemoryError):
            raise
        except Exception as error:
            # What a damaged description does not fail at before. Each backend has its own errors.
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ValueError(f"the model {self.name} cannot be run: {reason}") from error
        landmarks, scores = (np.concatenate([result[name] for result in results]) for name in ("landmarks", "scores"))
        require_finite(landmarks, scores, f"the model {self.name}")
        return landmarks, scores

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "codec": keras.saving.serialize_keras_object(self.codec),
            "scheme": schemes.described(self.scheme),
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        network = keras.saving.deserialize_keras_object(config.pop("network"))
        codec = keras.saving.deserialize_keras_object(config.pop("codec"))
        return cls(network, codec, **config)


def answers(model: keras.Model, images: np.ndarray, batch_size: int, verbose: int) -> list[dict[str, np.ndarray]]:
    """What a model says of images, in parts: `predict` is for several whole batches, or where progress is shown."""
    whole, results = len(images) // batch_size * batch_size, []
    if whole > batch_size or (whole and verbose):
        results.append(model.predict(images[:whole], batch_size=batch_size, verbose=verbose))
    elif whole:
        results.append(predicted(model, images[:whole], batch_size))
    if whole < len(images):
        results.append(predicted(model, images[whole:], batch_size))
    return results


def predicted(model: keras.Model, images: np.ndarray, most: int) -> dict[str, np.ndarray]:
    """What `model.predict` gives of up to `most` crops, without its cost of 80 ms a call.

    The batch is filled up to the next power of two, `most` at the highest, so that compilers see few sizes.

    Args:
        model: images (B, S, S, 3) -> dict of tensors (B, ...).
        images: (N, S, S, 3).
        most: size of the largest batch.
    """
    size = min(most, 1 << (len(images) - 1).bit_length())
    padding = np.broadcast_to(images[-1:], (size - len(images), *images.shape[1:]))
    result = model.predict_on_batch(np.concatenate([images, padding]).astype("float32"))
    return {name: np.asarray(values)[: len(images)] for name, values in result.items()}


def labels(y: dict[str, Any]) -> tuple[Any, Any]:
    """The label dict's landmarks `(B, K, 2)` and weights `(B, K)`; without weights every point counts."""
    landmarks = ops.cast(y["landmarks"], "float32")
    if "weights" in y:
        return landmarks, ops.cast(y["weights"], "float32")
    return landmarks, ops.ones_like(landmarks[..., 0])


def default_jit_compile() -> bool | str:
    """What `jit_compile` should be here: "auto" for XLA on JAX and on TensorFlow with a GPU, else False.

    XLA on a CPU measured seven times slower than TensorFlow's plain graph. PyTorch's compiler had not finished with a
    MobileNetV2 after ten minutes on two cores.
    """
    if keras.backend.backend() != "tensorflow":
        return "auto" if keras.backend.backend() == "jax" else False
    with quiet():  # TensorFlow's search for a GPU
        devices = keras.distribution.list_devices()
    return "auto" if any("gpu" in device.lower() for device in devices) else False
