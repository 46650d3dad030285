"""What a landmark scheme is, how it is checked, and how it is written into a model file.

`kfacealign.schemes` has those of this package, `kfacealign.scheme_files` reads those of users.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Any, Self

import numpy as np

MOST_POINTS = 4096
MOST_LINES = 1000  # contours, and regions
LONGEST = 100  # characters of a name
FARTHEST = 10.0  # crops; no point of a mean shape lies beyond
KEYS = ("name", "point_names", "mirror", "regions", "contours", "eye_corners", "pupils", "mean_shape")


class SchemeError(ValueError):
    """Something is wrong with a scheme.

    Args:
        key: what is wrong, one of `KEYS`.
        reason: why, in words.
        scheme: name of the scheme, if it has one.
    """

    def __init__(self, key: str, reason: str, scheme: str = ""):
        super().__init__(f"scheme {scheme!r}: {reason}" if scheme else f"scheme: {reason}")
        self.key, self.reason = key, reason


@dataclasses.dataclass(frozen=True)
class Contour:
    """A line to draw.

    Attributes:
        name: such as "left_eye".
        points: point indices in order.
        closed: whether the last point is joined to the first.
    """

    name: str
    points: tuple[int, ...]
    closed: bool = dataclasses.field(default=False, kw_only=True)


@dataclasses.dataclass(frozen=True)
class Scheme:
    """A landmark scheme of K points, checked when it is made. All but the name are keyword arguments.

    Attributes:
        name: what `schemes.get` finds it by.
        point_names: K unique names such as "left_eye_0".
        mirror: permutation of the points under `x -> 1 - x`, its own inverse; mirrored landmarks are `landmarks[mirror]`.
        regions: dict of "contour", "brows", "eyes", "nose", "mouth" -> point indices; every point is in one.
        contours: lines to draw.
        eye_corners: outer corners of the left and the right eye, or None.
        pupils: two groups of points whose means are the pupils' centres, or None.
        shape: K points (x, y), the mean shape of a scheme that is not one of this package; None where it has none.

    Raises:
        ValueError: a name stands twice, `mirror` is no permutation or not its own inverse, or an index belongs to no
            point. The message names the first that is wrong.
    """

    name: str
    _: dataclasses.KW_ONLY
    point_names: tuple[str, ...]
    mirror: tuple[int, ...]
    regions: dict[str, tuple[int, ...]]
    contours: tuple[Contour, ...]
    eye_corners: tuple[int, int] | None
    pupils: tuple[tuple[int, ...], tuple[int, ...]] | None
    shape: tuple[tuple[float, float], ...] | None = None

    def __post_init__(self):
        self._check_names()
        self._check_mirror()
        self._check_indices("eye_corners", "eye_corners", self.eye_corners or ())
        for group in self.pupils or ():
            self._check_indices("pupils", "pupils", group)
        for region, points in self.regions.items():
            self._check_indices("regions", f"region {region!r}", points)
        for contour in self.contours:
            self._check_indices("contours", f"contour {contour.name!r}", contour.points)
        if self.shape is not None and np.shape(self.shape) != (self.num_points, 2):
            raise self._fault("mean_shape", f"mean_shape has {len(self.shape)} entries for {self.num_points} points (x, y)")

    def _fault(self, key, reason):
        return SchemeError(key, reason, self.name)

    def _check_names(self):
        seen = {}
        for point, name in enumerate(self.point_names):
            if name in seen:
                raise self._fault("point_names", f"points {seen[name]} and {point} are both called {name!r}")
            seen[name] = point

    def _check_mirror(self):
        points = self.num_points
        if len(self.mirror) != points:
            raise self._fault("mirror", f"mirror has {len(self.mirror)} entries for {points} points")
        self._check_indices("mirror", "mirror", self.mirror)
        seen = {}
        for point, other in enumerate(self.mirror):
            if other in seen:
                raise self._fault("mirror", f"mirror is no permutation, points {seen[other]} and {point} both become {other}")
            seen[other] = point
        for point, other in enumerate(self.mirror):
            if self.mirror[other] != point:
                raise self._fault(
                    "mirror",
                    f"mirror is not its own inverse, point {point} becomes {other} and {other} becomes {self.mirror[other]}",
                )

    def _check_indices(self, key: str, what: str, indices: Iterable):
        for index in indices:
            if not (isinstance(index, int | np.integer) and not isinstance(index, bool) and 0 <= index < self.num_points):
                raise self._fault(key, f"{what} holds {index!r}, expected whole numbers from 0 to {self.num_points - 1}")

    @property
    def num_points(self) -> int:
        """K."""
        return len(self.point_names)

    @property
    def mean_shape(self) -> np.ndarray | None:
        """(K, 2) float32, crop coordinates: the landmarks' box is centred in the crop and fills 80 % of it.

        Those of this package's schemes are stored in `mean_shapes.json`; they are the first rendered face at rest. They never
        change, because trained models depend on them; the rendered faces (`kfacealign.data.rendered.face_points`) have come
        nearer to photographs since. Another scheme has its `shape`, or None.
        """
        shape = mean_shapes().get(self.name) if self.shape is None else self.shape
        return None if shape is None or len(shape) != self.num_points else np.array(shape, np.float32)

    @property
    def default_normalizer(self) -> str:
        """Name of the normaliser that errors are divided by unless another is named: `inter_ocular`, or `box` without eyes."""
        return self.normalizers()[0]

    def normalizers(self) -> tuple[str, ...]:
        """Names of the normalisers that this scheme's points define; `kfacealign.metrics.errors` gives their lengths."""
        eyes = ("inter_ocular",) if self.eye_corners else ()
        pupils = ("inter_pupil",) if self.pupils else ()
        return (*eyes, *pupils, "box", "diagonal", "image")

    def matches(self, other: Self) -> bool:
        """Whether points of both mean the same: the names of the schemes and of the points, and the mirror, are equal."""
        one, two = ((scheme.name, tuple(scheme.point_names), tuple(scheme.mirror)) for scheme in (self, other))
        return one == two

    def difference(self, other: Self) -> str:
        """What to call this scheme beside another that it does not match: its name, and what differs if that does not."""
        if self.name != other.name:
            return self.name
        if self.num_points != other.num_points:
            return f"{self.name} with {self.num_points} points instead of {other.num_points}"
        what = "another mirror" if tuple(self.point_names) == tuple(other.point_names) else "other names of points"
        return f"{self.name} with {what}"

    def get_config(self) -> dict[str, Any]:
        """All of the scheme as lists, dicts, texts and numbers, which JSON holds; `from_config` reads it."""
        shape = self.mean_shape
        return {
            "name": self.name,
            "point_names": list(self.point_names),
            "mirror": [int(point) for point in self.mirror],
            "regions": {region: [int(point) for point in points] for region, points in self.regions.items()},
            "contours": [
                {"name": contour.name, "points": [int(point) for point in contour.points], "closed": bool(contour.closed)}
                for contour in self.contours
            ],
            "eye_corners": [int(point) for point in self.eye_corners] if self.eye_corners else None,
            "pupils": [[int(point) for point in group] for group in self.pupils] if self.pupils else None,
            "mean_shape": None if shape is None else [[round(float(x), 5), round(float(y), 5)] for x, y in shape],
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Scheme":
        """The scheme that `get_config` described; the description may be a stranger's.

        Args:
            config: a dict with `KEYS`, of which `regions`, `contours`, `eye_corners`, `pupils` and `mean_shape` may be left
                out or None. Points in no region become the region "other".

        Raises:
            ValueError: a key is missing or unknown, or its value is of another kind, too long or out of range.
        """
        found = _Checked(config)
        names = found.names("point_names")
        points = range(len(names))
        regions = {name: found.points("regions", inner, points) for name, inner in found.regions()}
        _check_regions(found, regions)
        rest = set(points).difference(*regions.values())
        if rest:
            name = "other" if regions else "points"
            regions[name] = (*regions.get(name, ()), *sorted(rest))
        corners, pupils = found.optional("eye_corners"), found.optional("pupils")
        if pupils is not None:
            pupils = tuple(found.points("pupils", group, points, least=1) for group in found.list_of("pupils", pupils, 2))
        return Scheme(
            found.text("name", found.given("name")),
            point_names=names,
            mirror=found.points("mirror", found.given("mirror"), points),
            regions=regions,
            contours=found.contours(points),
            eye_corners=None if corners is None else found.points("eye_corners", corners, points, least=2, most=2),
            pupils=pupils,
            shape=found.shape(len(points)),
        )

    def __hash__(self):
        return hash(self.name)


def _check_regions(found, regions):
    seen = {}
    for name, points in regions.items():
        for point in points:
            if point in seen:
                raise found.fault("regions", f"point {point} is in the regions {seen[point]!r} and {name!r}, expected one")
            seen[point] = name


class _Checked:
    """The values of a description by their keys, each checked when it is taken."""

    def __init__(self, config):
        self.config, self.name = config, ""
        unknown = [key for key in config if key not in KEYS]
        if unknown:
            raise self.fault(str(unknown[0]), f"{brief(unknown[0])} is no key, expected {', '.join(KEYS)}")
        self.name = self.text("name", self.given("name"))

    def fault(self, key, reason):
        return SchemeError(key, reason, self.name)

    def given(self, key):
        if self.config.get(key) is None:
            raise self.fault(key, f"{key} is missing")
        return self.config[key]

    def optional(self, key):
        return self.config.get(key)

    def text(self, key, value):
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST or not value.isprintable() or value != value.strip():
            raise self.fault(
                key,
                f"{key} holds {brief(value)}, expected 1 to {LONGEST} printable characters (numbers between quotes)",
            )
        return value

    def list_of(self, key, value, count=None, most=MOST_POINTS):
        if not isinstance(value, list | tuple) or len(value) > most or (count is not None and len(value) != count):
            wanted = f"a list of {count}" if count is not None else f"a list of at most {most:,}"
            raise self.fault(key, f"{key} holds {brief(value)}, expected {wanted}")
        return value

    def names(self, key):
        names = tuple(self.text(key, name) for name in self.list_of(key, self.given(key)))
        if not names:
            raise self.fault(key, f"{key} is empty, expected at least one point")
        return names

    def points(self, key, value, points, least=0, most=MOST_POINTS):
        indices = self.list_of(key, value)
        if not least <= len(indices) <= most:
            wanted = f"{least} points" if least == most else f"at least {least}"
            raise self.fault(key, f"{key} has {len(indices)} entries in {brief(value)}, expected {wanted}")
        for place, index in enumerate(indices):
            if not isinstance(index, int) or isinstance(index, bool) or index not in points:
                raise self.fault(
                    key, f"entry {place} of {key} is {brief(index)}, expected a whole number from 0 to {len(points) - 1}"
                )
        if key != "mirror" and len(set(indices)) != len(indices):
            twice = next(index for place, index in enumerate(indices) if index in indices[:place])
            raise self.fault(key, f"{key} has the point {twice} twice in {brief(value)}")
        return tuple(indices)

    def regions(self):
        value = self.optional("regions") or {}
        if not isinstance(value, dict) or len(value) > MOST_LINES:
            raise self.fault("regions", f"regions holds {brief(value)}, expected names with their points, such as eyes: [0, 1]")
        return [(self.text("regions", name), inner) for name, inner in value.items()]

    def contours(self, points):
        made, seen = [], set()
        for entry in self.list_of("contours", self.optional("contours") or [], most=MOST_LINES):
            if not isinstance(entry, dict) or set(entry) - {"name", "points", "closed"} or not {"name", "points"} <= set(entry):
                raise self.fault("contours", f"contours holds {brief(entry)}, expected a name, points, and closed or not")
            name, closed = self.text("contours", entry["name"]), entry.get("closed", False)
            if name in seen:
                raise self.fault("contours", f"contours has {name!r} twice")
            if not isinstance(closed, bool):
                raise self.fault("contours", f"contour {name!r} has closed: {brief(closed)}, expected true or false")
            seen.add(name)
            made.append(Contour(name, self.points("contours", entry["points"], points, least=2), closed=closed))
        return tuple(made)

    def shape(self, count):
        value = self.optional("mean_shape")
        if value is None:
            return None
        for place, point in enumerate(self.list_of("mean_shape", value, count)):
            if not isinstance(point, list | tuple) or len(point) != 2 or not all(map(is_number, point)):
                raise self.fault("mean_shape", f"entry {place} of mean_shape is {brief(point)}, expected two numbers x, y")
        return tuple((float(x), float(y)) for x, y in value)


def is_number(value: Any) -> bool:
    """Whether a value is a number that a mean shape may hold."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and abs(value) <= FARTHEST


def brief(value: Any) -> str:
    """A value as a message shows it, cut where it is long, and never written out where it is huge."""
    if isinstance(value, dict):
        return f"a dict of {len(value):,}"
    if isinstance(value, list | tuple) and (len(value) > 20 or any(isinstance(inner, list | tuple | dict) for inner in value)):
        return f"a list of {len(value):,}"
    if isinstance(value, int) and value.bit_length() > 200:
        return "a huge number"
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else f"{text[:80]}..."


@functools.cache
def mean_shapes() -> dict[str, list[list[float]]]:
    """Name of a scheme -> its mean shape, K pairs of numbers."""
    return json.loads((resources.files("kfacealign") / "mean_shapes.json").read_text(encoding="utf-8"))
