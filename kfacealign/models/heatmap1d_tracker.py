"""The tracker: a detector whose heatmaps are refined by what earlier frames showed (Yin et al., 2020; Sec. 4.2, figure 2b)."""

import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

import keras
import numpy as np
from keras import ops

from kfacealign.data.shares import devices, divisible
from kfacealign.models.aligner import FaceAligner, default_jit_compile
from kfacealign.models.heatmap1d import AttentiveHeatmap1D, Heatmap2D, enlarged
from kfacealign.models.inference import DecodeLandmarks, InferencePart
from kfacealign.streaming import Stream

# Names of the layers that a tracker's network is made of; the first is the name that detectors give their networks.
DETECTOR, ENCODER, DECODER = "network", "encoder", "decoder"


@keras.saving.register_keras_serializable(package="kfacealign")
class AttentiveHeatmap1DTracker(FaceAligner):
    """A detector of one-dimensional heatmaps, and CNN3 and CNN4, which refine its heatmaps by what earlier frames showed.

    CNN3 encodes the detector's heatmaps E_t of each axis to features U_t. The past is added with weights that decay,

        V_t = U_t + sum_{tau < t} lambda^(t - tau) U_tau      (Eq. 13),      that is V_t = U_t + lambda V_(t-1),

    and CNN4 decodes V_t to a refinement, which is added to E_t. Training (Eq. 14, here a mean over frames, landmarks and bins)
    sees clips and sums over their past by one product with a lower-triangular matrix. A stream of frames keeps V instead.
    Both give the same landmarks.

    The paper leaves CNN3 and CNN4 open. Here CNN3 is a convolution whose kernel and stride are M = L / 64 bins, which leads
    back to the 64 positions of the features, and a convolution of 5 positions. CNN4 is the reverse; its last weights are small,
    so that training starts from the detector's heatmaps. All layers between have batch normalisation and ReLU. At 68
    landmarks, L = 768 and width 256 both axes together have 2,150,536 trainable parameters besides the detector's.

    All frames of a clip must be cut by one crop, because features of different frames are added position by position. (The paper
    only says that faces are cropped from bounding boxes, Sec. 5.1.) The caller keeps the crop in its place while the face stays
    well inside; `kfacealign.tracking.FaceTracker` holds it until the face has moved by a tenth of the crop's side. After the crop
    has moved, the past is displaced against the present by the same distance. This lasts for about two frames, since lambda^2 is
    below a tenth. Call `reset` on the stream after a cut, and where a displacement by one position of the features (1/64 of the
    crop) matters.

    Args:
        detector: an `AttentiveHeatmap1D`, trained or not. Its network becomes a part of the tracker's, and both share its
            weights.
        lam: lambda, the weight of the previous frame; 0 leaves the past out (Table 2).
        frozen: whether the detector stays as it is, batch statistics included; its network is then not trainable.
        width: channels of U and V.

    Images are stills `(B, S, S, 3)`, each of which is a clip of one frame, or clips `(B, T, S, S, 3)`. The labels of clips are
    `landmarks` `(B, T, K, 2)` and `weights` `(B, T, K)`.

    Outputs: `heatmap_x` and `heatmap_y`, as the detector's, `(B, L, K)` for stills and `(B, T, L, K)` for clips.

    Raises:
        ValueError: the detector is of another class, or lambda is not in [0, 1].

    Example:
        >>> detector = kfacealign.load("w300.keras")
        >>> tracker = AttentiveHeatmap1DTracker(detector, lam=0.3)
        >>> tracker.compile(keras.optimizers.Adam(1e-4))
        >>> tracker.fit(clips, {"landmarks": landmarks, "weights": weights})
        >>> landmarks, scores = tracker.align_clips(clips)    # (N, T, K, 2), (N, T, K)
        >>> stream = tracker.stream()
        >>> landmarks, scores = stream.step(crop)             # (K, 2), (K,)
    """

    reads: ClassVar[type[FaceAligner]] = AttentiveHeatmap1D

    def __init__(self, detector: AttentiveHeatmap1D, *, lam: float = 0.3, frozen: bool = False, width: int = 256, **kwargs: Any):
        if not isinstance(detector, self.reads):
            raise ValueError(f"{type(self).__name__} refines a {self.reads.__name__}, not a {type(detector).__name__}")
        if not 0 <= lam <= 1:
            raise ValueError(f"lambda is in [0, 1], got {lam}")
        positions = detector.input_size // 4
        bins = detector.resolution // positions

        # === Functional model ===
        if detector.network.trainable is frozen:
            # The value reaches all layers inside, so it would thaw the blocks that the detector keeps as they are.
            detector.network.trainable = not frozen
        heatmaps = inputs_like(detector.network.output)
        encoded = {as_state(name): encode(maps, bins=bins, width=width, name=name) for name, maps in heatmaps.items()}
        encoder = keras.Model(heatmaps, encoded, name=ENCODER)
        features, points = inputs_like(encoded), detector.scheme.num_points
        decoded = {name: decode(features[as_state(name)], bins=bins, points=points, name=name) for name in heatmaps}
        decoder = keras.Model(features, decoded, name=DECODER)
        image = keras.Input(detector.network.input_shape[1:], name="image")
        heatmaps = detector.network(image)
        refinements = decoder(encoder(heatmaps))
        network = keras.Model(image, {name: heatmaps[name] + refinements[name] for name in heatmaps}, name="network")

        super().__init__(network, detector.codec, detector.scheme, **{"enlarge": detector.enlarge, **kwargs})
        # A plain namespace hides the detector from Keras, which would count its metrics, and its weights twice.
        self._plain = types.SimpleNamespace(detector=detector, clips={}, step=None)

        # === Config ===
        self.lam = lam
        self.frozen = frozen
        self.width = width

    @property
    def detector(self) -> AttentiveHeatmap1D:
        """The still-image model whose network is inside."""
        return self._plain.detector

    @property
    def states(self) -> dict[str, tuple[int, ...]]:
        """Dict of state name -> shape of one face's V_(t-1), such as `state_x` (1, 64, 256)."""
        outputs = self.network.get_layer(ENCODER).output
        return {name: (1, *features.shape[1:]) for name, features in outputs.items()}

    # === Frames and clips ===

    def call(self, images: Any, training: bool | None = None) -> dict[str, Any]:
        """Stills `(B, S, S, 3)` or clips `(B, T, S, S, 3)` -> dict of heatmaps; for clips they have the axis T after B."""
        if len(images.shape) == 4:
            return self.network(images, training=training)
        frames = images.shape[1] or ops.shape(images)[1]
        stills = ops.reshape(images, (-1, *images.shape[2:]))
        refined, _ = self.refined(stills, self.past_of_clips(frames), training=training)
        return {name: ops.reshape(maps, (-1, frames, *maps.shape[1:])) for name, maps in refined.items()}

    def past_of_clips(self, frames: int) -> Callable[[str, Any], Any]:
        """The function from a state's name and the features U of clips of `frames` frames to V."""

        def remember(_, features):
            return decayed_sums(features, frames=frames, lam=self.lam)

        return remember

    def refined(
        self,
        images: Any,
        remember: Callable[[str, Any], Any],
        *,
        network: keras.Model | None = None,
        training: bool | None = False,
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Refined heatmaps of frames, and the features V that refined them.

        Args:
            images: frames `(N, S, S, 3)`.
            remember: function from a state's name and every frame's U `(N, ...)` to V.
            network: takes the place of the model's own network.
            training: whether the layers behave as in training.
        """
        find, encoder, decoder = ((network or self.network).get_layer(name) for name in (DETECTOR, ENCODER, DECODER))
        heatmaps = find(images, training=training)
        features = {name: remember(name, u) for name, u in encoder(heatmaps, training=training).items()}
        refinements = decoder(features, training=training)
        return {name: heatmaps[name] + refinements[name] for name in heatmaps}, features

    def loss_terms(self, y: dict[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
        return super().loss_terms(*frame_by_frame(y, outputs))

    def compute_metrics(self, x: Any, y: dict[str, Any], y_pred: dict[str, Any], sample_weight: Any = None) -> dict[str, Any]:
        return super().compute_metrics(x, *frame_by_frame(y, y_pred), sample_weight)

    # === Inference ===

    def align_clips(
        self, clips: np.ndarray, *, batch_size: int = 1, verbose: int | str = "auto"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of clips of face crops; every frame is refined by the frames before it in its clip.

        Args:
            clips: `(N, T, S, S, 3)` pixels 0..255, RGB, uint8 or float; one crop cuts all frames of a clip.
            batch_size: clips in a step.
            verbose: see `align`.

        Returns:
            landmarks `(N, T, K, 2)` float32 in crop coordinates, scores `(N, T, K)` float32.

        Raises:
            ValueError: the clips are not of the shape the network reads.
        """
        clips = np.asarray(clips)
        size = self.input_size
        if clips.ndim != 5 or clips.shape[2:] != (size, size, 3):
            raise ValueError(f"align_clips reads clips of shape (N, T, {size}, {size}, 3), got {clips.shape}")
        frames, points = clips.shape[1], self.scheme.num_points
        if not clips.size:
            return np.zeros((len(clips), frames, points, 2), "float32"), np.zeros((len(clips), frames, points), "float32")
        if verbose == "auto":
            verbose = int(len(clips) >= 4 * batch_size)
        if frames not in self._plain.clips:
            self._plain.clips[frames] = self.clip_model(frames)
        count = len(clips)
        if devices():
            batch_size = divisible(batch_size, devices())
            clips = np.resize(clips, (divisible(count, batch_size), *clips.shape[1:]))
        result = self._plain.clips[frames].predict(clips, batch_size=batch_size, verbose=verbose)
        return result["landmarks"][:count], result["scores"][:count]

    def clip_model(self, frames: int) -> keras.Model:
        """Functional model `image` (B, T, S, S, 3) -> {"landmarks": (B, T, K, 2), "scores": (B, T, K)} with T = `frames`."""
        clips = keras.Input((frames, *self.network.input_shape[1:]), dtype="float32", name="image")
        stills = ops.reshape(clips, (-1, *self.network.input_shape[1:]))
        refined, _ = self.refined(stills, self.past_of_clips(frames))
        decoded = DecodeLandmarks(self.codec, name="decode")(refined)
        model = keras.Model(
            clips, {name: ops.reshape(value, (-1, frames, *value.shape[1:])) for name, value in decoded.items()}, name="clips"
        )
        model.jit_compile = default_jit_compile()
        return model

    def step_parts(self, *, network: keras.Model | None = None) -> list[InferencePart]:
        """The steps of inference on a stream; they differ from `inference_parts` in reading and returning the states.

        Args:
            network: takes the place of the model's own network; exporters pass a float32 copy.
        """
        decode = DecodeLandmarks(self.codec, name="decode")

        def step(tensors):
            def remember(name, features):
                return features + self.lam * tensors[name]

            refined, states = self.refined(tensors["image"], remember, network=network)
            return {**refined, **states}

        return [
            InferencePart("step", ("image", *self.states), step, quantizable=True),
            InferencePart("decode", tuple(self.network.output), decode, quantizable=False),
        ]

    def step_model(self, *, network: keras.Model | None = None) -> keras.Model:
        """Functional model of one frame, from a dict to a dict, all shapes static.

        It reads `image` (1, S, S, 3) float32 RGB 0..255 and the `states`, which are zeros before the first frame of a clip. It
        returns `landmarks` (1, K, 2) in crop coordinates, `scores` (1, K) and the states for the next frame.

        Args:
            network: takes the place of the model's own network; exporters pass a float32 copy.
        """
        shapes = {"image": (1, *self.network.input_shape[1:]), **self.states}
        inputs = {name: keras.Input(batch_shape=shape, dtype="float32", name=name) for name, shape in shapes.items()}
        tensors = dict(inputs)
        for part in self.step_parts(network=network):
            tensors.update(part({name: tensors[name] for name in part.inputs}))
        model = keras.Model(inputs, {name: tensors[name] for name in ("landmarks", "scores", *self.states)}, name="step")
        model.jit_compile = default_jit_compile()
        return model

    def stream(self) -> Stream:
        """A new `Stream` with `reset()` and `step(crop)`; every face that is followed needs its own."""
        if self._plain.step is None:
            self._plain.step = self.step_model()
        return Stream(self._plain.step.predict_on_batch, self.states, self.input_size)

    # === Config ===

    def get_config(self) -> dict[str, Any]:
        detector = keras.saving.serialize_keras_object(self.detector)
        # The detector's optimiser is not saved; the tracker has its own.
        detector.pop("compile_config", None)
        return {
            "detector": detector,
            "lam": self.lam,
            "frozen": self.frozen,
            "width": self.width,
            "enlarge": self.enlarge,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        return cls(keras.saving.deserialize_keras_object(config.pop("detector")), **config)


@keras.saving.register_keras_serializable(package="kfacealign")
class Heatmap2DTracker(AttentiveHeatmap1DTracker):
    """The same refinement for the 2D heatmaps of a `Heatmap2D`: the tracker's 2D counterpart.

    It is not the 2D tracker of Table 1, which is a recurrent encoder and decoder (the paper's reference [19]); here only the
    representation differs from the 1D tracker. The state is `state_1` (1, 64, 64, width).
    """

    reads = Heatmap2D


# === Parts ===


def as_state(name: str) -> str:
    """`heatmap_x` -> `state_x`."""
    return name.replace("heatmap", "state")


def inputs_like(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """New inputs that have the names and shapes of a dict of tensors."""
    return {name: keras.Input(tensor.shape[1:], name=name) for name, tensor in tensors.items()}


def encode(heatmaps: Any, *, bins: int, width: int, name: str) -> Any:
    """CNN3: heatmaps `(B, L, K)` or `(B, L, L, K)` -> U, `(B, L/M, width)` or `(B, L/M, L/M, width)`, with M = `bins`."""
    x, side = as_map(heatmaps)
    x = conv_bn_relu(x, width, (bins, bins * side or 1), name=f"{name}_positions", strides=(bins, bins * side or 1))
    x = conv_bn_relu(x, width, (5, 5 * side or 1), name=f"{name}_encoded", padding="same")
    return as_before(x, heatmaps)


def decode(features: Any, *, bins: int, points: int, name: str) -> Any:
    """CNN4: V, of the shape of U in `encode` -> refinements of K = `points` heatmaps, of the shape of the heatmaps there."""
    x, side = as_map(features)
    x = conv_bn_relu(x, x.shape[-1], (5, 5 * side or 1), name=f"{name}_decoded", padding="same")
    x = enlarged(x, points, (bins, bins * side or 1), name=f"{name}_refinement")
    return as_before(x, features)


def as_map(x: Any) -> tuple[Any, int]:
    """A line `(B, n, C)` as the map `(B, n, 1, C)`, and 0; a map `(B, n, n, C)` unchanged, and 1."""
    return (x, 1) if len(x.shape) == 4 else (ops.expand_dims(x, 2), 0)


def as_before(x: Any, original: Any) -> Any:
    """The reverse of `as_map`: `x` becomes a line if `original` was one."""
    return x if len(original.shape) == 4 else ops.squeeze(x, 2)


def conv_bn_relu(x: Any, filters: int, kernel: tuple[int, int], *, name: str, **kwargs: Any) -> Any:
    """Convolution without bias, batch normalisation and ReLU; `kwargs` go to the convolution."""
    x = keras.layers.Conv2D(filters, kernel, use_bias=False, name=f"{name}_conv", **kwargs)(x)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)


def frame_by_frame(y: dict[str, Any], outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Clips taken apart into their frames: labels and heatmaps `(B, T, ...)` -> `(B * T, ...)`.

    Labels and heatmaps of stills are returned as they are.
    """
    if len(y["landmarks"].shape) == 3:
        return y, outputs
    flat = {name: ops.reshape(value, (-1, *value.shape[2:])) for name, value in y.items() if name in ("landmarks", "weights")}
    return flat, {name: ops.reshape(maps, (-1, *maps.shape[2:])) for name, maps in outputs.items()}


def decayed_sums(features: Any, *, frames: int, lam: float) -> Any:
    """Eq. 13: V_t, the sum of lambda^(t - tau) U_tau over tau <= t.

    Args:
        features: U of all frames of B clips, `(B * T, ...)`, the frames of a clip after one another.
        frames: T.
        lam: lambda.

    Returns:
        V, in the shape of U.
    """
    flat = ops.reshape(features, (-1, frames, int(np.prod(features.shape[1:]))))
    time = ops.arange(frames, dtype="float32")
    age = time[:, None] - time[None, :]
    weights = ops.where(age >= 0, ops.power(ops.cast(lam, "float32"), ops.maximum(age, 0.0)), 0.0)
    return ops.reshape(ops.matmul(ops.cast(weights, flat.dtype), flat), (-1, *features.shape[1:]))
