"""`kfacealign datasets`: what is read, whether a copy is whole, likely wrong labels, packing, converting, own points."""

import argparse
import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from kfacealign import data, drawing, schemes
from kfacealign.cli import own_scheme, suspects
from kfacealign.cli.arguments import add_missing, add_part, add_scheme, count, finite
from kfacealign.console import make_console, shown
from kfacealign.data import catalogue, converting, survey
from kfacealign.data.encoded_images import ENCODINGS
from kfacealign.data.image_files import limit_pixels
from kfacealign.data.image_files import write as write_image
from kfacealign.data.mean_shape import mean_shape, mirror_doubts
from kfacealign.data.readers import checks
from kfacealign.data.readers.entry import Entry

CROP = 160  # pixels of a crop in the mosaic
SHAPE = 640  # pixels of the picture of the mean shape
COLUMNS = 8

DESCRIPTION = (
    "Without a COMMAND, lists the datasets that are read: sizes, normalisers, where to get them, and the papers' crops. "
    "kfacealign datasets COMMAND --help explains a command."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    names = tuple(entry.name for entry in catalogue.ENTRIES)
    parser.set_defaults(part="list")
    parts = parser.add_subparsers(metavar="COMMAND", dest="part")
    check = add_part(
        parts,
        "check",
        "verify a copy of a dataset",
        "Reads a dataset, prints how many faces were found and how many were published, names what is missing, unreadable, there "
        "twice or out of place, and photographs that EXIF turns. Writes mosaic.png (crops with their landmarks) "
        "and mean_shape.png (that of the faces, and the scheme's). The exit status is 1 where something is wrong; a note is no "
        "fault.",
    )
    pack = add_part(
        parts,
        "pack",
        "write a dataset's crops and labels to one file",
        "Writes the crops and labels of a dataset to one HDF5 file: for training from --dataset packed, far from the "
        "photographs, or in any program that reads HDF5. Raw pixels are mapped into memory on reading; JPEG and WebP take a "
        "tenth of the room.",
    )
    convert = add_part(
        parts,
        "convert",
        "write a dataset as another tool reads it",
        "Writes the labels of a dataset in the format of another tool, with copies of the photographs, to a folder that "
        "--dataset FORMAT reads again. What the format does not hold is told.",
    )
    for part in (check, pack):
        part.add_argument("name", choices=names, metavar="NAME", help=f"name of the dataset: {', '.join(names)}")
    for part in (check, pack, convert):
        part.add_argument("root", metavar="DIR", help="the dataset's directory")
        add_scheme(part, "landmark scheme of csv and pts (default ibug68), of celeba, and of files that do not name their points")
        part.add_argument(
            "--first-pixel",
            type=finite,
            metavar="X",
            help="coordinate of the first pixel's centre in keypoints of coco (default 0; CVAT's COCO files: 0.5)",
        )
        add_missing(part)
    convert.add_argument("--dataset", dest="name", choices=names, required=True, metavar="NAME", help="what DIR is: see check")
    convert.add_argument("--to", choices=tuple(converting.FORMATS), required=True, help="the format")
    convert.add_argument("--out", metavar="DIR", required=True, help="the folder that is written")
    convert.add_argument("--overwrite", action="store_true", help="replace the folder if each of its files is written again")
    suspects.add_arguments(parts)
    check.add_argument("--faces", type=count, default=48, metavar="N", help="faces in the mosaic (default %(default)s)")
    check.add_argument("--out", metavar="DIR", help="directory of the pictures (default check_NAME)")
    check.add_argument(
        "--max-pixels", type=count, metavar="N", help="most pixels of a photograph that is decoded (default 200,000,000)"
    )
    own_scheme.add_arguments(parts)
    pack.add_argument("out", metavar="OUT", help="the file, NAME.h5")
    pack.add_argument("--size", type=count, default=256, help="side of the crops in pixels (default %(default)s)")
    pack.add_argument("--enlarge", type=float, default=1.25, help="side of the crop over that of the box (default %(default)s)")
    pack.add_argument("--box", choices=("landmarks", "file"), help="the landmarks' box, or the one given (default landmarks)")
    pack.add_argument("--images", choices=("raw", *ENCODINGS), default="raw", help="how crops are stored (default %(default)s)")
    pack.add_argument("--quality", type=count, metavar="Q", help="quality of jpeg and webp, 1 to 100 (default 80 and 85)")
    for part in ("train", "test"):
        text = f"take so many faces of the {part} part, evenly spread (default all)"
        pack.add_argument(f"--{part}", type=count, metavar="N", help=text)
    pack.add_argument("--strict", action="store_true", help="stop at a photograph that cannot be read instead of leaving it out")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    if arguments.part is None or arguments.part == "list":
        return list_all(console)
    if arguments.part == "scheme":
        return own_scheme.run(console, arguments)
    if arguments.part == "suspects":
        return suspects.run(arguments)
    entry = catalogue.get(arguments.name)
    if arguments.part == "check":
        limit_pixels(arguments.max_pixels)
        return check(console, entry, arguments)
    return pack_one(console, entry, arguments) if arguments.part == "pack" else convert_one(console, entry, arguments)


def read(entry: Entry, arguments: argparse.Namespace) -> data.Dataset:
    """The dataset that the arguments name.

    Raises:
        ValueError: `--first-pixel` was given for a dataset that tells it.
    """
    more = {} if arguments.first_pixel is None else {"first_pixel": arguments.first_pixel}
    if more and entry.name != "coco":
        raise ValueError(f"--first-pixel is for --dataset coco: where {entry.name} has its first pixel is known")
    return as_dataset(entry, entry.read(arguments.root, scheme=arguments.scheme, missing=arguments.missing, **more))


def list_all(console: Console) -> int:
    """Prints all datasets and how to get them; returns the exit status."""
    table = Table(title="datasets", title_justify="left")
    for heading in ("name", "dataset", "scheme", "train", "test", "normaliser"):
        table.add_column(heading, justify="right" if heading in ("train", "test") else "left")
    for entry in catalogue.ENTRIES:
        counts = [f"{entry.counts[part]:,}" if part in entry.counts else "-" for part in ("train", "test")]
        table.add_row(entry.name, entry.title, entry.scheme or "any", *counts, entry.normalizer or "-")
    console.print(table)
    for entry in catalogue.ENTRIES:
        subsets = ", ".join(f"{name} {number:,}" for name, number in entry.counts.items() if name not in ("train", "test"))
        console.print(f"\n{entry.name}", style="bold")
        lines = {"get it": entry.source, "directory": entry.layout, "subsets": subsets}
        for what, text in {**lines, "protocol": entry.protocol, "crops": entry.crops}.items():
            if text:
                console.print(f"  {what}: {text}", soft_wrap=True)
    return 0


# === check ===


def check(console: Console, entry: Entry, arguments: argparse.Namespace) -> int:
    """Checks a copy of a dataset; returns the exit status."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        dataset = read(entry, arguments)
    told = [str(warning.message) for warning in caught if issubclass(warning.category, UserWarning)]
    table, wrong = counted(entry, dataset)
    console.print(dataset.summary(), soft_wrap=True)
    console.print(table)
    seen = survey.survey((dataset.train, dataset.test), console=console)
    wrong_faces = [*inspect(dataset, seen), *unreadable(seen)]
    again, notes = repeated(dataset, seen)
    found = [without_title(text) for text in told if "published number" not in text]
    found = list(dict.fromkeys([*found, *wrong_faces, *again]))
    for text in (*found, *(f"note: {text}" for text in (*notes, *turned(seen)))):
        console.print(f"- {shown(text)}", style="yellow", soft_wrap=True)
    written = draw(dataset, entry, Path(arguments.out or f"check_{entry.name}"), arguments.faces)
    if not found and not wrong:
        console.print("nothing is missing, twice or out of place" if entry.counts else "nothing is twice or out of place")
    console.print("written:")
    for path in written:
        console.print(f"  {shown(path)}", soft_wrap=True)
    return int(bool(found or wrong))


def as_dataset(entry: Entry, read: data.Dataset | data.Faces) -> data.Dataset:
    """What a reader returned as a `Dataset`; bare faces, of an unlabelled dataset, become its training part."""
    if isinstance(read, data.Dataset):
        return read
    return data.Dataset(
        name=entry.name,
        scheme=read.scheme,
        train=read,
        test=data.Faces(read.scheme, [], []),
        subsets={},
        enlarge=1.25,
        normalizer=read.scheme.default_normalizer,
    )


def counted(entry: Entry, dataset: data.Dataset) -> tuple[Table, bool]:
    """A table of the numbers of faces that were found and published, and whether they differ anywhere."""
    found = {"train": len(dataset.train), "test": len(dataset.test)}
    found |= {name: len(places) for name, places in dataset.subsets.items()}
    table = Table()
    for heading in ("part", "found", "published"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    wrong = False
    for part in dict.fromkeys([*found, *entry.counts]):
        number, expected = found.get(part, 0), entry.counts.get(part)
        differs = expected is not None and number != expected
        wrong |= differs
        published = "-" if expected is None else f"{expected:,}"
        table.add_row(shown(part), f"{number:,}", published, style="yellow" if differs else None)
    return table, wrong


def without_title(text: str) -> str:
    """A reader's warning without the dataset's name in front."""
    title, colon, rest = text.partition(": ")
    return rest if colon and "/" not in title else text


def inspect(dataset: data.Dataset, seen: dict[str, survey.Photograph]) -> list[str]:
    """What is wrong with the faces, in sentences."""
    found = []
    for part in (dataset.train, dataset.test):
        found += checks.problems(part, sizes=survey.sizes(part, seen))
        zero = checks.no_inter_ocular(part)
        if len(zero):
            which = checks.shown(part.origins[place] for place in zero)
            found.append(f"{len(zero):,} faces have an inter-ocular distance of 0, no error can be divided by it: {which}")
    faces = [part for part in (dataset.train, dataset.test) if len(part)]
    if faces and dataset.scheme.name not in schemes.BUILT_IN:
        found += filter(None, [mirror_doubts(mean_shape(faces), dataset.scheme.mirror)])
    return found


def unreadable(seen: dict[str, survey.Photograph]) -> list[str]:
    """A sentence on the photographs that cannot be read, if there are any."""
    which = [f"{reference} ({photograph.fault})" for reference, photograph in seen.items() if photograph.fault]
    return [f"{len(which):,} photographs cannot be read: {checks.shown(which)}"] if which else []


def repeated(dataset: data.Dataset, seen: dict[str, survey.Photograph]) -> tuple[list[str], list[str]]:
    """Sentences on photographs that are there twice: those with the same face again, and those with other faces."""
    same, other = survey.repeats((dataset.train, dataset.test), seen)
    again = f"{len(same):,} photographs are there twice with the same face: {checks.shown(same)}"
    apart = f"{len(other):,} photographs are there again with other faces: {checks.shown(other)}"
    return [again] * bool(same), [apart] * bool(other)


def turned(seen: dict[str, survey.Photograph]) -> list[str]:
    """A sentence on the photographs that their EXIF orientation turns, if there are any."""
    which = [f"{reference} ({photograph.orientation})" for reference, photograph in seen.items() if photograph.orientation != 1]
    advice = (
        "their landmarks must belong to the upright picture, as those of kfacealign align do. If they belong to the stored "
        "pixels, as the mosaic would show, take the orientation out of copies: exiftool -overwrite_original -Orientation= FILE"
    )
    return [f"{len(which):,} photographs are turned by their EXIF orientation: {checks.shown(which)}; {advice}"] if which else []


def draw(dataset: data.Dataset, entry: Entry, folder: Path, count: int) -> list[Path]:
    """Writes the mosaic of at most `count` faces and the mean shape; returns their paths."""
    faces = [part for part in (dataset.train, dataset.test) if len(part)]
    written = []
    if faces and count:
        shares = [max(1, round(count * len(part) / sum(map(len, faces)))) for part in faces]
        tiles = [tile for part, share in zip(faces, shares, strict=True) for tile in annotated_crops(part, share, entry.box)]
        written.append(write(folder / "mosaic.png", drawing.mosaic(tiles[:count], COLUMNS)))
    if faces and entry.name != "celeba":
        white = np.full((SHAPE, SHAPE, 3), 255, "uint8")
        pictures = [drawing.draw_landmarks(white, mean_shape(faces) * SHAPE, dataset.scheme, thickness=2)]
        if dataset.scheme.mean_shape is not None:
            own = dataset.scheme.mean_shape * SHAPE
            pictures.append(drawing.draw_landmarks(white, own, dataset.scheme, color=(60, 60, 200), thickness=2))
        written.append(write(folder / "mean_shape.png", np.hstack(pictures)))
    return written


def annotated_crops(faces: data.Faces, count: int, box: str) -> list[np.ndarray]:
    """Crops of faces spread over the list, with their landmarks drawn; grey where the photograph cannot be read."""
    places = np.unique(np.linspace(0, len(faces) - 1, min(count, len(faces))).round().astype(int))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # missing photographs have been reported already
        crops = data.Crops(faces[places], CROP, box=box, cache=None)
        pixels, landmarks, _ = crops.batch(np.arange(len(crops)))
    return [
        drawing.draw_landmarks(image, points * CROP, faces.scheme, weights=weights, thickness=1.0)
        for image, points, weights in zip(pixels, landmarks, faces.weights[places], strict=True)
    ]


def write(path: Path, picture: np.ndarray) -> Path:
    """Writes a picture, (H, W, 3) uint8 RGB; returns its path."""
    write_image(path, picture)
    return path


# === pack ===


def pack_one(console: Console, entry: Entry, arguments: argparse.Namespace) -> int:
    """Packs a dataset; returns the exit status."""
    dataset = spread(read(entry, arguments), {"train": arguments.train, "test": arguments.test})
    box = arguments.box or entry.box
    console.print(dataset.summary(), soft_wrap=True)
    cut = f"by the {'landmarks' if box == 'landmarks' else 'given'} box, enlarged {arguments.enlarge:g} times"
    console.print(f"crops of {arguments.size} px {cut}, go to {shown(arguments.out)}", soft_wrap=True)
    cut = {"size": arguments.size, "enlarge": arguments.enlarge, "box": box}
    stored = {"images": arguments.images, "quality": arguments.quality, "strict": arguments.strict}
    written, failures = data.pack(dataset, arguments.out, **cut, **stored)
    if failures:
        which = checks.shown(f"{shown(path)} ({reason})" for path, reason in failures)
        console.print(f"{len(failures):,} faces left out, their image cannot be read: {which}", style="yellow", soft_wrap=True)
    megabytes = Path(arguments.out).stat().st_size / 1e6
    console.print(f"written: {shown(arguments.out)} ({written:,} faces, {megabytes:,.1f} MB)", soft_wrap=True)
    return int(bool(failures))


def spread(dataset: data.Dataset, counts: Mapping[str, int | None]) -> data.Dataset:
    """A dataset of so many faces of each part, evenly spread over it; None takes all."""
    changed = {}
    for part, number in counts.items():
        faces = getattr(dataset, part)
        if number is None or number >= len(faces):
            continue
        kept = np.linspace(0, len(faces) - 1, number).round().astype(int)
        changed[part] = faces[kept]
        if part == "test":
            changed["subsets"] = {name: np.flatnonzero(np.isin(kept, places)) for name, places in dataset.subsets.items()}
    return dataclasses.replace(dataset, **changed)


# === convert ===


def convert_one(console: Console, entry: Entry, arguments: argparse.Namespace) -> int:
    """Converts a dataset; returns the exit status."""
    if entry.name == "celeba":
        raise ValueError("celeba has no landmarks: nothing of it can be converted")
    dataset = read(entry, arguments)
    console.print(dataset.summary(), soft_wrap=True)
    made = converting.convert(dataset, arguments.to, arguments.out, overwrite=arguments.overwrite)
    for note in made.notes:
        console.print(f"- {shown(note)}", style="yellow", soft_wrap=True)
    if made.failures:
        which = checks.shown(f"{shown(path)} ({reason})" for path, reason in made.failures)
        console.print(
            f"{len(made.failures):,} photographs cannot be read, their faces are left out: {which}",
            style="yellow",
            soft_wrap=True,
        )
    faces, photographs = f"{made.faces:,} faces", f"{made.photographs:,} photographs"
    console.print(f"written: {shown(arguments.out)} ({faces} in {photographs}), for --dataset {arguments.to}", soft_wrap=True)
    return int(bool(made.failures))
