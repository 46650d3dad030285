"""JSON and XML of annotation tools, which are read within limits or refused.

An XML file may declare no document type, so that no entity can be defined in it, and nothing outside of it is named by one. Its
elements are handed out one after the other and forgotten, so that a file of a million points takes the memory of one picture.
"""

import json
import os
from collections.abc import Collection, Iterator
from typing import Any
from xml.parsers import expat

import numpy as np

from kfacealign.data.faces import FURTHEST
from kfacealign.data.readers.texts import shown
from kfacealign.files import read_bytes

LIMIT = 2**28  # bytes of a document at most; COCO's own largest file of keypoints has 0.9 of it
DEEPEST = 32  # elements of XML inside of each other
MOST = 2**20  # elements of one picture
LONGEST = 2**20  # characters of the text of an element
CHUNK = 2**16  # bytes that are parsed at a time


class Element:
    """An element of XML.

    Attributes:
        tag: its name.
        attributes: name -> text.
        line: the line of its start, from 1.
        children: the elements in it.
        text: the text in it, without that of its children and without spaces at its ends.
    """

    __slots__ = ("attributes", "children", "line", "tag", "text")

    def __init__(self, tag: str, attributes: dict[str, str], line: int):
        self.tag, self.attributes, self.line, self.children, self.text = tag, attributes, line, [], ""

    def all(self, tag: str) -> "list[Element]":
        """The children of this name."""
        return [child for child in self.children if child.tag == tag]

    def text_of(self, tag: str) -> str:
        """The text of the first child of this name, or ""."""
        return next((child.text for child in self.all(tag)), "")


def read_xml(path: str | os.PathLike, root: str, tags: Collection[str]) -> Iterator[Element]:
    """The elements of these names in an XML file, in their order, each with all that is in it.

    Args:
        path: the file.
        root: the name that its outermost element must have.
        tags: names of the wanted elements, wherever they are; none is looked for inside of another.

    Raises:
        OSError: the file cannot be read, is no regular file or is larger than `LIMIT`.
        ValueError: it is no well-formed XML, declares a document type, has another outermost element, is nested too deeply,
            or has a picture of too many elements or an element of too long a text; the message names file and line.
    """
    content = read_bytes(path, limit=LIMIT)
    parser, builder = expat.ParserCreate(), None
    builder = _Builder(path, parser, root, tags)
    try:
        for start in range(0, len(content) + 1, CHUNK):
            parser.Parse(content[start : start + CHUNK], start + CHUNK > len(content))
            yield from builder.take()
    except expat.ExpatError as error:
        reason = expat.ErrorString(error.code)
        raise ValueError(f"{path}:{error.lineno}: not XML, or damaged ({reason})") from None
    except (LookupError, UnicodeError) as error:  # an encoding that Python does not know
        raise ValueError(f"{path}:1: not XML, or of an encoding that is not read ({error}): save it as UTF-8") from None


class _Builder:
    def __init__(self, path, parser, root, tags):
        self.path, self.parser, self.root, self.tags = path, parser, root, tags
        self.depth, self.count, self.open, self.done = 0, 0, [], []
        parser.buffer_text = True
        parser.StartElementHandler, parser.EndElementHandler = self.start, self.end
        parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = self.characters, self.doctype

    def where(self):
        return f"{self.path}:{self.parser.CurrentLineNumber}"

    def doctype(self, *_):
        raise ValueError(f"{self.where()}: it declares a document type (<!DOCTYPE), which could define entities: remove it")

    def start(self, tag, attributes):
        if not self.depth and tag != self.root:
            raise ValueError(f"{self.where()}: the outermost element is <{shown(tag)[1:-1]}>, expected <{self.root}>")
        self.depth += 1
        if self.depth > DEEPEST:
            raise ValueError(f"{self.where()}: more than {DEEPEST} elements inside of each other")
        if self.open or tag in self.tags:
            self.count += 1
            if self.count > MOST:
                raise ValueError(f"{self.where()}: more than {MOST:,} elements in one <{self.open[0].tag}>")
            element = Element(tag, attributes, self.parser.CurrentLineNumber)
            if self.open:
                self.open[-1].children.append(element)
            self.open.append(element)

    def end(self, _):
        self.depth -= 1
        if self.open:
            element = self.open.pop()
            element.text = element.text.strip()
            if not self.open:
                self.count = 0
                self.done.append(element)

    def characters(self, text):
        if self.open:
            self.open[-1].text += text
            if len(self.open[-1].text) > LONGEST:
                raise ValueError(f"{self.where()}: more than {LONGEST:,} characters in <{self.open[-1].tag}>")

    def take(self):
        done, self.done = self.done, []
        return done


def read_json(path: str | os.PathLike) -> Any:
    """The content of a JSON file.

    Raises:
        OSError: it cannot be read, is no regular file or is larger than `LIMIT`.
        ValueError: it is no JSON in UTF-8, is nested deeper than the parser goes, or has a number that is none; the message
            names it.
    """
    try:
        return json.loads(read_bytes(path, limit=LIMIT).decode("utf-8-sig"), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 (byte 0x{error.object[error.start]:02x}): save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}:{error.lineno}: no JSON, or a damaged one ({error.msg})") from None
    except RecursionError:
        raise ValueError(f"{path}: no JSON of annotations: it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path}: no JSON, or a damaged one ({error})") from None


def _refuse_constant(name):
    raise ValueError(f"{name} is no number of JSON")


# === Values of JSON ===


def entry(where: str, content: Any, key: str, kind: type | tuple[type, ...], *, default: Any = None) -> Any:
    """The value that a JSON object has under a key.

    Args:
        where: the place of the object, for messages.
        content: the object.
        key: the key.
        kind: what the value must be an instance of; `bool` is no `int` here.
        default: the value where the key is absent or null; None makes that an error.

    Raises:
        ValueError: the content is no object, the key is absent, or its value is of another kind.
    """
    if not isinstance(content, dict):
        raise ValueError(f"{where}: {_brief(content)}, expected an object with {key!r}")
    value = content.get(key)
    if value is None and default is not None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        kinds = kind if isinstance(kind, tuple) else (kind,)
        words = " or ".join(WORDS[kind] for kind in kinds)
        raise ValueError(f"{where}: {key} is {_brief(value) if key in content else 'absent'}, expected {words}")
    return value


WORDS = {dict: "an object", list: "a list", str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def numbers(where: str, values: Any, *, what: str, count: int | None = None) -> np.ndarray:
    """A list of JSON numbers as (N,) float64.

    Args:
        where: the place of the list, for messages.
        values: the list; None in it becomes NaN.
        what: what the numbers are, for messages.
        count: how many there must be; None takes any number.

    Raises:
        ValueError: it is no list of numbers, has another number of them, or one is beyond `FURTHEST`.
    """
    if not isinstance(values, list) or (count is not None and len(values) != count):
        found = f"{len(values)} values" if isinstance(values, list) else _brief(values)
        raise ValueError(f"{where}: {what} is {found}, expected {'' if count is None else f'{count} '}numbers")
    for value in values:
        if not isinstance(value, int | float | None) or isinstance(value, bool):
            raise ValueError(f"{where}: {what} holds {_brief(value)}, expected numbers")
        if value is not None and not abs(value) <= FURTHEST:
            raise ValueError(
                f"{where}: {what} holds {_brief(value)}, expected no number beyond {FURTHEST:,.0f}: is a decimal point lost?"
            )
    return np.array([np.nan if value is None else value for value in values], "float64")


def number(where: str, content: dict, key: str) -> float:
    """A single number of a JSON object.

    Raises:
        ValueError: it is absent, null, no number, or beyond `FURTHEST`.
    """
    return float(numbers(where, [entry(where, content, key, (int, float))], what=key)[0])


def _brief(value):
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    try:
        return shown(value) if isinstance(value, str) else shown(json.dumps(value))[1:-1]
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of thousands of digits"
