"""The One-Euro filter."""

import numpy as np

SUREST = 1e-6  # of the scale; no value is surer


class OneEuro:
    """The One-Euro filter (Casiez, Roussel and Vogel, CHI 2012): points that move lag little, points that rest tremble little.

    With T_e the time between frames, for every coordinate x:

        alpha(f) = 1 / (1 + 1 / (2 pi f T_e))
        v_t = alpha(d_cutoff) (x_t - y_(t-1)) / T_e + (1 - alpha(d_cutoff)) v_(t-1)
        y_t = alpha(f_t) x_t + (1 - alpha(f_t)) y_(t-1)   with   f_t = min_cutoff + beta |v_t| / scale

    Where it is known how sure the values are, the cutoff f_t of each is multiplied by s / sigma, sigma its standard deviation
    and s the usual one: a value that is twice as unsure as usual is smoothed at half the cutoff. That is the law of a Kalman
    filter of a random walk, whose gain is about the walk's step over sigma.

    Args:
        fps: frames a second of values that come without a time.
        min_cutoff: cutoff for points that rest, in Hz; a lower one trembles less and lags more.
        beta: how the cutoff grows with the speed, in Hz per (scale per second); with a higher one points that move lag
            less. The tracker's scale is the side of the crop, which makes `beta` independent of the size of the face.
        d_cutoff: cutoff for the speed, in Hz.

    Raises:
        ValueError: a number is not positive (`beta` may be 0).
    """

    def __init__(self, *, fps: float = 25.0, min_cutoff: float = 1.0, beta: float = 20.0, d_cutoff: float = 1.0):
        if not (fps > 0 and min_cutoff > 0 and beta >= 0 and d_cutoff > 0):
            raise ValueError(f"fps {fps}, min_cutoff {min_cutoff}, beta {beta}, d_cutoff {d_cutoff}: expected positive numbers")
        self.fps, self.min_cutoff, self.beta, self.d_cutoff = fps, min_cutoff, beta, d_cutoff
        self.reset()

    def reset(self) -> None:
        """Forgets the past: the next values pass as they are."""
        self._values = self._speed = self._time = None
        self._usual, self._count = 0.0, 0

    def __call__(
        self, values: np.ndarray, *, scale: float = 1.0, time: float | None = None, deviations: np.ndarray | None = None
    ) -> np.ndarray:
        """Filters the values of the next frame.

        Args:
            values: an array of any shape, the same in every frame.
            scale: length that speeds are divided by, in the unit of the values.
            time: of the frame in seconds; None is one `fps`-th of a second after the frame before.
            deviations: standard deviations of the values' errors, of the same shape and unit; None where they are not known.
                The usual one is the median of a frame's, averaged over the frames so far.

        Returns:
            float64 of the same shape.

        Raises:
            ValueError: the time is not after that of the frame before.
        """
        values, trust = np.asarray(values, "float64"), 1.0 if deviations is None else self._trust(deviations, scale)
        if self._values is None:
            self._values, self._speed, self._time = values, np.zeros_like(values), 0.0 if time is None else time
            return values
        time = self._time + 1 / self.fps if time is None else time
        if not time > self._time:
            raise ValueError(f"time {time} is not after {self._time}, that of the frame before")
        rate, self._time = 1 / (time - self._time), time
        share = _share(self.d_cutoff, rate)
        self._speed = share * (values - self._values) * rate + (1 - share) * self._speed
        share = _share(trust * (self.min_cutoff + self.beta * np.abs(self._speed) / scale), rate)
        self._values = share * values + (1 - share) * self._values
        return self._values

    def _trust(self, deviations, scale):
        """The factor of each value's cutoff: the usual standard deviation over its own."""
        deviations = np.maximum(np.asarray(deviations, "float64") / scale, SUREST)
        self._count += 1
        self._usual += (np.median(deviations) - self._usual) / self._count
        return self._usual / deviations


def _share(cutoff, rate):
    return 1 / (1 + rate / (2 * np.pi * cutoff))
