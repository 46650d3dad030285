"""How errors grow with the turn of a head, as a file says it: bands of yaw, pitch and roll, each with its error.

A band is a dict of `of` ("yaw", "pitch" or "roll"), `from` and `to` (degrees, to either side), and `error` (the mean error in
percent of the landmarks' box, on rendered faces, whose truth is exact). The box shrinks less than the distance of the eyes as
a head turns, so that bands compare with each other.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

OF = ("yaw", "pitch", "roll")
BEARABLE = 2.0  # times the error of the first band


def bands(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The bands among the rows that `benchmarks/weak_spots.py` writes."""
    found = [row for row in rows if row.get("of") in OF and row["box"] is not None]
    return [{"of": row["of"], "from": row["from"], "to": row["to"], "error": round(row["box"], 2)} for row in found]


def is_bands(value: Any) -> bool:
    """Whether a value is a list of bands."""
    if not isinstance(value, list) or len(value) > 100:
        return False
    return all(
        isinstance(band, dict)
        and band.get("of") in OF
        and all(_is_number(band.get(name)) for name in ("from", "to", "error"))
        and 0 <= band["from"] < band["to"] <= 180
        for band in value
    )


def _is_number(value):
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e6


def of_kind(value: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The bands of one kind, from the smallest angle on."""
    return sorted((band for band in value if band["of"] == kind), key=lambda band: band["from"])


def reach(value: Sequence[Mapping[str, Any]], kind: str) -> float | None:
    """The angle up to which the errors are at most `BEARABLE` times those of the first band; None without bands of the kind."""
    found = of_kind(value, kind)
    bearable = found[:1]
    for band in found[1:]:
        if band["error"] > BEARABLE * found[0]["error"]:
            break
        bearable.append(band)
    return bearable[-1]["to"] if bearable else None


def sentences(value: Sequence[Mapping[str, Any]]) -> list[str]:
    """What a user must know of the bands, one sentence for each kind whose errors grow too large or were not measured further."""
    told = []
    for kind in OF:
        found, end = of_kind(value, kind), reach(value, kind)
        if end is None:
            continue
        if end < found[-1]["to"]:
            following = next(band for band in found if band["from"] >= end)
            told.append(
                f"Do not use beyond {end:g} degrees of {kind}: from there the error is {following['error']:.2f} % of the box, "
                f"with heads that look ahead it is {found[0]['error']:.2f} %."
            )
        elif end < (180 if kind == "roll" else 90):
            told.append(f"Beyond {end:g} degrees of {kind} nothing was measured.")
    return told
