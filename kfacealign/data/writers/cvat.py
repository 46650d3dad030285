"""Writer of CVAT's "for images" XML (version 1.1): `annotations.xml`, with photographs in `images/`.

A face is a skeleton and a box in one group. Coordinates are measured from the outer top-left corner of the image; see
`kfacealign.data.readers.cvat`.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from kfacealign.console import shown
from kfacealign.data.writers.parts import Part, exact

FACE, BOX = "face", "face_box"  # labels


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes `annotations.xml`; the subset of an image is its part.

    Args:
        parts: what `copy_photographs` returned, with photographs below `images`.
        folder: the folder.

    Returns:
        No sentence: nothing of the landmarks is lost.
    """
    names = [shown(name) for name in parts[0].faces.scheme.point_names]
    number = 0
    with open(folder / "annotations.xml", "w", encoding="utf-8", newline="\n") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n')
        file.write(_head(names, sum(len(part.pictures()) for part in parts)))
        group = 0
        for part in parts:
            for image, (width, height), places in part.pictures():
                name = quoteattr(image.removeprefix("images/"))
                size = f'width="{width}" height="{height}"'
                file.write(f'  <image id="{number}" name={name} subset="{part.name}" {size}>\n')
                for place in places:
                    group += 1
                    file.write(_face(part, place, names, group))
                file.write("  </image>\n")
                number += 1
        file.write("</annotations>\n")
    return []


def _head(names, count):
    """The head, which tells the labels: a skeleton with its points, and a rectangle."""
    labels = [(FACE, "skeleton", ""), *((name, "points", FACE) for name in names), (BOX, "rectangle", "")]
    lines = ["  <meta>", "    <task>", f"      <size>{count}</size>", "      <mode>annotation</mode>", "      <labels>"]
    for name, kind, parent in labels:
        of = f"<parent>{escape(parent)}</parent>" if parent else ""
        lines.append(f"        <label><name>{escape(name)}</name><type>{kind}</type><attributes></attributes>{of}</label>")
    return "\n".join([*lines, "      </labels>", "    </task>", "  </meta>"]) + "\n"


def _face(part, place, names, group):
    more = f'source="manual" z_order="0" group_id="{group}"'
    lines = [f'    <skeleton label="{FACE}" {more}>']
    for name, flag, (x, y) in zip(names, part.flags()[place], part.faces.landmarks[place], strict=True):
        point = f"{exact(x)},{exact(y)}" if flag else "0,0"
        seen = f'outside="{int(flag == 0)}" occluded="{int(flag == 1)}"'
        lines.append(f'      <points label={quoteattr(name)} source="manual" {seen} points="{point}"></points>')
    lines.append("    </skeleton>")
    corners = zip(("xtl", "ytl", "xbr", "ybr"), part.faces.boxes[place], strict=True)
    box = " ".join(f'{corner}="{exact(value)}"' for corner, value in corners)
    lines.append(f'    <box label="{BOX}" occluded="0" {box} {more}></box>')
    return "\n".join(lines) + "\n"
