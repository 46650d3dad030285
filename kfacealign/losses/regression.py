"""Losses of coordinate regression (LOTR, Sec. 2.5 and 3.2)."""

import math
from typing import Any

import keras
from keras import ops


class RegressionLoss(keras.losses.Loss):
    """A penalty of each coordinate's error in pixels of the training crop, averaged over x and y.

    The unit matters: Wing's `w = 10` and smooth-Wing's `t = 0.01` are pixels of the paper's 192-px crop.
    `Coordinates(pixels=192)` scales crop coordinates to pixels; a direct call of a loss needs pixels, too. Eq. 5 sums over
    points and coordinates; here the loss is the mean over the annotated points of a batch and over x and y, so that its scale
    depends neither on the scheme nor on how many points are annotated.

    Inputs `y_true`, `y_pred`: `(B, K, 2)` in pixels. `call` returns `(B, K)`, so that `sample_weight` of that shape can
    leave out points that are not annotated.

    A subclass defines `penalty(error)`, elementwise.
    """

    def __init__(self, name: str, *, reduction: str | None = "mean_with_sample_weight", dtype: Any = None):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def penalty(self, error: Any) -> Any:
        """The penalty of each error, in the shape of `error`."""
        raise TypeError(f"{type(self).__name__} does not define penalty")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(self.penalty(y_pred - y_true), axis=-1)


@keras.saving.register_keras_serializable(package="kfacealign")
class L1(RegressionLoss):
    """`|x|`, x in pixels; see `RegressionLoss` for shapes and unit."""

    def __init__(self, *, name: str = "l1", **kwargs: Any):
        super().__init__(name, **kwargs)

    def penalty(self, error: Any) -> Any:
        return magnitude(error)


@keras.saving.register_keras_serializable(package="kfacealign")
class L2(RegressionLoss):
    """`x^2 / 2`, x in pixels; see `RegressionLoss` for shapes and unit."""

    def __init__(self, *, name: str = "l2", **kwargs: Any):
        super().__init__(name, **kwargs)

    def penalty(self, error: Any) -> Any:
        return 0.5 * ops.square(error)


@keras.saving.register_keras_serializable(package="kfacealign")
class SmoothL1(RegressionLoss):
    """`x^2 / 2` below one pixel, `|x| - 1/2` from there on (Eq. 3); see `RegressionLoss` for shapes and unit."""

    def __init__(self, *, name: str = "smooth_l1", **kwargs: Any):
        super().__init__(name, **kwargs)

    def penalty(self, error: Any) -> Any:
        size = magnitude(error)
        return ops.where(size < 1.0, 0.5 * ops.square(error), size - 0.5)


@keras.saving.register_keras_serializable(package="kfacealign")
class Wing(RegressionLoss):
    """The Wing loss: logarithmic for small errors, linear for large ones (Eq. 4).

        wing(x) = w ln(1 + |x| / epsilon)   if |x| < w
                  |x| - c                   otherwise,   c = w - w ln(1 + w / epsilon)

    The gradient jumps from -w / epsilon to w / epsilon at 0, and from w / (w + epsilon) to 1 at w; `SmoothWing` removes
    both jumps.

    Args:
        w: where the logarithm ends, in pixels of the training crop.
        epsilon: curvature in pixels; the smaller it is, the steeper the logarithm begins.

    Raises:
        ValueError: `w` or `epsilon` is not positive.
    """

    def __init__(self, w: float = 10.0, epsilon: float = 2.0, *, name: str = "wing", **kwargs: Any):
        check_positive(w=w, epsilon=epsilon)
        super().__init__(name, **kwargs)
        self.w = w
        self.epsilon = epsilon

    def penalty(self, error: Any) -> Any:
        size = magnitude(error)
        c = self.w - self.w * math.log1p(self.w / self.epsilon)
        return ops.where(size < self.w, self.w * ops.log1p(size / self.epsilon), size - c)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "w": self.w, "epsilon": self.epsilon}


@keras.saving.register_keras_serializable(package="kfacealign")
class SmoothWing(RegressionLoss):
    """The Wing loss with a continuous gradient: quadratic around 0 (Sec. 3.2, Eq. 6).

        s-wing(x) = s x^2                                     if |x| < t
                    (w + epsilon) ln(1 + |x| / epsilon) - c2  if t <= |x| <= w
                    |x| - c1 - c2                             if |x| > w

        s  = (w + epsilon) / (2 t (epsilon + t))
        c1 = w - (w + epsilon) ln(1 + w / epsilon)
        c2 = (w + epsilon) ln(1 + t / epsilon) - s t^2

    The paper prints `c2 = s t^2`, with which the value jumps at t, by 1.5e-4 for the paper's parameters. The `c2` above
    closes the jump and changes no gradient. The gradient is 0 at 0, (w + epsilon) / (t + epsilon) at t and 1 from w on.

    Args:
        w: where the logarithm ends, in pixels of the training crop.
        epsilon: curvature in pixels; the smaller it is, the steeper the logarithm begins.
        t: where the logarithm begins, in pixels of the training crop.

    Raises:
        ValueError: an argument is not positive, or `t` is not below `w`.

    Example:
        >>> error = keras.ops.array([[[3.0, -0.005]]])   # pixels
        >>> SmoothWing(reduction=None)(keras.ops.zeros_like(error), error)
    """

    def __init__(self, w: float = 10.0, epsilon: float = 2.0, *, t: float = 0.01, name: str = "smooth_wing", **kwargs: Any):
        check_positive(w=w, epsilon=epsilon, t=t)
        if t >= w:
            raise ValueError(f"t must be below w, where the logarithm ends; got t = {t}, w = {w}")
        super().__init__(name, **kwargs)
        self.w = w
        self.epsilon = epsilon
        self.t = t

    def penalty(self, error: Any) -> Any:
        size = magnitude(error)
        steepness = self.w + self.epsilon
        s = steepness / (2 * self.t * (self.epsilon + self.t))
        c1 = self.w - steepness * math.log1p(self.w / self.epsilon)
        c2 = steepness * math.log1p(self.t / self.epsilon) - s * self.t**2
        wing = ops.where(size > self.w, size - c1, steepness * ops.log1p(size / self.epsilon)) - c2
        return ops.where(size < self.t, s * ops.square(error), wing)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "w": self.w, "epsilon": self.epsilon, "t": self.t}


def magnitude(error: Any) -> Any:
    """`|error|` with slope 0 at 0 on every backend; the slope of `ops.abs` at 0 is 1 on JAX and 0 on TensorFlow."""
    return error * ops.sign(error)


def check_positive(**values: float) -> None:
    """Raises ValueError for the first value that is not above 0."""
    for name, value in values.items():
        if value <= 0:
            raise ValueError(f"{name} must be positive (pixels of the training crop), got {value}")
