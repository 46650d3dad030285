"""The tables of a whole run of `kfacealign align`: `landmarks.csv` and `coco.json`.

| table | a face | where the centre of the first pixel is |
|---|---|---|
| `landmarks.csv` | a row | (0.5, 0.5), in boxes too |
| `coco.json` | an annotation in COCO's layout of keypoints | keypoints (0, 0), as COCO's are indices of pixels |

COCO's boxes are measured from the outer top-left corner of the image, as those of this package are.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from kfacealign import schemes
from kfacealign.cli.align_results import NotWritten
from kfacealign.cli.given_boxes import CORNERS, as_text
from kfacealign.console import shown
from kfacealign.data.writers import coco
from kfacealign.files import read_bytes, replacing

NAMES = {"csv": "landmarks.csv", "coco": "coco.json"}
LARGEST = 2**30  # bytes of a table
COLUMNS = ["photo", "name", "face", *(f"box_{corner}" for corner in CORNERS), "score", "detector_score"]
ANGLES = ["yaw", "pitch", "roll"]  # the last columns where poses are wanted, empty where there is none
PARTS = ["xx", "xy", "yy"]  # of a covariance, pixels squared
MADE = "faces found by kfacealign align"


class Tables:
    """The tables of a run, which are written when it ends, in whatever way.

    Args:
        folder: the folder of the results.
        kinds: "csv" and "coco", or one, or none.
        scheme: scheme of the landmarks.
        pose: whether the CSV has columns of the heads' angles, in degrees.
        certain: whether the CSV has columns of visibility and covariance, as a calibrated model gives them.
        overwrite: whether tables that exist are replaced in any case.
    """

    def __init__(
        self,
        folder: Path,
        kinds: Iterable[str],
        scheme: schemes.Scheme,
        *,
        pose: bool = False,
        certain: bool = False,
        overwrite: bool = False,
    ):
        self.paths = {kind: folder / NAMES[kind] for kind in NAMES if kind in kinds}
        self.scheme, self.overwrite, self.certain, self.angles = scheme, overwrite, certain, ANGLES if pose else []
        self.rows, self.images, self.annotations = [], [], []

    def refuse_existing(self, photos: Sequence[str], below: Sequence[str]) -> None:
        """Checks before the run that no earlier table has photographs that this run does not know.

        Args:
            photos: paths of the photographs that this run can have in its tables.
            below: their paths below the folder that they have in common.

        Raises:
            ValueError: a table exists that has other photographs, or is something else.
        """
        for kind, path in self.paths.items():
            if self._lost(kind, photos if kind == "csv" else below):
                hint = "" if photos else "; a run goes on with an earlier one only with json in --format"
                raise ValueError(
                    f"{shown(path)} exists, and this run would not have all that is in it; --overwrite replaces it{hint}"
                )

    def _lost(self, kind, photos):
        path = self.paths[kind]
        if self.overwrite or not os.path.lexists(path):
            return False
        try:
            return not photos_in(kind, path) <= set(map(as_text, photos))
        except ValueError:
            return True

    def add(self, description: dict[str, Any], below: str, name: str) -> None:
        """Adds the faces of a photograph.

        Args:
            description: what `describe` of `kfacealign.cli.align_results` returned, or its file has.
            below: the photograph's path below the folder that all have in common.
            name: name of its results.
        """
        faces = description["faces"]
        if "csv" in self.paths:
            numbered = [name] if len(faces) == 1 else [f"{name}_{number}" for number in range(1, len(faces) + 1)]
            for number, (face, its) in enumerate(zip(faces, numbered, strict=True), start=1):
                points = [value for point in face["landmarks"] for value in point]
                scores = [face["mean_score"], face.get("detector_score")]
                head = [(face.get("pose") or {}).get(name) for name in self.angles]
                sure = [*face["visibility"], *(value for part in face["covariance"] for value in part)] if self.certain else []
                self.rows.append([description["photo"], as_text(its), number, *face["face_box"], *scores, *points, *sure, *head])
        if "coco" in self.paths:
            size = {"width": description["width"], "height": description["height"]}
            self.images.append({"id": len(self.images) + 1, "file_name": as_text(below), **size})
            for face in faces:
                self.annotations.append(annotation(face, len(self.annotations) + 1, len(self.images)))

    def write(self) -> tuple[list[Path], list[Path]]:
        """Writes the tables, unless there is no face.

        Returns:
            Paths of the tables that were written, and of those left as they are: photographs that they have from an earlier run
            failed in this one, or were not reached.

        Raises:
            NotWritten: a table cannot be written.
        """
        written, left = [], []
        for kind, path in self.paths.items() if self.rows or self.annotations else ():
            photos = [row[0] for row in self.rows] if kind == "csv" else [image["file_name"] for image in self.images]
            if self._lost(kind, photos):
                left.append(path)
                continue
            try:
                with replacing(path) as temporary:
                    temporary.write_text(self.csv() if kind == "csv" else self.coco(), encoding="utf-8", newline="")
            except OSError as error:
                raise NotWritten(f"{shown(path)} cannot be written: {error.strerror or error}") from error
            written.append(path)
        return written, left

    def csv(self) -> str:
        """The content of `landmarks.csv`."""
        points = [f"{axis}{point}" for point in range(self.scheme.num_points) for axis in "xy"]
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, *points, *(certainty_columns(self.scheme.num_points) if self.certain else ()), *self.angles])
        writer.writerows(self.rows)
        return file.getvalue()

    def coco(self) -> str:
        """The content of `coco.json`."""
        head = frame(self.scheme, MADE)
        content = {"info": head["info"], "images": self.images, "annotations": self.annotations, "categories": head["categories"]}
        return json.dumps(content, allow_nan=False)


def certainty_columns(points: int) -> list[str]:
    """`visibility0`, ... and `xx0`, `xy0`, `yy0`, ...: the columns of what a calibrated model says of each point."""
    return [f"visibility{point}" for point in range(points)] + [f"{part}{point}" for point in range(points) for part in PARTS]


def frame(scheme: schemes.Scheme, made: str) -> dict[str, Any]:
    """What a file in COCO's layout has besides images and annotations: "info" and "categories".

    Args:
        scheme: of the landmarks.
        made: what made them.
    """
    info = {"description": f"{made}, landmarks of {scheme.name}", "coordinates": coco.COORDINATES}
    return {"info": info, "categories": [coco.category(scheme)]}


def annotation(face: dict[str, Any], number: int, image: int) -> dict[str, Any]:
    """A face of a description as COCO annotates it, with its score."""
    x0, y0, x1, y1 = face["face_box"]
    points = [(round(x - 0.5, 3), round(y - 0.5, 3)) for x, y in face["landmarks"]]
    box = [x0, y0, round(x1 - x0, 3), round(y1 - y0, 3)]
    made = coco.annotation(points, [2] * len(points), number=number, image=image, box=box)
    return {**made, "score": face["mean_score"]}


def photos_in(kind: str, path: Path) -> set[str]:
    """The photographs that a table has.

    Raises:
        ValueError: the file is no table of this module.
    """
    try:
        text = read_bytes(path, limit=LARGEST).decode("utf-8")
        if kind == "csv":
            reader = csv.DictReader(io.StringIO(text, newline=""))
            own, photos = list(reader.fieldnames or ())[: len(COLUMNS)] == COLUMNS, {row["photo"] for row in reader}
        else:
            content = json.loads(text)
            own, photos = content["info"]["description"].startswith(MADE), {image["file_name"] for image in content["images"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, csv.Error) as error:
        raise ValueError(f"{shown(path)}: {error}") from None
    if not own:
        raise ValueError(f"{shown(path)} was not written by kfacealign align")
    return photos
