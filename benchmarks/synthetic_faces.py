"""How fast faces are rendered, on one core.

    python benchmarks/synthetic_faces.py [--size 256] [--faces 200]

Prints faces a second, and the time of one face over that of encoding and decoding the same image as
JPEG with OpenCV, timed in turn in the same run.
"""

import argparse
import statistics
import time

import cv2

import kfacealign as kfa


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--faces", type=int, default=200)
    args = parser.parse_args()
    cv2.setNumThreads(1)
    source = kfa.data.SyntheticFaces(seed=0, size=args.size)
    rendering, coding = [], []
    for index in range(args.faces):
        start = time.process_time()
        image = source.render(index).image
        middle = time.process_time()
        cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR)
        rendering.append(middle - start)
        coding.append(time.process_time() - middle)
    ratio = statistics.median(a / b for a, b in zip(rendering, coding, strict=True))
    print(f"{args.faces} faces of {args.size} px: {args.faces / sum(rendering):.0f} faces/s on one core")
    print(f"one face takes {ratio:.2f} times a JPEG's encoding and decoding (median)")


if __name__ == "__main__":
    main()
