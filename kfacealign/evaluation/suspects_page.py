"""Suspicious labels as a page, one HTML file that needs nothing beside it, and as a table."""

import csv
import html
import io
import json
from typing import Any

import cv2
import numpy as np

from kfacealign import geometry
from kfacealign.data.faces import Faces
from kfacealign.data.images import read_image
from kfacealign.drawing import draw_landmarks
from kfacealign.evaluation.html_report import document, jpeg
from kfacealign.evaluation.suspects import KINDS, Ranking, Suspect

VIEW = 288  # pixels of a face's picture
AROUND = 1.5  # its side over the longer side of the box of label and prediction
LABEL, PREDICTION, MARK = (60, 220, 90), (255, 70, 60), (255, 210, 0)
NOTED = 0.25  # pixels of the set's offset, from which on the page says what it may come from
COLUMNS = ("rank", "name", "origin", "image", "score", "kind", "point", "point_name", "distance", "mean", "shift_x", "shift_y")


def row(one: Suspect, faces: Faces) -> dict[str, Any]:
    """A label as one row of the tables; distances and shifts are in pixels, the mean in percent of the face."""
    name = faces.scheme.point_names[one.point]
    place = {"name": faces.names[one.face], "origin": faces.origins[one.face], "image": str(faces.images[one.face])}
    figures = {"distance": round(one.distance, 3), "mean": round(one.mean, 3)}
    shift = {"shift_x": round(one.shift[0], 3), "shift_y": round(one.shift[1], 3)}
    told = {"score": round(one.score, 3), "kind": one.kind, "point": one.point, "point_name": name}
    return {"rank": one.rank, **place, **told, **figures, **shift}


def table_csv(ranking: Ranking, faces: Faces) -> str:
    """All labels as CSV, the most suspicious first."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(row(one, faces) for one in ranking.suspects)
    return file.getvalue()


def table_json(ranking: Ranking, faces: Faces) -> str:
    """The set's offset and all labels as JSON, the most suspicious first."""
    content = {"offset": list(ranking.offset), "suspects": [row(one, faces) for one in ranking.suspects]}
    return json.dumps(content, indent=1, allow_nan=False)


def offset_told(ranking: Ranking) -> str:
    """What the offset of the set says, in a sentence or two."""
    x, y = ranking.offset
    told = f"The labels lie {x:+.2f} px in x and {y:+.2f} px in y from the predictions (median of all faces)."
    if max(abs(x), abs(y)) < NOTED:
        return told
    return (
        f"{told} Where it is about half a pixel or a whole one, the first pixel was read in the wrong place, here or in training."
    )


def page(ranking: Ranking, faces: Faces, predicted: np.ndarray, *, shown: int = 60) -> str:
    """The page as HTML text.

    Args:
        ranking: what `rank` returned.
        faces: the `Faces` that were ranked.
        predicted: (N, K, 2), the predictions, in image coordinates.
        shown: how many of the most suspicious labels get a picture; their photographs are read.
    """
    suspects = ranking.suspects
    counts = {kind: sum(one.kind == kind for one in suspects) for kind in KINDS}
    told = ", ".join(f"{kind} {count:,}" for kind, count in counts.items() if count)
    body = [
        f"<h1>{len(suspects):,} labels, {html.escape(faces.scheme.name)}</h1>",
        f"<p>{html.escape(offset_told(ranking))}</p>",
        f"<p>Likely kinds: {html.escape(told)}.</p>",
        "<h2>The most suspicious</h2>",
        "<p>Label green, prediction red; a yellow ring is around the point that differs most. A model errs, too: look before "
        "anything is changed.</p>",
        '<div class="faces">',
    ]
    for one in suspects[:shown]:
        name, point = html.escape(faces.names[one.face]), html.escape(faces.scheme.point_names[one.point])
        facts = f"{point} (point {one.point}) {one.distance:.1f} px; mean {one.mean:.1f} % of the face"
        caption = f"<b>{one.rank}. {html.escape(one.kind)}</b>{name}<br>{facts}"
        try:
            picture = f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{jpeg(view(one, faces, predicted[one.face]))}">'
        except (OSError, ValueError, cv2.error):
            picture = "<p>The photograph cannot be read.</p>"
        body.append(f"<figure>{picture}<figcaption>{caption}</figcaption></figure>")
    return document([*body, "</div>"], title="Facial landmarks: suspicious labels")


def view(one: Suspect, faces: Faces, predicted: np.ndarray) -> np.ndarray:
    """(VIEW, VIEW, 3) uint8 RGB: the face with its label and its prediction (K, 2).

    Raises:
        OSError, ValueError: the photograph cannot be read.
    """
    label, weights = faces.landmarks[one.face], faces.weights[one.face]
    box = geometry.landmark_box(np.concatenate([label[weights > 0], predicted])[None].astype("float32"))[0]
    picture, matrix = geometry.crop(read_image(faces.images[one.face]), geometry.square_box(box, AROUND), VIEW)
    inside = [geometry.apply_affine(matrix, np.asarray(points, "float32")) for points in (predicted, label)]
    picture = draw_landmarks(picture, inside[0], faces.scheme, color=PREDICTION, thickness=1.2)
    picture = draw_landmarks(picture, inside[1], faces.scheme, color=LABEL, thickness=1.2, weights=weights)
    centre = np.clip(np.round(inside[1][one.point] - 0.5), -1e4, 1e4).astype(int)
    return cv2.circle(picture, tuple(map(int, centre)), 9, MARK, 1, cv2.LINE_AA)
