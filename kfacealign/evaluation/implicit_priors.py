"""What a model answers where there is no face: its implicit prior (PIPNet, Sec. 3.4 and Fig. 9).

The zeros at the border of its convolutions tell a network which part of the crop it looks at. So it learns not only how
landmarks look, but also where they mostly are. The paper shows this twice. In Fig. 9a a network is trained on black crops with
true landmarks, and finds the mean face on black crops. In Fig. 9b-d a network that is trained on faces sees no face:

```python
model.fit(blackened(pipeline(faces.train, size=256, batch_size=16)), epochs=10)  # Fig. 9a
result = implicit_prior(model)
result = implicit_prior(trained, "texture")                                      # Fig. 9b-d
print(result)
plt.imshow(draw_implicit_prior(result))
```
"""

import dataclasses
from typing import Any

import cv2
import numpy as np

from kfacealign import drawing, metrics, schemes
from kfacealign.backend import keras
from kfacealign.evaluation.plots import GREEN, RED

KINDS = ("black", "noise", "texture")
MEAN_SHAPE_ENLARGE = 1.25  # side of the crop over the longer side of the landmarks' box in `Scheme.mean_shape`
BRIGHTNESS = 0.6  # factor that darkens the images under the drawings


@dataclasses.dataclass(eq=False, repr=False, kw_only=True)
class ImplicitPrior:
    """Predictions on images without a face; it prints as its figures.

    Distances are what `metrics.nme` gives with the mean shape as the truth: percent of the mean shape's inter-ocular distance,
    or of the scheme's default normaliser if that is another.

    Attributes:
        scheme: the landmark scheme.
        images: (N, S, S, 3) uint8, what the model saw.
        landmarks: (N, K, 2), its predictions in crop coordinates.
        scores: (N, K), its scores.
        mean_shape: (K, 2), the mean shape in crop coordinates, as large as faces are in the model's crops.
        distance_to_mean_shape: (N,) percent, the distance of each prediction in shape, place and size.
        distance_after_alignment: (N,) percent, the distance in shape alone, after the prediction is moved, turned and scaled
            onto the mean shape.
        spread: percent, the mean distance of the predictions to their own mean; 0 says that the answer ignores the image.
    """

    scheme: schemes.Scheme
    images: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray
    mean_shape: np.ndarray
    distance_to_mean_shape: np.ndarray
    distance_after_alignment: np.ndarray
    spread: float

    def __repr__(self) -> str:
        return (
            f"{len(self.images)} images without a face, {self.scheme.name}, in percent: "
            f"{self.distance_to_mean_shape.mean():.2f} from the mean shape, "
            f"{self.distance_after_alignment.mean():.2f} after alignment, spread {self.spread:.2f}"
        )


def implicit_prior(
    model: Any,
    images: str | np.ndarray | None = None,
    *,
    count: int = 16,
    seed: int = 0,
    mean_shape: np.ndarray | None = None,
) -> ImplicitPrior:
    """Runs a model on images without a face and measures how far its answers are from the mean face.

    Args:
        model: a `FaceAligner`, an exported model, or anything else with `align`, `input_size`, `scheme` and `enlarge`.
        images: a kind of `faceless` images, "black", "noise" or "texture"; or crops of your own, `(N, S, S, 3)` of the
            model's input size, 0..255. None is "black".
        count: how many `faceless` images are made.
        seed: seed of the `faceless` images.
        mean_shape: `(K, 2)` in crop coordinates, for instance the mean of the training landmarks; None takes the scheme's,
            scaled to the model's crops.

    Raises:
        ValueError: there is no such kind of image, there is no image, or the images or the mean shape do not fit the model.
    """
    scheme = schemes.get(model.scheme)
    if mean_shape is None and scheme.mean_shape is None:
        raise ValueError(f"{scheme.name} has no mean shape to compare with: pass mean_shape")
    if mean_shape is None:
        mean_shape = 0.5 + (scheme.mean_shape - 0.5) * (MEAN_SHAPE_ENLARGE / model.enlarge)
    mean_shape = np.asarray(mean_shape, "float32")
    if mean_shape.shape != (scheme.num_points, 2):
        raise ValueError(f"mean_shape must be ({scheme.num_points}, 2) for {scheme.name}, got {mean_shape.shape}")
    if images is None or isinstance(images, str):
        images = faceless(images or "black", count=count, size=model.input_size, seed=seed)
    images = np.asarray(images)
    if not len(images):
        raise ValueError("there is no image: give images, or a count above 0")
    landmarks, scores = (np.asarray(values, "float32") for values in model.align(images, verbose=0))

    def distance(shapes, target):
        truth = np.broadcast_to(target, shapes.shape)
        return keras.ops.convert_to_numpy(metrics.nme(truth, shapes, scheme, name=scheme.default_normalizer))

    own_mean = landmarks.mean(0)
    # The spread is measured around the mean shape: its size is then the unit, even if the predictions fall into one point.
    spread = distance(mean_shape + landmarks - own_mean, mean_shape).mean()
    return ImplicitPrior(
        scheme=scheme,
        images=np.clip(np.round(images), 0, 255).astype("uint8"),
        landmarks=landmarks,
        scores=scores,
        mean_shape=mean_shape,
        distance_to_mean_shape=distance(landmarks, mean_shape),
        distance_after_alignment=distance(similarity_aligned(landmarks, mean_shape), mean_shape),
        spread=float(spread),
    )


def faceless(kind: str, *, count: int, size: int, seed: int = 0) -> np.ndarray:
    """Images without a face.

    Args:
        kind: "black"; "noise", in which every value is drawn on its own; or "texture", clouds of colour whose amplitude is
            proportional to one over the frequency, as in photographs.
        count: N.
        size: side S in pixels.
        seed: seed of noise and texture.

    Returns:
        `(N, S, S, 3)` uint8.

    Raises:
        ValueError: there is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f"no images of the kind {kind!r}; there are {', '.join(KINDS)}")
    generator = np.random.default_rng(seed)
    if kind == "black":
        return np.zeros((count, size, size, 3), "uint8")
    if kind == "noise":
        return generator.integers(0, 256, (count, size, size, 3), "uint8")
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size))
    frequency[0, 0] = np.inf  # no constant part
    spectrum = np.fft.rfft2(generator.normal(size=(count, 3, size, size))) / frequency
    layers = np.fft.irfft2(spectrum, s=(size, size), axes=(2, 3))
    layers /= np.maximum(layers.std(axis=(2, 3), keepdims=True), 1e-9)
    # Photographs vary most in brightness, less from blue to yellow, and least from green to purple.
    colours = np.array([[50, 50, 50], [16, 0, -16], [7, -14, 7]])
    return np.clip(128 + np.einsum("nlyx,lc->nyxc", layers, colours), 0, 255).astype("uint8")


def similarity_aligned(shapes: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Moves, turns and scales shapes onto a target with the least squared distance; nothing is mirrored.

    With shape and target as complex numbers z and t around their means, the best a z has a = sum(conj(z) t) / sum |z|^2.

    Args:
        shapes: `(N, K, 2)`.
        target: `(K, 2)`.

    Returns:
        `(N, K, 2)` float32; a shape that is a single point goes to the target's mean.
    """
    target, shapes = np.asarray(target, "float64"), np.asarray(shapes, "float64")
    middle = target.mean(0)
    t = (target - middle) @ [1, 1j]
    z = (shapes - shapes.mean(1, keepdims=True)) @ [1, 1j]
    size = (np.abs(z) ** 2).sum(1)
    factor = np.where(size > 1e-12, (z.conj() * t).sum(1) / np.maximum(size, 1e-12), 0)
    moved = factor[:, None] * z
    return (np.stack([moved.real, moved.imag], axis=-1) + middle).astype("float32")


def draw_implicit_prior(result: ImplicitPrior, *, columns: int = 4, size: int = 192) -> np.ndarray:
    """The darkened images, with the mean shape in green and the model's answer in red.

    Args:
        result: an `ImplicitPrior`.
        columns: images in a row.
        size: side of an image in the picture, in pixels.

    Returns:
        `(H, W, 3)` uint8, RGB.
    """
    pictures = []
    for image, landmarks in zip(result.images, result.landmarks, strict=True):
        picture = cv2.resize((BRIGHTNESS * image).astype("uint8"), (size, size), interpolation=cv2.INTER_AREA)
        picture = drawing.draw_landmarks(picture, result.mean_shape * size, result.scheme, color=GREEN)
        pictures.append(drawing.draw_landmarks(picture, landmarks * size, result.scheme, color=RED))
    return drawing.mosaic(pictures, min(columns, len(pictures)))


def blackened(dataset: Any) -> Any:
    """The batches of a dataset with every image black and the labels unchanged.

    Args:
        dataset: a `tf.data.Dataset` or a `keras.utils.PyDataset` of `(images, labels)`; `kfacealign.data.pipeline` makes such.

    Returns:
        A dataset of the same kind.

    Raises:
        TypeError: the dataset is of neither kind.
    """
    if isinstance(dataset, keras.utils.PyDataset):
        return BlackBatches(dataset)
    if not hasattr(dataset, "map"):
        raise TypeError(f"blackened takes a tf.data.Dataset or a keras.utils.PyDataset, not {type(dataset).__name__}")
    return dataset.map(_black)


class BlackBatches(keras.utils.PyDataset):
    """The batches of another `PyDataset`, with black images."""

    def __init__(self, batches: keras.utils.PyDataset):
        super().__init__(batches.workers, batches.use_multiprocessing, batches.max_queue_size)
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, number: int) -> tuple:
        return _black(*self.batches[number])

    def on_epoch_begin(self) -> None:
        self.batches.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def _black(images, *labels):
    return (images * 0, *labels)
