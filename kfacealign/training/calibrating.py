"""Calibration: a trained model learns to say which of its points can be seen, and how far off each may be.

The model stays as it is. Its features are computed once; a small head learns from them by the likelihood of the model's errors
and of the points' visibility. Faces that were kept back from this say how large the ellipses have to be so that they hold the
share of errors that they claim (split conformal prediction), and what the visibility's logits mean (Platt scaling).
"""

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np
from keras import ops
from rich.progress import track

from kfacealign import geometry, metrics, schemes
from kfacealign.backend import keras
from kfacealign.console import make_console
from kfacealign.data.crops import Crops
from kfacealign.data.faces import Faces
from kfacealign.data.people import guessed
from kfacealign.data.rendered.synthetic import SyntheticFaces
from kfacealign.layers.certainty import CertaintyHead, cholesky, covariance, sampled
from kfacealign.losses.ellipse import laplace_likelihood
from kfacealign.models.aligner import FaceAligner, default_jit_compile
from kfacealign.models.calibrated import CalibratedAligner
from kfacealign.models.inference import InferencePart

LEVELS = (0.5, 0.8, 0.9)
KEPT_BACK = 0.3  # of the people, where nobody else is there to set the ellipses
LEAD = 0.9  # the level at which the covariance is that of a Gaussian
COMPONENTS = 128  # of the features, by which the head learns; they are the directions in which features differ most
FIRST = 192  # crops by which these directions are found
BATCH = 32
SEED = 40_000_000  # of the rendered faces; no preset was trained on these
RENDERED = 256  # pixels of a rendered face
PLATT_STEPS = 50


@dataclasses.dataclass(frozen=True, kw_only=True)
class Read:
    """What a model says of N faces, and what is true of them.

    Attributes:
        samples: (N, K, D) features at the landmarks. mean: (N, D) mean features.
        landmarks: (N, K, 2) found. scores: (N, K) found.
        errors: (N, K, 2), true less found landmarks, in crop coordinates.
        counted: (N, K), 1 where the true landmark is known. visible: (N, K), 1 where the point can be seen.
        flagged: (N, K), 1 where it is known whether it can.
    """

    samples: np.ndarray
    mean: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    errors: np.ndarray
    counted: np.ndarray
    visible: np.ndarray
    flagged: np.ndarray

    def __len__(self) -> int:
        return len(self.landmarks)

    def __getitem__(self, chosen: np.ndarray) -> "Read":
        return Read(**{field.name: getattr(self, field.name)[chosen] for field in dataclasses.fields(self)})


def joined(parts: Iterable[Read]) -> Read:
    """Several `Read` of one reader as one, in their order."""
    parts = list(parts)
    return Read(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in dataclasses.fields(Read)}
    )


def calibrate(
    model: FaceAligner,
    fit: Faces,
    kept_back: Faces,
    *,
    rendered: int = 2000,
    epochs: int = 30,
    seed: int = 0,
    rate: float = 2e-3,
) -> CalibratedAligner:
    """A `CalibratedAligner` of a trained model.

    Where faces of `fit` and `kept_back` have no flags of hidden points, faces are rendered, three quarters of them to learn
    from, and the visibility is that of rendered faces.

    Args:
        model: a `FaceAligner`.
        fit: faces that the head learns from.
        kept_back: faces of other people, which should not have trained the model either: they decide how large the ellipses
            are.
        rendered: how many faces are rendered.
        epochs: passes of the head over the faces.
        seed: of the head's first weights and of the order of the faces.
        rate: learning rate of the first epoch; it falls to 0 by a cosine.

    Raises:
        ValueError: faces have another scheme, or none of them can be read; the model is a tracker, calibrated already, or its
            class names no features; there are no flags of hidden points and none can be rendered.
    """
    for faces in (fit, kept_back):
        if not faces.scheme.matches(model.scheme):
            raise ValueError(f"the model predicts {model.scheme.name}, the faces have {faces.scheme.difference(model.scheme)}")
    flagged = fit.occluded is not None and kept_back.occluded is not None
    if not flagged and model.scheme.name not in schemes.BUILT_IN:
        raise ValueError(
            f"nothing says which points are hidden: the faces have no flags, and none with the points of {model.scheme.name} are "
            "rendered; give faces with flags, as COCO, CVAT and YOLO files have them"
        )
    reader = Reader(model)
    learnt, held = reader.faces(fit, "reading faces"), reader.faces(kept_back, "reading faces kept back")
    judged = held
    if not flagged:
        drawn = reader.rendered(rendered)
        cut = len(drawn) * 3 // 4
        learnt, judged = joined([learnt, drawn[np.arange(cut)]]), drawn[np.arange(cut, len(drawn))]
    head = learn(reader, learnt, epochs=epochs, seed=seed, rate=rate)
    return finished(reader, head, held, judged)


def people(faces: Faces) -> np.ndarray:
    """A number (N,) for each face, the same for pictures of one person, see `kfacealign.data.people.guessed`.

    Where that gives fewer than ten people, every picture is one of its own.
    """
    numbers = np.unique(guessed(faces.images), return_inverse=True)[1]
    if len(numbers) and numbers.max() + 1 < 10:
        numbers = np.unique(faces.images, return_inverse=True)[1]
    return numbers


def split_people(faces: Faces, share: float, *, seed: int = 0) -> tuple[Faces, Faces]:
    """Faces in two parts that share no person (see `people`): about 1 - `share` of the people, and the others."""
    numbers = people(faces)
    order = np.random.default_rng(seed).permutation(numbers.max() + 1)
    second = np.isin(numbers, order[: max(1, round(share * len(order)))])
    return faces[~second], faces[second]


# === Features ===


class Reader:
    """Reads what the head of a model reads.

    Args:
        model: a `FaceAligner`.

    Attributes:
        aligner: the `CalibratedAligner` to be, whose head is untrained.
        centre: (C,) mean of the features. directions: (C, D) to which they are projected; None before the first crops.
    """

    def __init__(self, model: FaceAligner):
        self.model, self.aligner = model, CalibratedAligner(model)
        self.centre = self.directions = None
        self.graph = feature_model(self.aligner)

    def faces(self, faces: Faces, told: str) -> Read:
        """Reads annotated faces; those whose photograph cannot be read are left out.

        Args:
            faces: the faces.
            told: what the progress bar calls them.

        Raises:
            ValueError: none of them can be read.
        """
        crops = Crops(faces, size=self.model.input_size, enlarge=self.model.enlarge, cache=None)
        flags = np.zeros(faces.weights.shape, bool) if faces.occluded is None else ~faces.occluded

        def batches():
            for start in range(0, len(crops), BATCH):
                indices = np.arange(start, min(start + BATCH, len(crops)))
                images, landmarks, weights = crops.batch(indices)
                known = weights > 0
                yield images, landmarks, known, flags[indices], known & (faces.occluded is not None)

        read = self.read(batches(), len(crops), told)
        kept = read.counted.any(1)
        if not kept.any():
            raise ValueError(
                f"none of the {len(crops)} faces to calibrate with can be read: check the photographs of the dataset"
            )
        return read if kept.all() else read[np.flatnonzero(kept)]

    def rendered(self, count: int) -> Read:
        """Reads rendered faces, whose visibility is known."""
        size, name = self.model.input_size, self.model.scheme.name
        source = SyntheticFaces(SEED, size=RENDERED)

        def cut(index):
            face = source.render(index)
            points = face.landmarks[name]
            image, matrix = geometry.crop(
                face.image, geometry.square_box(geometry.landmark_box(points), self.model.enlarge), size
            )
            return image, geometry.apply_affine(matrix, points) / np.float32(size), face.visible[name]

        def batches():
            for start in range(0, count, BATCH):
                images, points, visible = map(np.stack, zip(*map(cut, range(start, min(start + BATCH, count))), strict=True))
                known = np.ones(visible.shape, bool)
                yield images, points, known, visible, known

        return self.read(batches(), count, "rendering faces")

    def read(self, batches: Iterator[tuple], count: int, told: str) -> Read:
        """Runs the network on batches of crops, true landmarks, and three arrays of flags, as `Read` has them."""
        console, waiting, done = make_console(), [], []
        steps = -(-count // BATCH)
        for images, truth, *flags in track(batches, told, total=steps, console=console, disable=not console.is_terminal):
            samples, mean, landmarks, scores = self.run(images)
            waiting.append((samples, mean, landmarks, scores, truth - landmarks, *flags))
            if self.directions is None and sum(len(part[0]) for part in waiting) >= min(FIRST, count):
                self.find_directions([part[0] for part in waiting])
            if self.directions is not None:
                done += [(self.projected(part[0]), self.projected(part[1]), *part[2:]) for part in waiting]
                waiting = []
        columns = [np.concatenate(column) for column in zip(*done, strict=True)]
        names = [field.name for field in dataclasses.fields(Read)]
        return Read(**dict(zip(names, columns, strict=True)))

    def run(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        """Samples (B, K, C), mean features (B, C), landmarks and scores of crops (B, S, S, 3)."""
        padding = np.repeat(images[-1:], BATCH - len(images), axis=0)
        found = self.graph.predict_on_batch(np.concatenate([images, padding]).astype("float32"))
        return tuple(np.asarray(found[name])[: len(images)] for name in ("samples", "mean", "landmarks", "scores"))

    def find_directions(self, samples: list[np.ndarray]) -> None:
        """The directions in which features differ most, each scaled to a standard deviation of 1."""
        rows = np.concatenate([part.reshape(-1, part.shape[-1]) for part in samples]).astype("float64")
        self.centre = rows.mean(0)
        values, vectors = np.linalg.eigh(np.cov(rows - self.centre, rowvar=False))
        chosen = np.argsort(-values)[:COMPONENTS]
        chosen = chosen[values[chosen] > 1e-6 * values.max()]
        self.directions = vectors[:, chosen] / np.sqrt(values[chosen])

    def projected(self, features: np.ndarray) -> np.ndarray:
        """Features (..., C) -> (..., D)."""
        return ((features - self.centre) @ self.directions).astype("float32")


def feature_model(aligner: CalibratedAligner) -> keras.Model:
    """Functional model: crops (B, S, S, 3) -> `samples` (B, K, C), `mean` (B, C), `landmarks` and `scores`."""
    image = keras.Input((aligner.input_size, aligner.input_size, 3), dtype="float32", name="image")
    tensors = {"image": image}
    for part in inner_parts(aligner):
        tensors.update(part({name: tensors[name] for name in part.inputs}))
    read = SampledFeatures(name="sampled")([tensors[aligner.feature_name], tensors["landmarks"]])
    model = keras.Model(image, {**read, "landmarks": tensors["landmarks"], "scores": tensors["scores"]}, name="features")
    model.jit_compile = default_jit_compile()
    return model


def inner_parts(aligner: CalibratedAligner) -> list[InferencePart]:
    """The parts of inference of the model inside, the first of which returns the features as well."""
    return aligner.aligner.inference_parts(network=aligner.network)


class SampledFeatures(keras.layers.Layer):
    """Features `(B, h, w, C)` and landmarks `(B, K, 2)` -> `samples` `(B, K, C)` and `mean` `(B, C)`."""

    def call(self, inputs: list) -> dict:
        features, landmarks = inputs
        return {"samples": sampled(features, landmarks), "mean": ops.mean(features, axis=(1, 2))}


# === Learning ===


def learn(reader: Reader, read: Read, *, epochs: int, seed: int, rate: float) -> CertaintyHead:
    """A head of the reader's D directions that has learnt from what was read."""
    points, channels = read.samples.shape[1:]
    keras.utils.set_random_seed(seed)
    head = CertaintyHead(points, channels, name="certainty")
    inputs = [keras.Input(part.shape[1:], dtype="float32") for part in (read.samples, read.mean, read.landmarks, read.scores)]
    model = keras.Model(inputs, FromSamples(head)(inputs))
    steps = epochs * -(-len(read) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=0.02, clipnorm=1.0)
    model.compile(optimizer, loss=likelihood, jit_compile=default_jit_compile())
    truth = np.concatenate([read.errors, *(part[..., None] for part in (read.counted, read.visible, read.flagged))], axis=-1)
    x = [read.samples, read.mean, read.landmarks, read.scores]
    model.fit(x, truth.astype("float32"), batch_size=BATCH, epochs=epochs, verbose=0)
    return head


@keras.saving.register_keras_serializable(package="kfacealign")
class FromSamples(keras.layers.Layer):
    """A `CertaintyHead` on features that were read before."""

    def __init__(self, head: CertaintyHead, **kwargs):
        super().__init__(**kwargs)
        self.head = head

    def call(self, inputs: list):
        return self.head.from_samples(*inputs)


def likelihood(truth, raw):
    """The loss (B,) of what a head says, `(B, K, 4)`: the ellipses' negative logarithmic likelihood and the cross-entropy.

    Args:
        truth: `(B, K, 5)`: errors, whether they count, whether the point can be seen, and whether that is known.
        raw: `(B, K, 4)`, see `CertaintyHead.from_parts`.
    """
    counted, visible, flagged = truth[..., 2], truth[..., 3], truth[..., 4]
    ellipse = laplace_likelihood(truth[..., :2], cholesky(raw))
    logit = raw[..., 3]
    seen = ops.softplus(logit) - visible * logit
    return ops.mean(counted * ellipse + flagged * seen, axis=-1)


# === Calibration ===


def finished(reader: Reader, head: CertaintyHead, held: Read, judged: Read) -> CalibratedAligner:
    """The calibrated model of a head that has learnt: `held` set the ellipses, `judged` the visibility."""
    raw = said(head, held)
    distances = metrics.ellipse_distances(held.errors, covariance_of(raw))[held.counted > 0]
    lead = metrics.conformal_radius(distances, LEAD)
    scale = lead / metrics.gaussian_radius(LEAD)
    radii = {level: metrics.conformal_radius(distances, level) / scale for level in LEVELS}
    known = judged.flagged > 0
    slope, offset = platt(said(head, judged)[..., 3][known], judged.visible[known])
    whole = unfolded(head, reader, scale=scale, slope=slope, offset=offset)
    return CalibratedAligner(reader.model, whole, radii=radii)


def said(head: CertaintyHead, read: Read) -> np.ndarray:
    """What a head says of what was read, (N, K, 4)."""
    inputs = (read.samples, read.mean, read.landmarks, read.scores)
    parts = [[part[start : start + 256] for part in inputs] for start in range(0, len(read), 256)]
    return np.concatenate([ops.convert_to_numpy(head.from_samples(*map(ops.convert_to_tensor, part))) for part in parts])


def covariance_of(raw: np.ndarray) -> np.ndarray:
    """(..., 3) xx, xy, yy of what a head says."""
    return ops.convert_to_numpy(covariance(cholesky(ops.convert_to_tensor(raw))))


def platt(logits: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and offset (a, b) for which sigmoid(a logit + b) is the likeliest probability, by Newton's steps.

    The truth is softened as by Platt, so that finite values are the best even where both kinds are apart.
    """
    logits, truth = np.asarray(logits, np.float64).ravel(), np.asarray(truth, bool).ravel()
    many = truth.sum()
    wanted = np.where(truth, (many + 1) / (many + 2), 1 / (len(truth) - many + 2))
    rows, found = np.stack([logits, np.ones_like(logits)], 1), np.array([1.0, 0.0])
    for _ in range(PLATT_STEPS):
        likely = 1 / (1 + np.exp(-np.clip(rows @ found, -30, 30)))
        curvature = (rows * (likely * (1 - likely))[:, None]).T @ rows + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, rows.T @ (likely - wanted))
        found = found - step
        if np.abs(step).max() < 1e-9:
            break
    return float(found[0]), float(found[1])


def unfolded(head: CertaintyHead, reader: Reader, *, scale: float, slope: float, offset: float) -> CertaintyHead:
    """The head that reads the network's C features and says what the given head says of their D directions."""
    directions, count = reader.directions, reader.directions.shape[1]
    weights = {weight.name: ops.convert_to_numpy(weight).astype("float64") for weight in head.weights}
    moved = -reader.centre @ directions
    projection, context = weights["projection"], weights["context"]
    weights["point_bias"] = weights["point_bias"] + moved @ projection
    weights["context_bias"] = weights["context_bias"] + moved @ context[:count]
    weights["projection"] = directions @ projection
    weights["context"] = np.concatenate([directions @ context[:count], context[count:]])
    calibration = {"scale": scale, "slope": slope, "offset": offset}
    whole = CertaintyHead(head.points, len(directions), width=head.width, name="certainty", **calibration)
    whole.set_weights([weights[weight.name].astype("float32") for weight in whole.weights])
    return whole
