"""A process that labels units: `python -m kfacealign.cli.labelling.child`, which a `Worker` of `workers.py` starts.

It reads orders from standard input and answers on standard output, both a JSON object a line. It ends when standard input does,
whatever it is doing: nobody would want what it writes then.
"""

import contextlib
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kfacealign import detect
from kfacealign.cli.labelling import rows
from kfacealign.cli.labelling.pictures import Picture, pictures, reason_of
from kfacealign.cli.labelling.shards import PART, Parts
from kfacealign.cli.labelling.units import Unit
from kfacealign.data import image_files
from kfacealign.deploy.runtime import loading
from kfacealign.drawing import draw_landmarks
from kfacealign.face_landmarks import FaceLandmarks
from kfacealign.process import one_line

TOGETHER = 16  # pictures whose faces a model reads as one batch; it divides PART
TELLING = 0.2  # seconds between two answers about what is done, as each wakes the process that reads it
MOST_PIXELS = 2**25  # of pictures that are held together
assert PART % TOGETHER == 0


class Labeller:
    """Labels the pictures of units.

    Args:
        settings: what `settings_of` of `runs.py` returns.
        answer: is called with each answer, a dict.

    Raises:
        ValueError, OSError, ImportError: the model or the detector cannot be loaded.
    """

    def __init__(self, settings: dict[str, Any], answer):
        cv2.setNumThreads(1)
        image_files.limit_pixels(settings["max_pixels"])
        detector = detect.make(settings["detector"], min_score=settings["min_score"])
        model = loading.load(settings["model"], threads=1)
        ways = {name: settings[name] for name in ("five_points", "any_rotation", "second_look")}
        self.landmarker = FaceLandmarks(model, detector=detector, views=False, **ways)
        self.together = TOGETHER if getattr(model, "resizable", False) else 1
        self.settings, self.answer = settings, answer
        self.schema = rows.schema(settings["description"])

    def label(self, job: dict[str, Any]) -> None:
        """Labels a unit, or the rest of it, and writes its rows.

        Args:
            job: "unit", "number" of the unit, "base" folder of its paths, "careful": whether every picture is announced before
                it is touched, and "deadly": picture -> why it is not touched at all.

        Raises:
            OSError: rows cannot be written.
        """
        parts = Parts(Path(self.settings["folder"]), job["number"], self.schema)
        found = pictures(Unit(**job["unit"]), parts.pictures, base=job["base"])
        counts, told = nothing(), time.monotonic()
        for group in grouped(found, 1 if job["careful"] else self.together):
            if job["careful"]:
                self.answer({"at": group[0].number})
            for picture, its in zip(group, self.labelled(group, job["deadly"]), strict=True):
                about = {"shard": job["number"], "picture": picture.number, "path": picture.path}
                parts.add(picture.number, [{**row, **about, "model_sha256": self.settings["model_sha256"]} for row in its])
                counts["pictures"] += 1
                counts["faces"] += sum(row["status"] == rows.OK for row in its)
                counts["failed"] += [[picture.path, row["reason"]] for row in its if row["status"] == rows.FAILED]
                self.draw(picture, its, job["number"])
            if job["careful"] or time.monotonic() - told > TELLING:
                self.answer({"done": counts})
                counts, told = nothing(), time.monotonic()
        self.answer({"done": counts})
        parts.finish()
        self.answer({"finished": job["number"]})

    def labelled(self, group: list[Picture], deadly: dict[str, str]) -> list[list[dict[str, Any]]]:
        """The rows of each of some pictures; a picture that fails keeps no other from its faces."""
        if len(group) > 1:
            with contextlib.suppress(Exception):
                images = [image_files.decode(picture.content) for picture in group]
                if sum(image.shape[0] * image.shape[1] for image in images) <= MOST_PIXELS:
                    found = zip(images, self.landmarker(images), strict=True)
                    return [rows.of_faces(faces, image.shape[1::-1]) for image, faces in found]
        return [self.labelled_alone(picture, deadly) for picture in group]

    def labelled_alone(self, picture: Picture, deadly: dict[str, str]) -> list[dict[str, Any]]:
        """The rows of a picture."""
        if str(picture.number) in deadly:
            return rows.failed(deadly[str(picture.number)])
        if picture.content is None:
            return rows.failed(picture.reason)
        try:
            image = image_files.decode(picture.content)
            return rows.of_faces(self.landmarker(image), image.shape[1::-1])
        except Exception as error:  # whatever it is, the other pictures go on
            return rows.failed(reason_of(error))

    def draw(self, picture: Picture, its: list[dict[str, Any]], number: int) -> None:
        """Writes the picture with its landmarks drawn, where overlays were asked for."""
        folder = self.settings["overlays"]
        if folder is None or its[0]["status"] != rows.OK:
            return
        points = np.stack([row["landmarks"].reshape(-1, 2) for row in its]).astype(np.float32)
        sure = {}
        if its[0].get("covariance") is not None:
            sure = {name: np.stack([row[name] for row in its]) for name in rows.EXTRA}
            sure["covariance"] = sure["covariance"].reshape(len(its), -1, 3)
        drawn = draw_landmarks(image_files.decode(picture.content), points, self.landmarker.model.scheme, **sure)
        image_files.write(Path(folder, f"{number:05d}", f"{picture.number:06d}.jpg"), drawn)


class WithoutPandas:
    """A finder of modules by which pandas is not installed: pyarrow imports it before its first array, and needs it for none."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        """Raises ModuleNotFoundError for pandas; other finders look for all else."""
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not imported here", name=name)


def nothing() -> dict[str, Any]:
    """What is told of no picture."""
    return {"pictures": 0, "faces": 0, "failed": []}


def grouped(found: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    """The pictures in groups of up to `size`, which begin where parts begin."""
    found = iter(found)
    while group := list(itertools.islice(found, size)):
        yield group


def end_with(stream: Any, orders: queue.SimpleQueue) -> None:
    """Hands on the lines of a stream, and ends this process when it ends."""
    for line in stream:
        orders.put(json.loads(line))
    os._exit(0)


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # whoever started this process ends it
        signal.signal(number, signal.SIG_IGN)
    sys.meta_path.insert(0, WithoutPandas)  # its import takes as long as several pictures
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what else is printed is no answer
    orders = queue.SimpleQueue()

    def answer(content):
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    threading.Thread(target=end_with, args=(sys.stdin, orders), daemon=True).start()
    try:
        labeller = Labeller(orders.get(), answer)
        answer({"ready": sorted({name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras", "jax", "torch"})})
        while True:
            labeller.label(orders.get())
    except (ValueError, OSError, ImportError, MemoryError) as error:
        answer({"error": one_line(error)})
    except Exception:
        answer({"bug": traceback.format_exc()})


if __name__ == "__main__":
    main()
