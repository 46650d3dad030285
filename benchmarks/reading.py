"""How fast annotations are read and datasets packed, each against a named reference in the same run.

    python benchmarks/reading.py

Reading: a copy of WFLW's lists of 10,000 faces (7,500 and 2,500, six subsets; random numbers, no photographs) by
`kfacealign.data.readers.wflw`, which also validates it, against `numpy.loadtxt` of the two main lists' numbers alone.

Packing: `kfacealign.data.pack` (read, decode, crop, write) against `cv2.imdecode` of the same JPEGs, already in memory, on
one core.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from kfacealign import data, schemes
from kfacealign.data import image_files
from kfacealign.data.readers.wflw import LISTS, SUBSET_LISTS, SUBSETS
from kfacealign.data.rendered.synthetic import SyntheticFaces

COUNTS = {"train": 7500, "test": 2500}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photographs", type=int, default=400, help="JPEGs packed (default %(default)s)")
    parser.add_argument("--side", type=int, default=768, help="of the photographs in pixels (default %(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="the best of them counts (default %(default)s)")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        reading(Path(folder) / "wflw", arguments.repeats)
        packing(Path(folder) / "photographs", arguments.photographs, arguments.side, arguments.repeats)


def best(function, repeats):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


# === Reading ===


def reading(root, repeats):
    write_lists(root)
    ours = best(lambda: data.wflw(root), repeats)
    paths = [root / LISTS.format(part) for part in COUNTS]
    reference = best(lambda: [np.loadtxt(path, usecols=range(206)) for path in paths], repeats)
    print(f"reading 10,000 faces in WFLW's format: {ours:.2f} s (asked: 2 s at most)")
    print(f"numpy.loadtxt of their numbers: {reference:.2f} s")


def write_lists(root):
    rng = np.random.default_rng(0)
    (root / "WFLW_images").mkdir(parents=True)
    subsets = {name: [] for name in SUBSETS}
    for part, count in COUNTS.items():
        lines = []
        for i in range(count):
            points = rng.uniform(0, 1000, 196)
            coordinates = " ".join(f"{value:.6f}" for value in points)
            flags = (rng.random(6) < 0.2).astype(int)
            name = f"{i % 60}--Event/{part}_{i}.jpg"
            lines.append(f"{coordinates} 10 20 900 950 {' '.join(map(str, flags))} {name}")
            for subset, flag in zip(subsets, flags, strict=True):
                if flag and part == "test":
                    subsets[subset].append(f"{coordinates} {name}")
        write(root / LISTS.format(part), lines)
    for name, lines in subsets.items():
        write(root / SUBSET_LISTS.format(SUBSETS[name]), lines)


def write(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


# === Packing ===


def packing(folder, count, side, repeats):
    cv2.setNumThreads(1)  # decoding is single-threaded anyway; `pack` decodes in threads of its own
    faces = photographs(folder, count, side)
    files = [np.fromfile(path, np.uint8) for path in faces.images]
    pack = decode = np.inf
    for _ in range(repeats):  # in turn, so that other work on the machine slows both
        pack = min(pack, best(lambda: data.pack(faces, folder / "faces.h5", size=256, progress=False), 1))
        decode = min(decode, best(lambda: [cv2.imdecode(file, cv2.IMREAD_COLOR) for file in files], 1))
    rates = f"{count / pack:.0f} faces/s packed, {count / decode:.0f} JPEGs/s decoded by one core"
    print(f"packing {count} crops of 256 px from JPEGs of {side} px: {rates}, ratio {decode / pack:.2f} (asked: 1 at least)")


def photographs(folder, count, side):
    """Rendered faces as JPEGs, each written several times."""
    folder.mkdir()
    drawn = [SyntheticFaces(seed=0, size=side).render(i) for i in range(24)]
    paths, landmarks = [], []
    for i in range(count):
        face = drawn[i % len(drawn)]
        path = folder / f"{i}.jpg"
        image_files.write(path, face.image, quality=92)
        paths.append(path)
        landmarks.append(face.landmarks["wflw98"])
    return data.Faces(schemes.get("wflw98"), paths, np.stack(landmarks))


if __name__ == "__main__":
    main()
