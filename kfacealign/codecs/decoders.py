"""Every way to read a heatmap: from maps to landmarks, whatever the maps were trained on.

    argmax  the cell of the maximum
    shift   from there a quarter of a cell towards the higher neighbour along x and along y (Hourglass, HRNet)
    wsm     from there a quarter of a cell towards the second maximum beside it (HIH, appendix A; "Subpixel Heatmap
            Regression", Sec. 3.3)
    dark    from there a Taylor step on the logarithm of the smoothed map (Zhang et al., "Distribution-Aware
            Coordinate Representation", 2020)
    soft    global soft-argmax: the mean position under the softmax of the whole map
    local   local soft-argmax: the mean position under the softmax of a window around the maximum ("Subpixel Heatmap
            Regression", Eq. 4-5)

All run in graphs that TFLite converts to built-in operators. All answer with finite positions inside the map, whatever the
map holds: NaN counts as -1e30, values beyond +-1e30 count as +-1e30, and cells outside the map weigh nothing. If all values
of a map are equal, argmax, shift, wsm and dark answer with its first cell, local with the mean of the window around the
first cell, and soft with the middle of the map.
"""

import math
from typing import Any

import numpy as np
from keras import ops

from kfacealign.codecs.codec import Codec

NAMES = ("argmax", "shift", "wsm", "dark", "soft", "local")
WINDOWS = (3, 5, 7)
LIMIT = 1e30  # values are cut to +-LIMIT, which is above all that maps should hold and small enough to compute with


def decode(
    maps: Any,
    name: str,
    *,
    cell_centre: float = 0.0,
    window: int = 5,
    temperature: float = 10.0,
    sigma: float = 2.0,
) -> tuple[Any, Any]:
    """Landmarks of heatmaps.

    Args:
        maps: `(B, h, w, K)`.
        name: one of `NAMES`.
        cell_centre: cell i of n stands for the crop coordinate `(i + cell_centre) / n`.
        window: side of the window in cells, 3, 5 or 7; for "local".
        temperature: factor on the map before the softmax; for "local" and "soft".
        sigma: standard deviation of the smoothing in cells, best equal to that of the Gaussians in training; for "dark".

    Returns:
        landmarks `(B, K, 2)` float32 in crop coordinates, scores `(B, K)` float32, the maps' maxima.

    Raises:
        ValueError: there is no such decoder or window.
    """
    check(name, window=window)
    if name == "soft":
        maps = finite(maps)
        _, height, width, _ = maps.shape
        moved = np.array([(cell_centre - 0.5) / width, (cell_centre - 0.5) / height], "float32")
        scores = ops.max(maps, axis=(1, 2))
        # The maximum is subtracted before the factor is applied. XLA does what follows in one rounding, which for huge values
        # leaves a rest of the maximum that the exponential takes to infinity.
        return soft_argmax(maps - scores[:, None, None], temperature=temperature) + moved, scores
    if name == "local":
        return local_soft_argmax(maps, window=window, temperature=temperature, cell_centre=cell_centre)
    cells, scores = argmax_cells(maps)
    if name == "shift":
        cells = cells + quarter_shift(maps, cells)
    elif name == "wsm":
        cells = cells + second_maximum_shift(maps, cells)
    elif name == "dark":
        cells = inside(cells + taylor_step(maps, cells, sigma=sigma), maps)
    return to_crop(cells, maps, cell_centre), finite(scores)


def check(name: str, *, window: int = 5) -> None:
    """Raises ValueError unless there is such a decoder and the local soft-argmax has such a window."""
    if name not in NAMES:
        raise ValueError(f"decoder is one of {', '.join(NAMES)}, not {name!r}")
    if window not in WINDOWS:
        raise ValueError(f"window is 3, 5 or 7 cells, not {window!r}")


def with_decoder(codec: Codec, name: str, **options: Any) -> Codec:
    """A copy of a codec that reads its maps differently.

    Args:
        codec: a codec that has a `decoder`: `Heatmap` or `ContinuousHeatmap`.
        name: one of `NAMES`.
        options: other arguments of the codec to change, such as `window` and `temperature`.

    Raises:
        ValueError: the codec has no choice of decoders, or there is no such decoder or window.

    Example:
        >>> model.codec = with_decoder(model.codec, "dark")
    """
    config = codec.get_config()
    if "decoder" not in config:
        raise ValueError(f"{type(codec).__name__} has one way of decoding only; decoders are for plain heatmaps")
    return type(codec).from_config({**config, "decoder": name, **options})


def to_crop(cells: Any, maps: Any, cell_centre: float) -> Any:
    """Positions in cells `(B, K, 2)` -> crop coordinates."""
    _, height, width, _ = maps.shape
    return (cells + cell_centre) / np.array([width, height], "float32")


def finite(values: Any) -> Any:
    """The values as float32 without NaN and infinities: NaN becomes -1e30, everything else is cut to +-1e30."""
    values = ops.cast(values, "float32")
    return ops.minimum(ops.where(values >= -LIMIT, values, -LIMIT), LIMIT)


def inside(cells: Any, maps: Any) -> Any:
    """Positions `(B, K, 2)` moved onto the map."""
    _, height, width, _ = maps.shape
    return ops.minimum(ops.maximum(cells, 0.0), np.array([width - 1.0, height - 1.0], "float32"))


def argmax_cells(maps: Any) -> tuple[Any, Any]:
    """The cell of each map's maximum, and the maximum.

    Args:
        maps: `(B, h, w, K)`.

    Returns:
        cells `(B, K, 2)` float32 (x, y), values `(B, K)` float32. Of equal maxima the first in row order wins; a map with
        NaN gives a cell inside the map.
    """
    _, _, width, _ = maps.shape
    # Pooling finds the rows' maxima in one pass over the maps, faster than ops.max. All tensors after that are small.
    rows = ops.max_pool(maps, (1, width), strides=(1, width), data_format="channels_last")
    rows = ops.cast(rows[:, :, 0, :], "float32")
    values = ops.max(rows, axis=1)
    row = first_place(ops.transpose(rows, (0, 2, 1)), values)
    columns = ops.zeros_like(row)[:, :, None] + np.arange(width, dtype="float32")
    column = first_place(at_cells(maps, columns, ops.zeros_like(columns) + row[:, :, None]), values)
    return ops.stack([column, row], axis=-1), values


def first_place(lines: Any, values: Any) -> Any:
    """The first place along each line whose value is at least the given one, or the last place if there is none.

    Args:
        lines: `(B, K, n)`.
        values: `(B, K)`.

    Returns:
        `(B, K)` float32.
    """
    size = lines.shape[-1]
    # ops.argmax would need an operation that TFLite does not have.
    places = np.arange(size, dtype="float32")
    return ops.minimum(ops.min(ops.where(lines >= values[:, :, None], places, float(size)), axis=-1), size - 1.0)


def at_cells(maps: Any, x: Any, y: Any) -> Any:
    """The values of each landmark's own map at the landmark's cells, by one gather.

    Args:
        maps: `(B, h, w, K)`.
        x: `(B, K, ...)` float32, columns inside the map.
        y: `(B, K, ...)` float32, rows inside the map.

    Returns:
        `(B, K, ...)` float32.
    """
    batch, height, width, points = ops.shape(maps)
    beyond = (1,) * (len(x.shape) - 2)
    places = ops.cast(y * width + x, "int32") * points + np.arange(points, dtype="int32").reshape(-1, *beyond)
    first = ops.reshape(ops.arange(batch, dtype="int32") * (height * width * points), (-1, 1, *beyond))
    return ops.take(ops.reshape(ops.cast(maps, "float32"), (-1,)), places + first, axis=0)


def windows(maps: Any, cells: Any, radius: int) -> tuple[Any, Any, Any]:
    """The square of cells around one cell of each map.

    Args:
        maps: `(B, h, w, K)`.
        cells: `(B, K, 2)` float32 (x, y), the middles of the squares.
        radius: cells to either side of the middle.

    Returns:
        values `(B, K, n, n)` with n = 2 radius + 1, rows by columns, finite, and -1e30 outside the map; then `(B, K, n)`
        float32, 1 for each column that lies in the map, and `(B, K, n)` float32, 1 for each row that does.
    """
    _, height, width, _ = maps.shape
    offsets = np.arange(-radius, radius + 1, dtype="float32")
    x, y = cells[..., 0][..., None] + offsets, cells[..., 1][..., None] + offsets
    nearest_x, nearest_y = ops.clip(x, 0.0, width - 1.0), ops.clip(y, 0.0, height - 1.0)
    column, row = ops.cast(ops.equal(x, nearest_x), "float32"), ops.cast(ops.equal(y, nearest_y), "float32")
    zero = ops.zeros_like(x)
    values = at_cells(maps, nearest_x[:, :, None, :] + zero[:, :, :, None], nearest_y[:, :, :, None] + zero[:, :, None, :])
    return ops.where(row[:, :, :, None] * column[:, :, None, :] > 0, finite(values), -LIMIT), column, row


def local_soft_argmax(maps: Any, *, window: int = 5, temperature: float = 10.0, cell_centre: float = 0.5) -> tuple[Any, Any]:
    """Local soft-argmax ("Subpixel Heatmap Regression", Eq. 4-5).

    It is the mean position under `softmax(temperature * map)` of the `window` x `window` cells around the maximum; cells
    outside the map take no part. Gradients flow through the values in the window, not through its place. Cells are counted
    from the maximum, so the paper's subtraction of l falls away. With its l = d / 2 and cells counted from 0, a symmetric peak
    of an odd window would be read half a cell beside its maximum.

    Args:
        maps: `(B, h, w, K)`.
        window: side of the window in cells, odd.
        temperature: factor on the map before the softmax.
        cell_centre: cell i of n stands for the crop coordinate `(i + cell_centre) / n`; 0.5 is its centre.

    Returns:
        landmarks `(B, K, 2)` float32 in crop coordinates, scores `(B, K)` float32, the maps' maxima.
    """
    cells, scores = argmax_cells(maps)
    radius = window // 2
    values, column, row = windows(maps, cells, radius)
    highest = ops.stop_gradient(ops.max(values, axis=(2, 3), keepdims=True))
    mass = ops.exp(temperature * (values - highest)) * row[:, :, :, None] * column[:, :, None, :]
    total = ops.sum(mass, axis=(2, 3))
    offsets = np.arange(-radius, radius + 1, dtype="float32")
    x = ops.sum(ops.sum(mass, axis=2) * offsets, axis=-1) / total
    y = ops.sum(ops.sum(mass, axis=3) * offsets, axis=-1) / total
    return to_crop(cells + ops.stack([x, y], axis=-1), maps, cell_centre), finite(scores)


def soft_argmax(maps: Any, *, temperature: float) -> Any:
    """Global soft-argmax: the mean position under `softmax(temperature * map)`.

    Args:
        maps: `(B, h, w, K)`.
        temperature: factor on the map before the softmax.

    Returns:
        `(B, K, 2)` crop coordinates. A cell stands for its centre, so a map with all its mass in cell i gives
        `(i + 0.5) / size`.
    """
    _, height, width, points = maps.shape
    flat = ops.reshape(ops.cast(maps, "float32") * temperature, (-1, height * width, points))
    probability = ops.reshape(ops.softmax(flat, axis=1), (-1, height, width, points))
    x = (ops.arange(width, dtype="float32") + 0.5) / width
    y = (ops.arange(height, dtype="float32") + 0.5) / height
    mean_x = ops.sum(ops.sum(probability, axis=1) * x[None, :, None], axis=1)
    mean_y = ops.sum(ops.sum(probability, axis=2) * y[None, :, None], axis=1)
    return ops.stack([mean_x, mean_y], axis=-1)


def quarter_shift(maps: Any, cells: Any) -> Any:
    """A quarter of a cell from each map's maximum towards the higher of its neighbours, along x and along y.

    The second highest response of a peak lies beside the highest, so this moves towards it along both axes (PIPNet,
    Sec. 4.3.1). A maximum at the map's border does not move across the border. A maximum whose two neighbours along an axis
    are equal does not move along this axis.

    Args:
        maps: `(B, h, w, K)`.
        cells: `(B, K, 2)` float32 (x, y), the maxima.

    Returns:
        `(B, K, 2)`, each -0.25, 0 or 0.25 cells.
    """
    _, height, width, _ = maps.shape
    last = np.array([width - 1.0, height - 1.0], "float32")
    x, y = cells[..., 0], cells[..., 1]
    before, after = ops.maximum(cells - 1.0, 0.0), ops.minimum(cells + 1.0, last)
    columns = ops.stack([before[..., 0], x, after[..., 0], x], axis=-1)
    rows = ops.stack([y, before[..., 1], y, after[..., 1]], axis=-1)
    # One gather fetches two values before the maximum and two after it.
    values = finite(at_cells(maps, columns, rows))
    shift = 0.25 * ops.sign(values[..., 2:] - values[..., :2])
    return ops.where(ops.logical_and(cells > 0.0, cells < last), shift, 0.0)


def second_maximum_shift(maps: Any, cells: Any) -> Any:
    """A quarter of a cell from each map's maximum towards the highest of the eight cells around it.

    If several cells are equally high, the maximum moves towards their middle; if their middle is the maximum itself, it
    does not move.

    Args:
        maps: `(B, h, w, K)`.
        cells: `(B, K, 2)` float32 (x, y), the maxima.

    Returns:
        `(B, K, 2)` in cells, of length 0.25 or 0.
    """
    values, column, row = windows(maps, cells, 1)
    around = row[:, :, :, None] * column[:, :, None, :] * np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], "float32")
    values = ops.where(around > 0, values, -2 * LIMIT)  # below all that a map can hold
    second = ops.cast(values >= ops.max(values, axis=(2, 3), keepdims=True), "float32")
    step = np.array([-1.0, 0.0, 1.0], "float32")
    x, y = ops.sum(ops.sum(second, axis=2) * step, axis=-1), ops.sum(ops.sum(second, axis=3) * step, axis=-1)
    length = ops.sqrt(ops.maximum(x * x + y * y, 1.0))
    return 0.25 * ops.stack([x / length, y / length], axis=-1)


def taylor_step(maps: Any, cells: Any, *, sigma: float) -> Any:
    """DARK's step from each map's maximum: `-H^-1 g` of the logarithm of the smoothed map.

    The Gaussian that smooths is cut at 3 sigma, and the map counts as 0 outside of its border. The step is at most one cell
    along each axis. It is 0 along an axis at whose border the maximum lies, and 0 if the smoothed map has no maximum nearby.

    Args:
        maps: `(B, h, w, K)`.
        cells: `(B, K, 2)` float32 (x, y), the maxima.
        sigma: standard deviation of the smoothing, in cells.

    Returns:
        `(B, K, 2)` in cells.
    """
    _, height, width, _ = maps.shape
    reach = math.ceil(3 * sigma)
    # The window is as large as the three by three smoothed cells need it.
    values, column, row = windows(maps, cells, reach + 1)
    kernel = smoothing(reach, sigma)
    values = ops.where(row[:, :, :, None] * column[:, :, None, :] > 0, values, 0.0)
    # Sums of products take the place of a matrix product: accelerators round its factors to ten bits, and second differences
    # show it.
    columns = ops.sum(values[..., None] * kernel, axis=3)  # (B, K, n, x)
    smooth = [ops.sum(columns * kernel[:, y, None], axis=2) for y in range(3)]
    (ul, u, ur), (left, middle, right), (dl, d, dr) = (
        [logarithm[..., x] for x in range(3)] for logarithm in (ops.log(ops.maximum(line, 1e-10)) for line in smooth)
    )
    dx, dy = 0.5 * (right - left), 0.5 * (d - u)
    dxx, dyy = right - 2.0 * middle + left, d - 2.0 * middle + u
    dxy = 0.25 * (dr - dl - ur + ul)
    determinant = dxx * dyy - dxy * dxy
    peak = ops.logical_and(dxx < 0, determinant > 1e-12)
    determinant = ops.where(peak, determinant, 1.0)
    step = ops.stack([(dxy * dy - dyy * dx) / determinant, (dxy * dx - dxx * dy) / determinant], axis=-1)
    last = np.array([width - 1.0, height - 1.0], "float32")
    free = ops.logical_and(peak[..., None], ops.logical_and(cells > 0.0, cells < last))
    return ops.where(free, ops.clip(step, -1.0, 1.0), 0.0)


def smoothing(reach: int, sigma: float) -> np.ndarray:
    """`(2 reach + 3, 3)`: the columns are Gaussians around the window's three middle cells, each with the sum 1."""
    distance = np.arange(2 * reach + 3)[:, None] - (reach + np.arange(3))[None, :]
    kernel = np.where(np.abs(distance) <= reach, np.exp(-(distance**2) / (2 * sigma**2)), 0)
    return (kernel / kernel.sum(axis=0)).astype("float32")
