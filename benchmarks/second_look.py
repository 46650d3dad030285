"""What a second look at faces is worth: rolled ones turned upright, or all in the box of their own landmarks.

    python benchmarks/second_look.py YTF68 --every 4                                     # photographs, boxes of a detector
    python benchmarks/second_look.py --drawn 60 --model pipnet_lite0_256_ibug68          # drawings by their roll alone

Rows of folders are the photographs of their test part (or all, where there is none) in which a box of --detector overlaps the
annotated face by half. Rows of drawings are faces of the full ranges that turn aside by less than 25 degrees, by their roll, in
the box of their landmarks, and those of the first row again in boxes that are too small or too large. Columns are what
`kfacealign.photo.align_photo` reads with `second_look` "none", "rolled" and "all": the NME (inter-ocular, percent), its median,
and the time of a face over that of "none", taken in turns.
"""

import argparse
import itertools
import time
from pathlib import Path

import numpy as np
from detectors import matched, photographs
from rich.console import Console
from rich.progress import track
from rich.table import Table

import kfacealign as kfa
from kfacealign import geometry, photo
from kfacealign.data.rendered import sampling, synthetic

ROLLS = (0, 15, 30, 45, 90, 135, 180)
SIZES = (0.7, 0.8, 1.25, 1.4)  # sides of boxes that are not exact, over those of the landmarks' box
LOOKS = ("none", "rolled", "all")


def detected(pictures, detector, overlap=0.5):
    """(image, landmarks (K, 2), box (4,)) of those photographs in which the detector finds the annotated face."""
    for image, landmarks in pictures:
        found = detector.detect(image)
        pair = matched([geometry.landmark_box(landmarks[0])], found.boxes, overlap)
        if pair:
            yield image, landmarks[0], found.boxes[pair[0]]


def drawn(low, high, count, scheme, seed=99, size=256):
    """(image, landmarks, box) of drawings that are rolled by so many degrees, either way."""
    for number in range(count):
        rng = np.random.default_rng([seed, high, number])
        sample = sampling.sample(rng, "full")
        yaw, pitch, _ = sample.pose
        roll = float(rng.uniform(low, high) * rng.choice((-1.0, 1.0)))
        face = synthetic.draw_face(rng, size, sample._replace(pose=(min(max(yaw, -25.0), 25.0), pitch, roll)))
        yield face.image, face.landmarks[scheme.name], geometry.landmark_box(face.landmarks[scheme.name])


def scaled(faces, size):
    """The same faces in boxes so many times as large."""
    for image, landmarks, box in faces:
        middle, half = (box[:2] + box[2:]) / 2, size * (box[2:] - box[:2]) / 2
        yield image, landmarks, np.concatenate([middle - half, middle + half])


def measured(model, faces):
    """Errors (N, 3) and seconds (N, 3) of faces, by LOOKS."""
    errors, seconds = [], []
    for image, landmarks, box in faces:
        row = []
        for look in LOOKS:
            start = time.perf_counter()
            found = photo.align_photo(model, image, [box], second_look=look)
            seconds.append(time.perf_counter() - start)
            row.append(float(np.asarray(kfa.metrics.nme(landmarks[None], found.landmarks, model.scheme))[0]))
        errors.append(row)
    return np.array(errors).reshape(-1, len(LOOKS)), np.array(seconds).reshape(-1, len(LOOKS))


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="photographs with .pts files of the model's scheme")
    parser.add_argument("--model", help="a model's file or a preset's name (default: the bundled default)")
    parser.add_argument("--detector", help="what finds the faces (default: the best one installed)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="take every Nth photograph of a folder")
    parser.add_argument("--drawn", type=int, default=0, metavar="N", help="drawings of each row")
    arguments = parser.parse_args(argv)
    landmarker = kfa.FaceLandmarks(arguments.model, detector=arguments.detector)
    model = landmarker.model
    sets = {Path(name).name: detected(photographs(name, arguments.every), landmarker.detector) for name in arguments.folders}
    if arguments.drawn:
        for low, high in itertools.pairwise(ROLLS):
            sets[f"rolled by {low} to {high} degrees"] = drawn(low, high, arguments.drawn, model.scheme)
        for size in SIZES:
            sets[f"boxes {size:g} times as large"] = scaled(drawn(*ROLLS[:2], arguments.drawn, model.scheme), size)
    table = Table(title=f"second looks of {arguments.model or kfa.presets.DEFAULT}: NME (median), time", title_justify="left")
    for heading in ("faces", "number", *LOOKS):
        table.add_column(heading, justify="left" if heading == "faces" else "right")
    for name, faces in sets.items():
        errors, seconds = measured(model, track(list(faces), name, transient=True))
        times = np.median(seconds, axis=0) / np.median(seconds[:, 0])
        cells = [
            f"{mean:.2f} ({middle:.2f}), {ratio:.2f}"
            for mean, middle, ratio in zip(errors.mean(0), np.median(errors, 0), times, strict=True)
        ]
        table.add_row(name, str(len(errors)), *cells)
    Console(width=None if Console().is_terminal else 140).print(table)


if __name__ == "__main__":
    main()
