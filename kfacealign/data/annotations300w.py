"""Reader of the 300W list files of heatmap-regression code bases: landmarks without pixels.

A CSV with a header: image_name, scale, center_w, center_h, then original_0_x, original_0_y ... original_67_y. `scale`
and `center` give a box of 200 * scale pixels around the centre.

Convention of the files: the values are those of the `.pts` files (1-based, the centre of the top-left pixel is (1,
1)), so ours are the file's - 0.5, for landmarks and centres alike.
"""

import csv
import os

import numpy as np

NUM_POINTS = 68


def read_csv(path):
    """Reads one list.

    Args:
        path: the CSV file.

    Returns:
        names: N image names.
        landmarks: (N, 68, 2) float32, image coordinates.
        scale: (N,) float32.
        center: (N, 2) float32, image coordinates.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file and the line.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{path} is missing: expected a 300W list (CSV: image_name, scale, center, 68 x and y)")
    fields = 4 + 2 * NUM_POINTS
    names, rows = [], []
    with open(path, encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        next(reader, None)
        for row in reader:
            if not row:
                continue
            if len(row) != fields:
                raise ValueError(f"{path}:{reader.line_num}: expected {fields} fields, found {len(row)}")
            names.append(row[0])
            rows.append(_numbers(f"{path}:{reader.line_num}", row[1:]))
    if not rows:
        raise ValueError(f"{path}: no face in it, expected a header and one line per face")
    rows = np.array(rows, "float64")
    points = rows[:, 3:].reshape(-1, NUM_POINTS, 2) - 0.5
    return names, points.astype("float32"), rows[:, 0].astype("float32"), (rows[:, 1:3] - 0.5).astype("float32")


def _numbers(where, words):
    try:
        values = [float(word) for word in words]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if not np.isfinite(values).all():
        raise ValueError(f"{where}: a value is not finite")
    return values
