"""Writer of Label Studio's tasks: `PART.json` and the labelling interface `label_config.xml`, with photographs in `images/`.

A face is a rectangle with its points in it. Coordinates are percent of the image's sides from its outer top-left corner; see
`kfacealign.data.readers.labelstudio`. Label Studio finds the photographs when LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT is the
folder that is written, and LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED is true.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from kfacealign.console import shown
from kfacealign.data.readers.labelstudio import CONFIG, HIDDEN
from kfacealign.data.writers.parts import Part

DOT = 0.5  # width of a point on the screen, percent


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes `train.json` and `test.json`, those that have faces, and `label_config.xml`.

    Args:
        parts: what `copy_photographs` returned, with photographs below `images`.
        folder: the folder.

    Returns:
        No sentence: nothing of the landmarks is lost.
    """
    for part in parts:
        content = json.dumps(tasks(part), ensure_ascii=False, allow_nan=False)
        (folder / f"{part.name}.json").write_text(content, encoding="utf-8")
    labels = [f'    <Label value={quoteattr(shown(name))} model_index="{place}"/>' for place, name in _places(parts)]
    lines = [
        "<View>",
        '  <Image name="image" value="$image"/>',
        '  <RectangleLabels name="box" toName="image">',
        '    <Label value="face"/>',
        "  </RectangleLabels>",
        '  <KeyPointLabels name="points" toName="image">',
        *labels,
        "  </KeyPointLabels>",
        '  <Choices name="seen" toName="image" perRegion="true" whenTagName="points">',
        f'    <Choice value="{HIDDEN}"/>',
        "  </Choices>",
        "</View>",
    ]
    (folder / CONFIG).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return []


def _places(parts):
    return enumerate(parts[0].faces.scheme.point_names)


def tasks(part: Part) -> list[dict[str, Any]]:
    """The tasks of a part, one for each photograph."""
    made, flags, names = [], part.flags(), [shown(name) for name in part.faces.scheme.point_names]
    for image, size, places in part.pictures():
        results = []
        for place in places:
            results += _face(part, place, flags[place], names, size)
        url = f"/data/local-files/?d={quote(image)}"
        made.append({"id": len(made) + 1, "data": {"image": url}, "annotations": [{"result": results}]})
    return made


def _face(part, place, flags, names, size):
    width, height = size
    of_image = {"to_name": "image", "original_width": width, "original_height": height, "image_rotation": 0}
    x0, y0, x1, y1 = map(float, part.faces.boxes[place])
    box = {"x": x0 / width * 100, "y": y0 / height * 100}
    box |= {"width": (x1 - x0) / width * 100, "height": (y1 - y0) / height * 100, "rotation": 0}
    identity = f"face{place}"
    results = [
        {
            "id": identity,
            "type": "rectanglelabels",
            "from_name": "box",
            "value": {**box, "rectanglelabels": ["face"]},
            **of_image,
        }
    ]
    for number, (name, flag, (x, y)) in enumerate(zip(names, flags, part.faces.landmarks[place].tolist(), strict=True)):
        if not flag:
            continue
        at = {"x": x / width * 100, "y": y / height * 100, "width": DOT}
        region = {"id": f"{identity}point{number}", **of_image, "parentID": identity}
        value = {**at, "keypointlabels": [name]}
        results.append({**region, "type": "keypointlabels", "from_name": "points", "value": value})
        if flag == 1:
            results.append({**region, "type": "choices", "from_name": "seen", "value": {**at, "choices": [HIDDEN]}})
    return results
