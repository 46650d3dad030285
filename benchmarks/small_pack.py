"""A dataset in one small file, for a machine to which little can be brought: crops as WebP, and their labels.

    python benchmarks/small_pack.py wflw WFLW wflw.npz --faces 2500 --test-faces 500

3,000 faces of 256 px take about 35 MB, a fifteenth of what `kfacealign datasets pack` writes. That file is mapped into memory
and read without decoding; this one is for the way.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np

import kfacealign as kfa
from kfacealign.files import replacing

BATCH = 64


def write(dataset, path, *, size=256, enlarge=1.4, quality=85):
    """Writes a dataset's crops and labels; photographs that cannot be read are left out. Returns the number of faces.

    Args:
        dataset: a `kfacealign.data.Dataset`.
        path: the file, NAME.npz.
        size: side of the crops in pixels.
        enlarge: side of the crop over that of the landmarks' box; models cut theirs from these crops.
        quality: of WebP, up to 100.
    """
    pictures, landmarks, weights, counts = [], [], [], []
    for faces in (dataset.train, dataset.test):
        crops = kfa.data.Crops(faces, size, enlarge=enlarge, cache=None)
        for start in range(0, len(crops), BATCH):
            images, points, known = crops.batch(range(start, min(start + BATCH, len(crops))))
            for place in np.flatnonzero(known.any(1)):
                options = [cv2.IMWRITE_WEBP_QUALITY, quality]
                pictures.append(cv2.imencode(".webp", images[place, :, :, ::-1], options)[1].tobytes())
                landmarks.append(points[place] * size)
                weights.append(known[place])
        counts.append(len(pictures))
    told = {"name": dataset.name, "scheme": kfa.schemes.described(dataset.scheme), "normalizer": dataset.normalizer}
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez(
            file,
            pictures=np.frombuffer(b"".join(pictures), "uint8"),
            ends=np.cumsum([len(picture) for picture in pictures]),
            landmarks=np.array(landmarks, "float32"),
            weights=np.array(weights, "uint8"),
            train=counts[0],
            told=json.dumps(told),
        )
    return counts[1]


def read(path, folder):
    """The dataset of such a file, whose pictures are laid down in a folder as they are."""
    with np.load(path) as file:
        content = {name: file[name] for name in file.files}
    folder, told, train = Path(folder), json.loads(str(content["told"])), int(content["train"])
    folder.mkdir(parents=True, exist_ok=True)
    paths, start = [], 0
    for number, end in enumerate(content["ends"]):
        paths.append(folder / f"{number:05d}.webp")
        if not paths[-1].exists():
            with replacing(paths[-1]) as temporary:
                temporary.write_bytes(content["pictures"][start:end].tobytes())
        start = end
    scheme = kfa.schemes.get(told["scheme"])
    parts = [
        kfa.data.Faces(scheme, [str(path) for path in paths[rows]], content["landmarks"][rows], weights=content["weights"][rows])
        for rows in (slice(0, train), slice(train, None))
    ]
    more = {"name": told["name"], "normalizer": told["normalizer"], "subsets": {}, "enlarge": 1.25}
    return kfa.data.Dataset(scheme=scheme, train=parts[0], test=parts[1], **more)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", help="its name, see kfacealign datasets")
    parser.add_argument("folder")
    parser.add_argument("out", help="NAME.npz")
    parser.add_argument("--faces", type=int, help="of the training set, evenly spread (default all)")
    parser.add_argument("--test-faces", type=int)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--quality", type=int, default=85)
    args = parser.parse_args()
    dataset = kfa.data.load_dataset(args.dataset, args.folder)
    for name, count in (("train", args.faces), ("test", args.test_faces)):
        faces = getattr(dataset, name)
        if count is not None and count < len(faces):
            setattr(dataset, name, faces[np.linspace(0, len(faces) - 1, count).round().astype(int)])
    dataset.subsets = {}
    written = write(dataset, args.out, size=args.size, quality=args.quality)
    print(f"{written:,} faces, {Path(args.out).stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
