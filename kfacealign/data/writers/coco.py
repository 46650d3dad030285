"""Writer of COCO's keypoint annotations: `annotations/PART.json`, with photographs in `images/`.

Keypoints have the centre of the first pixel at (0, 0), boxes are measured from the outer top-left corner of the image; see
`kfacealign.data.readers.coco`. `kfacealign align --format coco` writes its table by the same functions.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kfacealign import schemes
from kfacealign.data.writers.parts import Part, exact
from kfacealign.drawing import segments

COORDINATES = (
    "keypoints are 0-based indices of pixels: the centre of the first pixel is (0, 0); add 0.5 for image coordinates. Boxes are "
    "measured from the outer top-left corner of the image"
)


def write(parts: Sequence[Part], folder: Path) -> list[str]:
    """Writes `annotations/train.json` and `annotations/test.json`, those that have faces.

    Args:
        parts: what `copy_photographs` returned, with photographs below `images`.
        folder: the folder.

    Returns:
        No sentence: nothing of the landmarks is lost.
    """
    (folder / "annotations").mkdir()
    for part in parts:
        content = json.dumps(document(part), ensure_ascii=False, allow_nan=False)
        (folder / "annotations" / f"{part.name}.json").write_text(content, encoding="utf-8")
    return []


def document(part: Part) -> dict[str, Any]:
    """The content of the file of a part."""
    images, annotations, flags = [], [], part.flags()
    for image, (width, height), places in part.pictures():
        name = image.removeprefix("images/")
        images.append({"id": len(images) + 1, "file_name": name, "width": width, "height": height})
        for place in places:
            left, top, right, bottom = part.faces.boxes[place]
            points = [[exact(value, less=0.5) for value in point] for point in part.faces.landmarks[place]]
            x, y = exact(left), exact(top)
            box = [x, y, exact(right, less=x), exact(bottom, less=y)]
            annotations.append(annotation(points, flags[place], number=len(annotations) + 1, image=len(images), box=box))
    info = {"description": f"landmarks of {part.faces.scheme.name}", "coordinates": COORDINATES}
    return {"info": info, "images": images, "annotations": annotations, "categories": [category(part.faces.scheme)]}


def category(scheme: schemes.Scheme) -> dict[str, Any]:
    """The category of faces with the points of a scheme."""
    return {
        "id": 1,
        "name": "face",
        "supercategory": "person",
        "keypoints": list(scheme.point_names),
        "skeleton": [[first + 1, second + 1] for first, second in segments(scheme)],  # COCO counts points from 1
    }


def annotation(
    points: Sequence[Sequence[float]], flags: Sequence[int], *, number: int, image: int, box: Sequence[float]
) -> dict[str, Any]:
    """A face as COCO annotates it.

    Args:
        points: K pairs (x, y), indices of pixels: image coordinates less 0.5.
        flags: K of COCO's flags; a point of flag 0 is written as 0, 0, 0.
        number: identity of the annotation.
        image: identity of its image.
        box: x, y, width, height, in image coordinates.
    """
    keypoints = [part for (x, y), flag in zip(points, flags, strict=True) for part in ((x, y, int(flag)) if flag else (0, 0, 0))]
    return {
        "id": number,
        "image_id": image,
        "category_id": 1,
        "iscrowd": 0,
        "keypoints": keypoints,
        "num_keypoints": sum(int(flag) > 0 for flag in flags),
        "bbox": list(box),
        "area": round(box[2] * box[3], 3),
    }
