"""The aligner: a network plus a codec, as one Keras model."""

import types
from typing import TYPE_CHECKING, Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from kfacealign import schemes
from kfacealign.codecs.codec import Codec
from kfacealign.data.shares import filled_up
from kfacealign.data.step_views import images_in_view, labels_in_view, reads_views
from kfacealign.fused_norms import fused_batch_norms
from kfacealign.metrics.errors import NME
from kfacealign.models.inference import DecodeLandmarks, InferencePart, flip_averaged
from kfacealign.models.predicting import answers
from kfacealign.models.snapshot import Snapshot
from kfacealign.quiet import quiet
from kfacealign.streaming import empty_answers, require_finite

if TYPE_CHECKING:
    from kfacealign.data.views import RandomView
    from kfacealign.models.variants import Variant


@keras.saving.register_keras_serializable(package="kfacealign")
class FaceAligner(keras.Model):
    """A face crop goes in as pixels; landmarks come out as points.

    Labels are landmarks, never heatmaps: the codec encodes them inside the training step, so any dataset trains any method.
    `compile` needs no loss. `fit` and `evaluate` take batches of `(images, {"landmarks": (B, K, 2), "weights": (B, K)})` in
    crop coordinates, and report every term of the loss and the NME in percent. A dict `{"image": (B, S, S, 3), "draws": (B, D)}`
    may stand in the place of the images: the step then makes random views of pixels and labels by `views_in_step`, which reads
    its random numbers from the draws.

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
    `variants` the method has one network, that of the default arguments. A subclass's `call` always gets images, because the
    views of a batch are made before it is called.

    Attributes:
        variants: the method's networks for those tables, `kfacealign.models.Variant` each.
        warmup: while True, the codec's warm-up loss takes the place of its loss.
        views_in_step: the `RandomView` of batches that bring draws, which `set_views` sets, or None; it is not saved with the
            model.
        extra_terms: names of the terms that `loss_terms` adds to the codec's.
        answers: names of the tensors that inference returns.
        feature_layer: name of the output or layer of the network whose `(B, h, w, C)` features `kfacealign calibrate` reads;
            None for a method that cannot be calibrated.

    Example:
        >>> model = kfacealign.models.HIH.tiny("wflw98")
        >>> model.compile(keras.optimizers.Adam(5e-6))
        >>> model.fit(images, {"landmarks": landmarks, "weights": weights})
        >>> landmarks, scores = model.align(crops)
    """

    variants: ClassVar[tuple["Variant", ...]] = ()
    extra_terms: ClassVar[tuple[str, ...]] = ()
    answers: ClassVar[tuple[str, ...]] = ("landmarks", "scores")
    feature_layer: str | None = None

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "call" in vars(cls):
            cls.call = reads_views(cls.call)

    def __init__(self, network: keras.Model, codec: Codec, scheme: schemes.Scheme | str, *, enlarge: float = 1.25, **kwargs: Any):
        # What a batch brings stays as it is: half of the bits of a draw would make another view of it.
        super().__init__(autocast=False, **kwargs)
        self._step = types.SimpleNamespace(views=None)  # out of Keras' sight, which would save the views with the model
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

    @reads_views
    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """`(B, S, S, 3)` pixels, or a dict of these and the draws of their views -> dict of raw outputs."""
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
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *args: Any,
        shuffle: bool | None = None,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Works as `keras.Model.fit`, with fused batch norms on TensorFlow.

        `shuffle=None` shuffles arrays, and leaves the order of a pipeline to the pipeline.
        """
        if y is not None:
            x, y, batch_size = filled_up(x, y, batch_size)
        if isinstance(validation_data, tuple) and len(validation_data) == 2:
            *validation_data, kwargs["validation_batch_size"] = filled_up(
                *validation_data, kwargs.get("validation_batch_size") or batch_size
            )
        if self.compiled and not self.optimizer.built:
            # Otherwise TensorFlow traces the step twice, because the first trace makes the optimiser's variables.
            self.optimizer.build(self.trainable_variables)
        if validation_data is not None:
            kwargs["validation_data"] = validation_data
        with fused_batch_norms(self):
            return super().fit(x, y, batch_size, *args, shuffle=y is not None if shuffle is None else shuffle, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, batch_size: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Works as `keras.Model.evaluate`."""
        if y is not None and not kwargs.get("_use_cached_eval_dataset"):
            x, y, batch_size = filled_up(x, y, batch_size)
        return super().evaluate(x, y, batch_size, *args, **kwargs)

    def get_compile_config(self) -> dict[str, Any] | None:
        if not self.compiled:
            return None
        return {"optimizer": keras.saving.serialize_keras_object(self.optimizer)}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(optimizer=keras.saving.deserialize_keras_object(config["optimizer"]))
        self.optimizer.build(self.trainable_variables)

    @property
    def warmup(self) -> bool:
        """Whether the codec's warm-up loss takes the place of its loss; to set it raises ValueError for a codec without one."""
        return self._warmup

    @warmup.setter
    def warmup(self, value: bool) -> None:
        if value and not self.codec.warmup_terms:
            raise ValueError(f"{type(self.codec).__name__} has no warm-up; use warmup_epochs=0")
        if value != self._warmup:
            self._warmup = value
            # The compiled steps hold the old loss; fit makes new ones.
            self.train_function = self.test_function = None

    @property
    def views_in_step(self) -> "RandomView | None":
        return self._step.views

    def set_views(self, views: "RandomView | None") -> None:
        """Sets `views_in_step`, the views that the draws of batches are for; None makes no views in the step."""
        # A method, as Keras would take what is assigned to an attribute for a part of the model.
        if views is not self._step.views:
            self._step.views = views
            # The compiled steps hold the old views; fit makes new ones.
            self.train_function = self.test_function = None

    def images_in_view(self, x: Any) -> Any:
        """The images `(B, S, S, 3)` of a batch: `x` itself, or those of a dict, in the views that its draws say.

        Raises:
            ValueError: there are draws and `views_in_step` is None.
        """
        return images_in_view(self.views_in_step, x)

    def compute_loss(
        self,
        x: Any = None,
        y: dict[str, Any] | None = None,
        y_pred: dict[str, Any] | None = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        y = labels_in_view(self.views_in_step, x, y)
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
        landmarks, weights = labels(labels_in_view(self.views_in_step, x, y))
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
        """Functional model `image` (B, S, S, 3) -> dict of the `answers`, `landmarks` (B, K, 2) and `scores` (B, K) among them.

        Args:
            batch_size: B; None leaves it open.
            network: takes the place of the model's own network.
            flip: whether each crop is also read mirrored, see `align`.
        """
        size = self.input_size
        image = keras.Input((size, size, 3), batch_size=batch_size, dtype="float32", name="image")
        tensors = {"image": image}
        parts = self.inference_parts(network=network)
        for part in flip_averaged(parts, self.scheme, self.answers) if flip else parts:
            tensors.update(part({name: tensors[name] for name in part.inputs}))
        model = keras.Model(image, {name: tensors[name] for name in self.answers}, name="inference")
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
            ValueError: the crops are not of the shape the network reads, an answer is not finite, or the model cannot be run.
        """
        found = self.align_all(images, batch_size=batch_size, verbose=verbose, flip=flip)
        return found["landmarks"], found["scores"]

    def align_all(
        self, images: np.ndarray, *, batch_size: int = 32, verbose: int | str = "auto", flip: bool = False
    ) -> dict[str, np.ndarray]:
        """All `answers` on face crops by their names; arguments and errors as of `align`.

        Returns:
            Dict with `landmarks` `(N, K, 2)` in crop coordinates and `scores` `(N, K)`; of a calibrated model also
            `visibility` `(N, K)` and `covariance` `(N, K, 3)`, see `CalibratedAligner`.

        Raises:
            ValueError: the crops are not of the shape the network reads, an answer is not finite, or the model cannot be run.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        if not len(images):
            return empty_answers(self.answers, self.scheme.num_points)
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
        found = {name: np.concatenate([result[name] for result in results]) for name in self.answers}
        require_finite(found["landmarks"], found["scores"], f"the model {self.name}")
        return found

    def snapshot(self, *, threads: int | None = None) -> "FaceAligner | Snapshot":
        """The model as it is now, for a few crops at a time and often: its `align` is quicker, and knows no later training.

        Args:
            threads: CPU threads of the snapshot; None leaves it to the runtime.

        Returns:
            A `kfacealign.models.snapshot.Snapshot` on TensorFlow without XLA, that is, on a CPU; else, and where a subclass has
            an `align` of its own, the model itself.
        """
        plain = keras.backend.backend() == "tensorflow" and default_jit_compile() is False
        return Snapshot(self, threads=threads) if plain and type(self).align is FaceAligner.align else self

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
