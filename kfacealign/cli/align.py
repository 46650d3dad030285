"""`kfacealign align`: the landmarks of the faces in photographs."""

import argparse
import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
from rich.console import Console
from rich.text import Text

from kfacealign import deploy, photo, presets
from kfacealign.cli import align_results, given_boxes, photo_list
from kfacealign.cli.align_tables import NAMES as TABLES
from kfacealign.cli.align_tables import Tables
from kfacealign.cli.arguments import (
    FLIP_HELP,
    MODEL_HELP,
    add_detector,
    add_model,
    add_pose,
    add_second_look,
    add_trust,
    align_options,
    box,
    check_pose,
    count,
)
from kfacealign.cli.result_names import result_names
from kfacealign.console import make_console, shown
from kfacealign.data import five_points
from kfacealign.data.image_files import limit_pixels
from kfacealign.face_landmarks import FaceLandmarks
from kfacealign.files import lock, sweep

FORMATS = ("pts", "json", *TABLES, "none")
FAILURES = (ValueError, OSError, RuntimeError, MemoryError, cv2.error)  # of one photograph; the others go on

DESCRIPTION = (
    "Finds the faces of each photograph and their landmarks. Writes NAME_landmarks.png (the photograph, its landmarks drawn), "
    "NAME.json (landmarks in image coordinates, scores, boxes) and one .pts file for each face: NAME.pts, or of several faces "
    "NAME_1.pts, NAME_2.pts, ... NAME is the photograph's path below the folder that all inputs have in common, without its "
    "suffix; it keeps the suffix where another photograph would write the same files (x.jpg beside x.png, X.jpg or x_1.jpg). "
    "Photographs whose JSON file says that they were done before with the same settings are skipped, so that the same command "
    "goes on with an interrupted run. A photograph that fails is named, and the others go on; the exit status is then 1."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos",
        nargs="+",
        metavar="PHOTO",
        help="files; folders, which are read with their subfolders; patterns in quotes, such as 'photos/**/*.jpg'; "
        "- for a list of paths on standard input, one a line or separated by NUL",
    )
    add_model(parser, help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    add_trust(parser)
    boxes = parser.add_mutually_exclusive_group()
    boxes.add_argument(
        "--box",
        type=box,
        metavar="X0,Y0,X1,Y1",
        help="the face's box, brows to chin and ear to ear, in pixels from the top-left corner, in place of the detector; "
        "write --box=X0,... if X0 is negative",
    )
    boxes.add_argument(
        "--boxes",
        metavar="FILE",
        help="the boxes of each photograph, in place of the detector: .json {PHOTO: [[x0, y0, x1, y1], ...]} or .csv with "
        "the header photo,x0,y0,x1,y1; a PHOTO is a path from the current folder, else from the file's",
    )
    add_detector(parser)
    parser.add_argument(
        "--any-rotation",
        action="store_true",
        help="read each photograph on its sides and upside down, too, and keep the way in which its landmarks score best",
    )
    parser.add_argument(
        "--five-points",
        action="store_true",
        help="read each face a second time, turned upright by the eyes, nose and mouth found; for models trained on such crops",
    )
    add_second_look(parser)
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument(
        "--out",
        default="aligned",
        metavar="DIR",
        help="folder of the results (default %(default)s); its own files are not taken for photographs",
    )
    parser.add_argument(
        "--format",
        type=formats,
        action="extend",
        metavar="LIST",
        help=f"what is written besides the overlay, of {', '.join(FORMATS)} (default pts,json); csv is one {TABLES['csv']} and "
        f"coco one {TABLES['coco']} for the whole run; only with json an interrupted run can be continued",
    )
    add_pose(parser, " to the JSON file and the CSV table", picture="photograph")
    parser.add_argument(
        "--max-pixels", type=count, metavar="N", help="most pixels of a photograph that is decoded (default 200,000,000)"
    )
    parser.add_argument("--no-overlay", action="store_true", help="do not draw the landmarks")
    parser.add_argument("--overwrite", action="store_true", help="replace results that are there; otherwise nothing is replaced")


def formats(text: str) -> list[str]:
    """`pts,json` -> a list of formats."""
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in FORMATS:
            raise argparse.ArgumentTypeError(f"expected a list of {', '.join(FORMATS)}, got {text!r}")
    return names


def run(arguments: argparse.Namespace) -> int:
    console, out, kinds = make_console(), Path(arguments.out), set(arguments.format or ("pts", "json"))
    if "none" in kinds and len(kinds) > 1:
        raise ValueError("--format none goes with no other format")
    limit_pixels(arguments.max_pixels)
    found = photo_list.find_photos(arguments.photos, out=out, is_overlay=align_results.is_overlay)
    boxes = chosen_boxes(arguments, found.paths, console)
    if kinds == {"none"} and arguments.no_overlay:
        return Batch(arguments, found, boxes, kinds, console).run()
    new = align_results.prepare_folder(out)
    try:
        with lock(out):
            return Batch(arguments, found, boxes, kinds, console).run()
    finally:
        if new:
            align_results.remove_unused(out)


def chosen_boxes(arguments: argparse.Namespace, paths: Sequence[str], console: Console) -> dict[str, list] | None:
    """The boxes of each photograph that has any, by `--box` or `--boxes`; None where faces are looked for."""
    if arguments.box is not None:
        return {path: [list(arguments.box)] for path in paths}
    if arguments.boxes is None:
        return None
    boxes, unused = given_boxes.boxes_of(paths, given_boxes.read_boxes(arguments.boxes), arguments.boxes)
    if unused:
        few = f"{len(unused)} photograph{'s' * (len(unused) > 1)}"
        say(console, f"{shown(arguments.boxes)} has boxes of {few} not in this run, such as {shown(unused[0])}")
    return boxes


class Nothing:
    """The detector where the faces' boxes are given."""

    name = "none"


class Batch:
    """The photographs of a run, one after the other; no picture outlives its turn.

    Args:
        arguments: the command's arguments.
        found: the photographs.
        boxes: what `chosen_boxes` returned.
        kinds: the formats to write.
        console: where it is told.
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        found: photo_list.PhotoList,
        boxes: dict[str, list] | None,
        kinds: set[str],
        console: Console,
    ):
        self.arguments, self.found, self.boxes, self.console = arguments, found, boxes, console
        self.out, self.names = Path(arguments.out), result_names(found.below, taken=[Path(TABLES["coco"]).stem])
        self.wanted = align_results.Wanted(
            pts="pts" in kinds,
            json="json" in kinds,
            overlay=not arguments.no_overlay,
            pose=arguments.pose,
            overwrite=arguments.overwrite,
            photos=frozenset(map(os.path.realpath, found.paths)),
        )
        arguments.model = presets.chosen(arguments.model, keras=arguments.flip, console=console)
        options = align_options(arguments)
        model = deploy.load(arguments.model, trust=arguments.trust)
        check_pose(arguments, model.scheme)
        further = {"pose": arguments.pose, "certain": "covariance" in photo.answers(model)}
        self.tables = Tables(self.out, kinds, model.scheme, overwrite=arguments.overwrite, **further)
        self.tables.refuse_existing(*((found.paths, found.below) if self.wanted.json else ((), ())))
        if arguments.five_points:
            five_points.indices(model.scheme)  # Refuse a scheme that has no five points before any photograph is read.
        self.landmarker = FaceLandmarks(
            model,
            detector=arguments.detector if boxes is None else Nothing(),
            min_score=arguments.min_score,
            five_points=arguments.five_points,
            any_rotation=arguments.any_rotation,
            second_look=arguments.second_look,
            focal=arguments.focal,
            **options,
        )
        if boxes is None:
            say(console, f"detector: {self.landmarker.detector.name}")
        self.settings = {
            "model": align_results.as_text(Path(arguments.model).name),
            "model_sha256": align_results.checksum(arguments.model),
            "detector": self.landmarker.detector.name,
            **{name: getattr(arguments, name) for name in ("min_score", "any_rotation", "second_look", "five_points", "flip")},
        }
        if arguments.pose:  # Results of before there was the flag are still those of a run without it.
            self.settings["pose"] = True
        if arguments.focal is not None:
            self.settings["focal"] = arguments.focal
        self.done = self.failed = self.skipped = 0

    def run(self) -> int:
        """Aligns the photographs, and writes the tables with what there is, also after an error or Ctrl-C."""
        for folder in {(self.out / name).parent for name in self.names}:
            if folder.is_dir():
                sweep(folder, align_results.PATTERNS)
        for note in self.found.notes:
            say(self.console, note)
        for path, reason in self.found.problems:
            self.tell_failure(path, reason)
        try:
            with tracked(list(zip(self.found.paths, self.found.below, self.names, strict=True)), self.console) as photos:
                for path, below, name in photos:
                    self.align(path, below, name)
        except BaseException:
            with contextlib.suppress(align_results.NotWritten):  # What ended the run is told, not what follows from it.
                self.write_tables()
            raise
        self.write_tables()
        if self.skipped:
            told = "photographs were done before and are skipped; --overwrite does them again"
            say(self.console, f"{self.skipped} of {len(self.found.paths)} {told}")
        if self.failed:
            say(self.console, f"{self.failed} of {len(self.found.paths) + len(self.found.problems)} photographs failed")
        return 1 if self.failed else 0

    def align(self, path: str, below: str, name: str) -> None:
        """Aligns one photograph, writes its files, and tells of it; a failure is told of, too.

        Raises:
            NotWritten: a file cannot be written.
        """
        stem = self.out / name
        try:
            description = align_results.done_before(path, stem, self.settings_of(path), self.wanted)
            if description is None:
                description = self.made(path, stem)
            else:
                self.skipped += 1
            self.tables.add(description, below, name)
        except align_results.NotWritten:
            raise
        except FAILURES as error:
            self.tell_failure(path, reason_of(error))

    def settings_of(self, path: str) -> dict[str, Any]:
        """The settings of the run and the photograph's boxes, which results must share to be gone on with."""
        return {**self.settings, "boxes": None if self.boxes is None else self.boxes.get(path)}

    def made(self, path: str, stem: Path) -> dict[str, Any]:
        """The description of a photograph that is aligned now; its files are written.

        Raises:
            OSError: the photograph cannot be read. NotWritten: a result cannot be written.
            ValueError: the photograph is no image or has no face, or a file is in the way.
        """
        if self.boxes is not None and path not in self.boxes:
            raise ValueError(f"no box in {shown(self.arguments.boxes)}")
        image = photo.read_photo(path)
        faces = self.landmarker(image, boxes=None if self.boxes is None else self.boxes[path])
        if not faces:
            raise ValueError("no face found; give the face's --box")
        model, settings = self.landmarker.model, self.settings_of(path)
        description = align_results.describe(path, stem, image, faces, model, settings, self.wanted)
        written = align_results.write_results(description, path, stem, image, faces, self.wanted)
        scores = ", ".join(f"{face.scores.mean():.2f}" for face in faces)
        told = f"{len(faces)} face{'s' * (len(faces) > 1)}, mean score{'s' * (len(faces) > 1)} {scores}"
        names = f" -> {', '.join(map(shown, written))}" if written else ""
        say(self.console, f"{shown(path)}: {told}{names}")
        return description

    def tell_failure(self, path: str, reason: str) -> None:
        self.failed += 1
        say(self.console, Text.assemble(f"{shown(path)}: ", ("skipped", "red"), f": {reason}"))

    def write_tables(self) -> None:
        written, left = self.tables.write()
        for path in written:
            say(self.console, f"written: {shown(path)}")
        for path in left:
            reason = "photographs that it has failed in this run or were not reached"
            say(self.console, f"{shown(path)} is left as it is, because {reason}; --overwrite replaces it")


def say(console: Console, text: str | Text) -> None:
    """Prints a line, however long it is."""
    console.print(text, soft_wrap=True)


def reason_of(error: Exception) -> str:
    """Why a photograph failed, in one line."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


@contextlib.contextmanager
def tracked(photos: Sequence[Any], console: Console) -> Iterator[Iterable[Any]]:
    """The photographs, under a progress bar if there are several."""
    if len(photos) == 1:
        yield photos
        return
    from rich.progress import Progress  # a single photograph does not wait for this import

    with Progress(console=console) as bar:
        yield bar.track(photos, description="aligning")
