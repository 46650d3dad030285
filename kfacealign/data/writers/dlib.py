"""Writer of dlib's XML files of images, boxes and parts: `PART.xml`, with photographs in `images/`.

dlib reads whole numbers only: points are written as the pixels that they lie in, boxes as the pixels that they cover; see
`kfacealign.data.readers.dlib`. Parts are called by numbers of one width, because dlib sorts them by name.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np

from kfacealign.data.writers.parts import Part

AVOIDED = "&<>\"'"  # which XML writes as entities, and dlib does not read back


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes `train.xml` and `test.xml`, those that have faces.

    Args:
        parts: what `copy_photographs` returned, with photographs below `images`.
        folder: the folder.

    Returns:
        Sentences on what is lost: parts of pixels, hidden points, and names.
    """
    told = [f"points are called by numbers, as dlib sorts them by name; the order is that of {parts[0].faces.scheme.name}"]
    for part in parts:
        with open(folder / f"{part.name}.xml", "w", encoding="utf-8", newline="\n") as file:
            file.write('<?xml version="1.0" encoding="utf-8"?>\n<dataset>\n<name>faces</name>\n<images>\n')
            for image, (width, height), places in part.pictures():
                file.write(f'  <image file={quoteattr(image)} width="{width}" height="{height}">\n')
                file.writelines(_face(part, place) for place in places)
                file.write("  </image>\n")
            file.write("</images>\n</dataset>\n")
    known = [part.faces.landmarks[part.faces.weights > 0] for part in parts]
    if any((points % 1 != 0.5).any() for points in known):
        told.append("coordinates are rounded to whole pixels, as dlib reads no others: by up to half a pixel")
    if any((part.flags() == 1).any() for part in parts):
        told.append("which points are hidden is lost")
    return told


def _face(part, place):
    landmarks, flags = np.asarray(part.faces.landmarks[place], "float64"), part.flags()[place]
    x0, y0, x1, y1 = np.round(np.asarray(part.faces.boxes[place], "float64")).astype(int)
    box = f'top="{y0}" left="{x0}" width="{max(x1 - x0, 1)}" height="{max(y1 - y0, 1)}"'
    digits = len(str(len(landmarks) - 1))
    lines = [f"    <box {box}>"]
    for number, ((x, y), flag) in enumerate(zip(np.floor(landmarks).astype(int), flags, strict=True)):
        if flag:
            lines.append(f'      <part name="{number:0{max(digits, 2)}d}" x="{x}" y="{y}"/>')
    return "\n".join([*lines, "    </box>"]) + "\n"
