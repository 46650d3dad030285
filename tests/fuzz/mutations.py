"""Mutations of files, each a function of a content and of a `random.Random` and of nothing else.

A case is a sound input, a dict of path -> bytes, and a list of `Step`s. Each step has a random generator of its own, so that a
case stays what it is when another of its steps is left out.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from archive_mutations import keras_harm, members_of, npy_header, png_size, zip_bomb, zip_list, zipped
from name_mutations import name_fragment, scene
from plain_mutations import (
    cut,
    empty,
    field,
    flip,
    json_deep,
    json_drop,
    json_key,
    json_value,
    run,
    splice,
    text_digit,
    text_ends,
    text_insert,
    text_line,
    text_token,
    xml_bomb,
    xml_element,
    yaml_harm,
)


class Step(NamedTuple):
    """One mutation: its name in `MUTATORS`, the file it changes, and the seed of its generator."""

    mutator: str
    file: str
    seed: int

    def __str__(self) -> str:
        return f"{self.mutator}({self.file}, {self.seed})"


def plan(files: Mapping[str, bytes], rng: random.Random, mutators: Callable[[str], Sequence[str]]) -> list[Step]:
    """One to four steps that change one file, seldom two.

    Args:
        files: the sound input. rng: the generator of the case.
        mutators: path -> names of the mutators that suit the file; none where it is to be left alone.
    """
    paths = sorted(path for path in files if mutators(path))
    chosen = [rng.choice(paths)] if rng.random() < 0.9 else rng.choices(paths, k=2)
    count = rng.choice((1, 1, 1, 1, 2, 2, 3, 4))
    places = [rng.choice(chosen) for _ in range(count)]
    return [Step(rng.choice(mutators(path)), path, rng.getrandbits(32)) for path in places]


def apply(files: Mapping[str, bytes], steps: Sequence[Step]) -> dict[str, bytes]:
    """The input that the steps make of a sound one; a step that finds nothing to change changes nothing."""
    made = dict(files)
    for step in steps:
        made[step.file] = MUTATORS[step.mutator](made[step.file], random.Random(step.seed))
    return made


def suited(path: str) -> tuple[str, ...]:
    """Names of the mutators for a file, by its suffix."""
    suffix = "." + path.rpartition("/")[2].rpartition(".")[2].lower()
    return next((names for suffixes, names in SUITED.items() if suffix in suffixes), TEXT)


def zip_member(content: bytes, rng: random.Random) -> bytes:
    """A member is changed by what suits it, and the archive is written anew, so that its checksums are right."""
    members = members_of(content)
    if not members:
        return content
    place = rng.randrange(len(members))
    name, inner = members[place]
    mutator = rng.choice((*suited(name), "npy_header") if name.endswith(".npy") else suited(name))
    members[place] = name, MUTATORS[mutator](inner, rng)
    return zipped(members, rng)


TEXT = (
    "text_token",
    "text_token",
    "text_token",
    "text_digit",
    "text_digit",
    "text_line",
    "text_insert",
    "text_ends",
    "cut",
    "flip",
)
TEXT += ("empty", "splice")
YAML = (*TEXT, *["yaml_harm"] * 4)
BINARY = ("flip", "flip", "run", "field", "field", "field", "cut", "splice", "empty", "text_insert")
JSON = ("json_value", "json_value", "json_value", "json_drop", "json_deep", "json_key", "text_token", "cut", "flip", "empty")
ZIP = ("zip_member",) * 8 + ("zip_list", "zip_list", "flip", "field", "cut", "run")
SUITED = {
    (".json", ".ljson"): JSON,
    (".xml",): (*TEXT, "xml_bomb", "xml_element", "xml_element"),
    (".yaml",): YAML,
    (".npz",): (*ZIP, "zip_bomb"),
    (".keras",): (*ZIP, *["keras_harm"] * 8),
    (".png",): (*BINARY, "png_size"),
    (".mat", ".h5", ".avi", ".jpg", ".bmp", ".webp", ".tif", ".gif", ".tflite", ".onnx", ".pb", ".bin"): BINARY,
    (".npy",): (*BINARY, "npy_header", "npy_header"),
    (".ppm", ".pgm"): (*TEXT, "field", "run"),
    (".name",): ("name_fragment",),
    (".scene",): ("scene",),
}
MUTATORS: dict[str, Callable[[bytes, random.Random], bytes]] = {
    function.__name__: function
    for function in (
        *(text_token, text_digit, text_line, text_insert, text_ends, cut, empty, flip, run, field, splice, yaml_harm),
        *(json_value, json_drop, json_deep, json_key, zip_member, zip_list, zip_bomb, npy_header, keras_harm, png_size),
        *(name_fragment, scene, xml_bomb, xml_element),
    )
}
