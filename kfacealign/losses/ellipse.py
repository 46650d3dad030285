"""Likelihoods of two-dimensional errors under an ellipse: a Gaussian's, and one with longer tails.

An ellipse is given by the Cholesky factor L of its matrix, `[[a, 0], [b, c]]` with a and c above 0: the matrix is L L^T. The
distance r of an error e is the length of L^-1 e.
"""

from typing import Any

from keras import ops

TINY = 1e-6  # below the root, whose slope at 0 is infinite


def squared_distances(errors: Any, factors: Any) -> Any:
    """r^2 `(...)` of errors `(..., 2)` under factors `(..., 3)`: a, b, c."""
    first = errors[..., 0] / factors[..., 0]
    second = (errors[..., 1] - factors[..., 1] * first) / factors[..., 2]
    return ops.square(first) + ops.square(second)


def gaussian_likelihood(errors: Any, factors: Any) -> Any:
    """The negative logarithm of the Gaussian density, r^2 / 2 + log(2 pi a c).

    Args:
        errors: `(..., 2)`.
        factors: `(..., 3)`: a, b, c.

    Returns:
        `(...)`.
    """
    return 0.5 * squared_distances(errors, factors) + log_areas(factors)


def laplace_likelihood(errors: Any, factors: Any) -> Any:
    """The negative logarithm of the elliptical Laplace density, r + log(2 pi a c): single large errors weigh less.

    The density's own covariance is three times L L^T.

    Args:
        errors: `(..., 2)`.
        factors: `(..., 3)`: a, b, c.

    Returns:
        `(...)`.
    """
    return ops.sqrt(squared_distances(errors, factors) + TINY) + log_areas(factors)


def log_areas(factors: Any) -> Any:
    """log(2 pi a c) `(...)` of factors `(..., 3)`."""
    return ops.log(factors[..., 0]) + ops.log(factors[..., 2]) + 1.8378770664093453
