"""What an exported model says about itself, so that its user needs nothing else."""

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kfacealign import geometry, schemes
from kfacealign.deploy import error_bands
from kfacealign.landmark_scheme import KEYS, Scheme
from kfacealign.version import __version__

if TYPE_CHECKING:
    from kfacealign.models.aligner import FaceAligner

NAME = "kfacealign"
# The version of the JSON text: it rises when a key changes its meaning, not when a key is added.
FORMAT_VERSION = 1
LIMIT = 2**20  # bytes
# The place inside a SavedModel: TensorFlow leaves assets.extra to others.
FILE = Path("assets.extra") / f"{NAME}.json"
UNKNOWN = "unknown: ask whoever trained the model"
COORDINATES = (
    "crop coordinates: (x, y) divided by the crop's width and height, origin at the outer top-left corner, "
    "the centre of the first pixel at (0.5 / width, 0.5 / height)"
)
CROP = (
    "a square around the centre of the landmarks' bounding box, its side the box's longer side times enlarge, resampled to "
    "input_size"
)
OUTPUTS = {
    "landmarks": "({}, points, 2)",
    "scores": "({}, points)",
    "visibility": "({}, points)",
    "covariance": "({}, points, 3)",
}
CERTAINTY = (
    "visibility: probability that the point can be seen; covariance: xx, xy, yy of its error in crop coordinates squared; an "
    "ellipse of ellipse_radii[level] standard deviations holds the true point with that probability"
)
FROM_DETECTOR = (
    "a square of side scale * L, L the longer side of the detector's box, around the box's centre moved by shift * L, x to "
    "the right, y down"
)


def describe(
    aligner: "FaceAligner",
    precision: str,
    *,
    flip: bool = False,
    batch: int | None = 1,
    licence: str | None = None,
    training_data: str | None = None,
    detector: str | dict | None = None,
    errors: list[dict] | None = None,
    **further: Any,
) -> str:
    """The metadata of an exported aligner, as JSON text.

    Args:
        aligner: the `FaceAligner`.
        precision: one of `kfacealign.deploy.exporting.exporter.PRECISIONS`.
        flip: whether the graph averages with the mirrored crop.
        batch: number of crops that the graph takes; None for any number.
        licence: what users should know about the model's licence, in words.
        training_data: what they should know about the data it was trained on, in words.
        detector: see `detector_rule`.
        errors: how errors grow with the turn of the head, see `kfacealign.deploy.error_bands`; None where nobody measured it.
        further: additional keys, such as `float_parts`; a key whose value is None is left out.

    Raises:
        ValueError: there is no such detector, or `errors` are no bands.
    """
    if errors is not None and not error_bands.is_bands(errors):
        raise ValueError("errors is a list of bands, dicts of `of`, `from`, `to` and `error`")
    scheme, size = aligner.scheme, aligner.input_size
    number = "batch" if batch is None else batch
    answers = getattr(aligner, "answers", ("landmarks", "scores"))
    return json.dumps(
        {
            "format_version": FORMAT_VERSION,
            "kfacealign": __version__,
            "model": type(getattr(aligner, "aligner", aligner)).__name__,
            "precision": precision,
            **{key: value for key, value in further.items() if value is not None},
            "scheme": scheme.name,
            "num_points": scheme.num_points,
            **_points(scheme),
            "input_size": size,
            "input": {
                "name": "image",
                "shape": [batch, size, size, 3],
                "dtype": "uint8" if precision == "int8_io" else "float32",
                "color": "RGB",
                "range": [0, 255],
                "layout": f"({number}, height, width, 3)",
            },
            "outputs": {name: shape.format(number) for name, shape in OUTPUTS.items() if name in answers},
            "output_dtype": "float32",
            "coordinates": COORDINATES,
            **_certainty(aligner),
            "enlarge": aligner.enlarge,
            "crop": CROP,
            "crop_from_detector": detector_rule(detector, aligner.enlarge),
            "flip": flip,
            "licence": licence or UNKNOWN,
            "training_data": training_data or UNKNOWN,
            **({} if errors is None else {"errors": errors}),
        },
        indent=1,
    )


def _certainty(aligner):
    """What the metadata says of the further outputs of a calibrated model."""
    if not hasattr(aligner, "radii"):
        return {}
    return {"certainty": CERTAINTY, "ellipse_radii": {str(level): round(radius, 4) for level, radius in aligner.radii.items()}}


def _points(scheme):
    """What the metadata says of a scheme besides its name: all of it, the mean shape only of one that is not this package's."""
    config = scheme.get_config()
    known = isinstance(schemes.described(scheme), str)
    return {key: value for key, value in config.items() if key != "name" and not (known and key == "mean_shape")}


def scheme_of(metadata: dict, path: str | os.PathLike) -> Scheme:
    """The landmark scheme of a model, by its metadata alone; it needs not be known to the program.

    A scheme of this package is known by its name, and what else is said of it must be so. Files of before have names and mirror
    alone; their scheme has neither regions nor contours, unless the program knows one of that name.

    Args:
        metadata: the metadata.
        path: the file, for messages.

    Raises:
        ValueError: the metadata describes no scheme, or one that is not the known one of its name.
    """
    name, known = metadata["scheme"], schemes.SCHEMES.get(metadata["scheme"])
    told = {key: metadata[key] for key in KEYS if key != "name" and metadata.get(key) is not None}
    try:
        if known is None or name not in schemes.BUILT_IN:
            if "point_names" in told and "mirror" in told:
                made = Scheme.from_config({"name": name, **told})
                known = known if known is not None and "regions" not in told and known.matches(made) else made
            elif known is None:
                known = schemes.get(name)  # which says what there is
        else:
            _check_known(known, told)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; export the model again") from None
    count = metadata.get("num_points", known.num_points)
    if count != known.num_points:
        raise ValueError(
            f"{path}: its '{NAME}' metadata says num_points = {count}, and describes {known.num_points}; export the model again"
        )
    return known


def _check_known(scheme, told):
    """Refuses another description of a scheme of this package."""
    config = scheme.get_config()
    for key, value in told.items():
        if key in ("point_names", "mirror", "eye_corners", "pupils") and value != config[key]:
            raise ValueError(f"its metadata names the scheme {scheme.name} and has another {key}")


def parse(text: str | bytes | None, path: str | os.PathLike) -> dict:
    """Metadata text -> dict.

    Args:
        text: the JSON text, UTF-8 if it is bytes, or None where the file has no metadata.
        path: the file, for messages.

    Raises:
        ValueError: there is no metadata, it lacks what running the model needs, or an entry is of another type or out of range.
    """
    if text is None:
        raise ValueError(f"{path} was not exported by kfacealign: it has no '{NAME}' metadata. Use kfacealign.deploy.export")
    if len(text) > LIMIT:
        raise ValueError(f"{path}: its '{NAME}' metadata is larger than {LIMIT // 2**20} MiB")
    try:
        metadata = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: its '{NAME}' metadata is not JSON ({error}); export the model again") from None
    if not isinstance(metadata, dict):
        raise ValueError(f"{path}: its '{NAME}' metadata is no JSON object; export the model again")
    missing = [key for key in ("scheme", "input_size", "enlarge") if key not in metadata]
    if missing:
        raise ValueError(f"{path}: its '{NAME}' metadata has no {', '.join(missing)}; export the model again")
    for key, (allowed, expected) in ENTRIES.items():
        if key in metadata and not allowed(metadata[key]):
            found = repr(metadata[key])
            raise ValueError(
                f"{path}: its '{NAME}' metadata says {key} = {found if len(found) < 100 else f'{found[:100]}...'}, expected "
                f"{expected}; export the model again"
            )
    scheme_of(metadata, path)
    return metadata


# === What entries may be ===


def is_whole(value: Any, least: int, most: int) -> bool:
    """Whether a value is a whole number in a range, bounds included; True and False are none."""
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e30


def is_list_of(value: Any, allowed: Callable[[Any], bool], *, most: int = 10_000) -> bool:
    """Whether a value is a list whose every entry is allowed."""
    return isinstance(value, list) and len(value) <= most and all(map(allowed, value))


def is_text(value: Any) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def is_input(value: Any) -> bool:
    """Whether a value tells what a graph reads: a dict whose `dtype` and `shape`, where they are there, are an image's."""
    if not isinstance(value, dict) or value.get("dtype", "float32") not in ("float32", "uint8"):
        return False
    shape = value.get("shape", [1, None, None, 3])
    return is_list_of(shape, lambda side: side is None or is_whole(side, 1, 2**16)) and len(shape) == 4


def is_states(value: Any) -> bool:
    """Whether a value is a dict of names -> shapes, none of which takes more than 64 MiB."""
    if not isinstance(value, dict) or len(value) > 1000:
        return False
    return all(
        is_list_of(shape, lambda side: is_whole(side, 1, 2**24), most=8) and math.prod(shape) <= 2**24 for shape in value.values()
    )


def is_rule(value: Any) -> bool:
    """Whether a value is what `detector_rule` returns."""
    if value is None:
        return True
    if not isinstance(value, dict) or not is_number(value.get("scale")) or value["scale"] <= 0:
        return False
    return is_list_of(value.get("shift"), is_number) and len(value["shift"]) == 2


def is_counts(value: Any) -> bool:
    """Whether a value is a dict of names -> whole numbers."""
    return isinstance(value, dict) and all(is_whole(count, 0, 2**31) for count in value.values())


def is_radii(value: Any) -> bool:
    """Whether a value is a dict of levels between 0 and 1, as text, and positive radii."""
    if not isinstance(value, dict) or len(value) > 100:
        return False
    try:
        levels = [float(level) for level in value]
    except ValueError:
        return False
    return all(0 < level < 1 for level in levels) and all(is_number(radius) and radius > 0 for radius in value.values())


# Entry -> whether a value may be one, and what it has to be in words.
ENTRIES: dict[str, tuple[Callable[[Any], bool], str]] = {
    "scheme": (is_text, "the name of a landmark scheme"),
    "input_size": (lambda value: is_whole(value, 8, 4096), "a whole number from 8 to 4096"),
    "enlarge": (lambda value: is_number(value) and 0 < value < 10, "a number above 0 and below 10"),
    "input": (is_input, "a dict with the dtype float32 or uint8 and a shape of four sides"),
    "states": (lambda value: value is None or is_states(value), "a dict of names and shapes"),
    "ellipse_radii": (lambda value: value is None or is_radii(value), "a dict of levels and positive radii"),
    "num_points": (lambda value: is_whole(value, 1, 10_000), "a whole number"),
    "point_names": (lambda value: is_list_of(value, is_text), "a list of names"),
    "mirror": (lambda value: is_list_of(value, lambda index: is_whole(index, 0, 10_000)), "a list of whole numbers"),
    "crop_from_detector": (is_rule, "null, or a dict with a positive scale and a shift of two numbers"),
    "parts": (lambda value: value is None or is_counts(value), "a dict of names and whole numbers"),
    "float_parts": (lambda value: value is None or is_list_of(value, is_text), "a list of names"),
    "float_layers": (lambda value: value is None or is_list_of(value, is_text), "a list of names"),
    "flip": (lambda value: isinstance(value, bool), "true or false"),
    "errors": (error_bands.is_bands, "a list of bands with `of`, `from`, `to` and `error`"),
    "weights_sha256": (is_text, "text"),
    "format_version": (lambda value: is_whole(value, 1, 10_000), "a whole number"),
    "precision": (is_text, "text"),
    "model": (is_text, "text"),
}


# === From a detector's box to the crop ===


def detector_rule(detector: str | dict | None, enlarge: float) -> dict | None:
    """How the crop is made from a face detector's box, as the metadata says it.

    Args:
        detector: None for no rule; "haar" for the boxes of `kfacealign.detect.HaarDetector`, treated as `kfacealign align`
            treats them; or a dict of `scale`, the crop's side over the box's longer side, and `shift`, the way (dx, dy)
            from the box's centre to the crop's centre, in longer sides.
        enlarge: the model's `enlarge`.

    Returns:
        None, or a dict of `detector`, `scale`, `shift` and `rule` (the rule in words).

    Raises:
        ValueError: `detector` is none of these.
    """
    if detector is None:
        return None
    if detector == "haar":
        from kfacealign.detect import face_box

        x0, y0, x1, y1 = map(float, geometry.square_box(face_box([0.0, 0.0, 1.0, 1.0]), enlarge))
        found = {"detector": "haar", "scale": x1 - x0, "shift": [(x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2]}
    elif isinstance(detector, dict) and set(detector) == {"scale", "shift"}:
        found = {"detector": "other", "scale": float(detector["scale"]), "shift": [float(value) for value in detector["shift"]]}
    else:
        raise ValueError(f'detector is None, "haar" or a dict {{"scale": factor, "shift": [dx, dy]}}, not {detector!r}')
    if not (0 < found["scale"] < np.inf and len(found["shift"]) == 2 and np.isfinite(found["shift"]).all()):
        raise ValueError(f"detector has a positive scale and a shift of two numbers, got {detector!r}")
    rounded = {"scale": round(found["scale"], 4), "shift": [round(value, 4) + 0.0 for value in found["shift"]]}
    return {**found, **rounded, "rule": FROM_DETECTOR}


def detector_crop(rule: dict, box: np.ndarray) -> np.ndarray:
    """The crop that the metadata entry `crop_from_detector` makes of a detector's box.

    Args:
        rule: dict of `scale` and `shift`.
        box: (4,) x0, y0, x1, y1 in image coordinates.

    Returns:
        (4,) float32, the square that `geometry.crop` takes.
    """
    x0, y0, x1, y1 = np.asarray(box, np.float64)
    longer = max(x1 - x0, y1 - y0)
    moved = np.tile(np.asarray(rule["shift"], np.float64) * longer, 2)
    return geometry.square_box(np.array([x0, y0, x1, y1]) + moved, rule["scale"])
