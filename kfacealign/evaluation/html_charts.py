"""Charts as SVG text for a page: curves and bars in the colours that the page defines as `--c0`, `--c1` ..."""

import html
from collections.abc import Sequence

import numpy as np

COLORS = 8  # number of the page's custom properties --c0, --c1 ...
WIDTH, HEIGHT = 560, 300
LEFT, RIGHT, TOP, BOTTOM = 48, 12, 12, 40
POINTS = 240  # points of a curve; nobody would see more


def curves(series: Sequence[tuple[str, np.ndarray, np.ndarray]], *, limit: float, x_label: str, y_label: str) -> str:
    """Step curves from 0 to `limit`.

    Args:
        series: (name, x, y) of each curve; x are sorted errors `(N,)` in percent, y the share of faces `(N,)` in [0, 1].
        limit: right end of the horizontal axis.
        x_label: label of the horizontal axis.
        y_label: label of the vertical axis.

    Returns:
        An `<svg>` element; a curve is a `<path>` with its name as `data-series`.
    """
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = [_axes(limit, 100, x_label, y_label)]
    for number, (name, x, y) in enumerate(series):
        grid = np.linspace(0, limit, POINTS)
        shares = np.concatenate([[0], y])[np.searchsorted(x, grid, side="right")]
        points = zip(LEFT + grid / limit * across, TOP + (1 - shares) * down, strict=True)
        line = " ".join(f"{'L' if place else 'M'}{px:.1f} {py:.1f}" for place, (px, py) in enumerate(points))
        parts.append(
            f'<path class="curve" data-series="{html.escape(name)}" d="{line}" stroke="var(--c{number % COLORS})">'
            f"<title>{html.escape(name)}</title></path>"
        )
    return _svg(WIDTH, HEIGHT, parts, f"{y_label} against {x_label}")


def bars(
    groups: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    label: str,
    *,
    unit: str = "%",
    width: int = WIDTH,
    numbers: bool = False,
) -> str:
    """Vertical bars in groups of one colour, with each group's name and mean below it; NaN has no bar.

    Args:
        groups: (name, [(bar's name, value), ...]) of each group.
        label: label of the vertical axis.
        unit: unit that follows a value in the text that appears under the pointer.
        width: width of the chart in pixels.
        numbers: whether each value is written above its bar; means are then left out.

    Returns:
        An `<svg>` element.
    """
    values = [value for _, members in groups for _, value in members if np.isfinite(value)]
    top = _nice(max(values, default=1.0))
    down = HEIGHT - TOP - BOTTOM
    gap = 1.0 if len(groups) > 1 else 0.0
    slots = sum(len(members) for _, members in groups) + gap * len(groups)
    step = (width - LEFT - RIGHT) / max(slots, 1)
    parts, x = [_axes(None, top, "", label, width)], LEFT + gap * step / 2
    for number, (name, members) in enumerate(groups):
        start = x
        for bar, value in members:
            if np.isfinite(value):
                tall = value / top * down
                parts.append(
                    f'<rect x="{x + 0.1 * step:.1f}" y="{TOP + down - tall:.1f}" width="{0.8 * step:.1f}" height="{tall:.1f}" '
                    f'fill="var(--c{number % COLORS})"><title>{html.escape(bar)}: {value:.2f} {unit}</title></rect>'
                )
                if numbers:
                    parts.append(_text(x + step / 2, TOP + down - tall - 4, f"{value:.2f}"))
            x += step
        known = [value for _, value in members if np.isfinite(value)]
        mean = f"{np.mean(known):.2f}" if known else "-"
        middle = (start + x) / 2
        if numbers:
            parts.append(_text(middle, HEIGHT - BOTTOM + 16, name))
        else:
            first, _, rest = name.partition(" ")
            parts += [
                _text(middle, HEIGHT - BOTTOM + 12, first),
                _text(middle, HEIGHT - BOTTOM + 23, rest or mean),
                _text(middle, HEIGHT - BOTTOM + 34, mean if rest else ""),
            ]
        x += gap * step
    return _svg(width, HEIGHT, parts, label)


def _axes(right, top, x_label, y_label, width=WIDTH):
    """Grid lines and numbers up to `top`, and along the horizontal axis to `right` unless that is None."""
    across, down = width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    parts = []
    for value in np.linspace(0, top, 6):
        y = TOP + down * (1 - value / top)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{width - RIGHT}"/>')
        parts.append(_text(LEFT - 6, y + 4, f"{value:g}" if top >= 10 else f"{value:.2g}", "end"))
    if right is not None:
        for value in np.linspace(0, right, 6):
            x = LEFT + across * value / right
            parts.append(f'<path class="grid" d="M{x:.1f} {TOP}V{TOP + down}"/>')
            parts.append(_text(x, HEIGHT - BOTTOM + 16, f"{value:.3g}"))
        parts.append(_text(LEFT + across / 2, HEIGHT - 6, x_label))
    middle = -(TOP + down / 2)
    parts.append(f'<text transform="rotate(-90)" x="{middle:.1f}" y="12" text-anchor="middle">{html.escape(y_label)}</text>')
    return "".join(parts)


def _text(x, y, text, anchor="middle"):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _svg(width, height, parts, label):
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(label)}">{"".join(parts)}</svg>'


def _nice(value):
    """The least round number that leaves a little room above the value."""
    value = max(float(value), 1e-6)
    power = 10 ** np.floor(np.log10(value))
    return float(next(step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15) if step * power >= value * 1.02))
