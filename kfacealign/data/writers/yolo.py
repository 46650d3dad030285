"""Writer of YOLO-pose datasets, as Ultralytics lays them out: `data.yaml`, `images/PART/`, `labels/PART/`.

Coordinates are fractions of the image's sides from its outer top-left corner; see `kfacealign.data.readers.yolo`. Ultralytics
passes over a photograph with a coordinate outside of it, so boxes are cut at its edges, and points beyond them are written as not
annotated.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kfacealign.console import shown
from kfacealign.data.writers.parts import Part


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes `data.yaml`, whose `val` is the test part, and a file of labels for each photograph.

    Args:
        parts: what `copy_photographs` returned, with photographs below `images`.
        folder: the folder.

    Returns:
        Sentences on what is lost: points outside of their photograph.
    """
    lost, left = 0, []
    for part in parts:
        flags = part.flags()
        for image, size, places in part.pictures():
            lines = []
            for place in places:
                line, outside = _line(part, place, flags[place], np.array(size, "float64"))
                lost += outside
                if line is None:
                    left.append(part.faces.origins[place])
                else:
                    lines.append(line)
            labels = (folder / f"labels/{image.removeprefix('images/')}").with_suffix(".txt")
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text("".join(lines), encoding="utf-8")
    (folder / "data.yaml").write_text(_description(parts), encoding="utf-8")
    told = [f"{lost:,} points outside of their photograph are written as not annotated, as YOLO takes none"] if lost else []
    return [*told, *([f"{len(left):,} faces outside of their photograph are left out, the first: {left[0]}"] if left else [])]


def _description(parts):
    scheme = parts[0].faces.scheme
    keys = {"train": "train", "test": "val"}
    names = [shown(name) for name in scheme.point_names]
    lines = [
        "path: .",
        *(f"{keys[part.name]}: images/{part.name}" for part in parts),
        f"kpt_shape: [{scheme.num_points}, 3]",
        f"flip_idx: {list(map(int, scheme.mirror))}",
        "names:",
        "  0: face",
        "kpt_names:",
        "  0:",
        *(f"    - {json.dumps(name, ensure_ascii=False)}" for name in names),
    ]
    return "\n".join(lines) + "\n"


def _line(part, place, flags, size):
    """The line of a face, None where its box is outside of the photograph, and how many points are."""
    fractions = np.asarray(part.faces.landmarks[place], "float64") / size
    inside = ((fractions >= 0) & (fractions <= 1)).all(1)
    outside = int(((flags > 0) & ~inside).sum())
    x0, y0, x1, y1 = np.clip(np.asarray(part.faces.boxes[place], "float64") / np.tile(size, 2), 0, 1)
    if x1 <= x0 or y1 <= y0:
        return None, outside
    values = [(x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0]
    words = ["0", *map(_text, values)]
    for (x, y), flag, there in zip(fractions, flags, inside, strict=True):
        words += [_text(x), _text(y), str(int(flag))] if flag and there else ["0", "0", "0"]
    return " ".join(words) + "\n", outside


def _text(fraction):
    """Twelve digits, from which float32 in pixels is made again."""
    return f"{fraction:.12g}"
