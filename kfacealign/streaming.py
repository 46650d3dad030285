"""What a model answers, and a model that reads one frame after another: a step function and the state that it hands on."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

FARTHEST = 1000  # sides of the crop
# What models can answer of N crops -> its shape without N; K stands for the number of landmarks.
SHAPES = {"landmarks": ("K", 2), "scores": ("K",), "visibility": ("K",), "covariance": ("K", 3)}


def empty_answers(names: Iterable[str], points: int) -> dict[str, np.ndarray]:
    """What a model of so many landmarks answers of no crop: name -> `(0, ...)` float32."""
    return {name: np.zeros((0, *(points if side == "K" else side for side in SHAPES[name])), "float32") for name in names}


def require_finite(landmarks: np.ndarray, scores: np.ndarray, name: str) -> None:
    """Refuses answers that are no numbers, or places that no trained model means, so that none of them reaches a file.

    Args:
        landmarks: any shape, crop coordinates.
        scores: any shape.
        name: of the model, for the message.

    Raises:
        ValueError: a value is not finite, or a landmark is more than `FARTHEST` sides of the crop away.
    """
    if np.isfinite(landmarks).all() and np.abs(landmarks).max(initial=0) > FARTHEST:
        raise ValueError(f"{name} gives landmarks {FARTHEST:,} sides of the crop away: its file is damaged, or it is not trained")
    if not (np.isfinite(landmarks).all() and np.isfinite(scores).all()):
        raise ValueError(
            f"{name} gives landmarks or scores that are not finite numbers: its training diverged, or its file is damaged"
        )


class Stream:
    """A tracker at work on one face: it is given frame after frame and remembers what it needs of the past.

    Args:
        run: function from a dict of arrays, `image` `(1, S, S, 3)` float32 and the states, to a dict of arrays,
            `landmarks` `(1, K, 2)`, `scores` `(1, K)` and the new states.
        states: name of a state -> its shape.
        input_size: side S of the crops in pixels.
        name: what messages call the model.

    Example:
        >>> stream = tracker.stream()
        >>> for crop in clip:
        ...     landmarks, scores = stream.step(crop)
        >>> stream.reset()    # before the next clip
    """

    def __init__(
        self,
        run: Callable[[dict[str, np.ndarray]], Mapping[str, np.ndarray]],
        states: Mapping[str, tuple[int, ...]],
        input_size: int,
        name: str = "the tracker",
    ):
        self.run = run
        self.states = {name: tuple(shape) for name, shape in states.items()}
        self.input_size = input_size
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forgets all frames: the next one is the first of a clip."""
        self.state = {name: np.zeros(shape, "float32") for name, shape in self.states.items()}

    def step(self, crop: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Landmarks of the next frame.

        Args:
            crop: `(S, S, 3)` pixels 0..255, RGB, uint8 or float.

        Returns:
            landmarks `(K, 2)` float32 in crop coordinates, scores `(K,)` float32.

        Raises:
            ValueError: the crop is not of the shape the tracker reads, or the answer is not finite.
        """
        crop = np.asarray(crop)
        expected = (self.input_size, self.input_size, 3)
        if crop.shape != expected:
            raise ValueError(f"step reads one crop of shape {expected}, got {crop.shape}")
        result = self.run({"image": crop[None].astype("float32"), **self.state})
        landmarks, scores = np.asarray(result["landmarks"])[0], np.asarray(result["scores"])[0]
        require_finite(landmarks, scores, self.name)
        self.state = {name: np.asarray(result[name]) for name in self.states}
        return landmarks, scores
