"""What exported models share: the interface of `FaceAligner.align`, whatever runs them."""

import numpy as np

from kfacealign import schemes


class ExportedAligner:
    """What exported models share: crops in, landmarks out.

    Attributes:
        metadata: dict, as written by `export`.
        scheme: the landmark `Scheme`.
        input_size: side of the crops in pixels.
        enlarge: side of the crops over the longer side of the landmark box, as in training.
        resizable: whether the graph takes any number of crops, else one.
    """

    def __init__(self, path, described):
        self.path = str(path)
        self.metadata = described
        try:
            self.scheme = schemes.get(described["scheme"])
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self.input_size = described["input_size"]
        self.enlarge = described["enlarge"]
        image = described.get("input", {})
        self.dtype = image.get("dtype", "float32")
        self.resizable = image.get("shape", [1])[0] is None

    def run_tensors(self, tensors):
        """The graph as it is: dict of input arrays -> dict of output arrays."""
        raise TypeError(f"{type(self).__name__} does not define run_tensors")

    def run(self, image):
        """`(B, S, S, 3)` pixels 0..255, B = 1 unless `resizable` -> landmarks `(B, K, 2)`, scores `(B, K)`."""
        result = self.run_tensors({"image": as_pixels(image, self.dtype)})
        return result["landmarks"], result["scores"]

    def align(self, images, batch_size=32, verbose="auto"):
        """Landmarks of face crops.

        Args:
            images: `(N, S, S, 3)` pixels 0..255, RGB, uint8 or float, S the input size.
            batch_size: crops a step of a model that is `resizable`; others take one.
            verbose: 1 shows a progress bar, 0 none; "auto" shows it from 128 crops on.

        Returns:
            landmarks `(N, K, 2)` float32 in crop coordinates, scores `(N, K)` float32.

        Raises:
            ValueError: the crops are not of the shape the model reads.
        """
        images = np.asarray(images)
        expected = (self.input_size, self.input_size, 3)
        if images.ndim != 4 or images.shape[1:] != expected:
            raise ValueError(f"align reads crops of shape (N, {expected[0]}, {expected[1]}, 3), got {images.shape}")
        points = self.scheme.num_points
        landmarks = np.zeros((len(images), points, 2), "float32")
        scores = np.zeros((len(images), points), "float32")
        shown = len(images) >= 128 if verbose == "auto" else bool(verbose)
        step = batch_size if self.resizable else 1
        for first in progress(range(0, len(images), step), "aligning", shown):
            batch = slice(first, first + step)
            landmarks[batch], scores[batch] = self.run(images[batch])
        return landmarks, scores


def as_pixels(images, dtype):
    """Pixels of any type as `dtype`, float32 or uint8."""
    images = np.asarray(images)
    if dtype == "uint8" and images.dtype != np.uint8:
        images = np.clip(np.rint(images), 0, 255)
    return images.astype(dtype, copy=False)


def progress(items, description, shown):
    """The items, with a progress bar on a terminal if `shown`."""
    if not shown:
        return items
    from rich.progress import track

    return track(items, description=description)
