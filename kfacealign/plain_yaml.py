"""YAML files of strangers, of which only lists, dicts, texts, numbers, true, false and null are read.

PyYAML's parser reads the text; what its constructors could make of tags, anchors and aliases is not made. A number is a plain
decimal number in ASCII, such as `12` or `-0.5`, and nothing else is one: `010`, `1_000` and `1:30`, which other readers of YAML
take for other numbers than they look like, are texts, and so are `yes` and `no`. JSON is YAML, too.
"""

import os
import re
from typing import Any

from kfacealign.files import read_bytes

LIMIT = 2**20  # bytes of a file at most
DEEPEST = 16  # levels of lists and dicts
MOST = 100_000  # values in all
WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,15})")
DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]{0,15})(?:\.[0-9]{1,30})?(?:[eE][-+]?[0-9]{1,2})?")
WORDS = {"true": True, "false": False, "null": None, "~": None, "": None}
LONG = 200  # characters of what the parser says


def read(path: str | os.PathLike) -> tuple[dict[str, Any], dict[str, int]]:
    """The dict of a YAML file, and the line of each of its keys, from 1.

    Args:
        path: the file, UTF-8.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than `LIMIT`.
        ValueError: it is no YAML, holds something else than the module's text names, is deeper than `DEEPEST` levels or holds
            more than `MOST` values, or a key is there twice; the message names the file and the line.
    """
    content = read_bytes(path, limit=LIMIT)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: not UTF-8 (byte 0x{content[error.start]:02x}): save the file as UTF-8") from None
    value, lines = _built(os.fspath(path), text)
    if not isinstance(value, dict):
        raise ValueError(f"{path}:1: expected keys with their values, such as 'name: five'")
    return value, lines


def _built(path, text):
    """The one value of a text, and the lines of its keys where it is a dict."""
    import yaml  # what reads no such file needs it not

    # The parser in C where there is one: a file of `LIMIT` would take the other half a minute.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    builder = _Builder(path)
    try:
        for event in yaml.parse(text, Loader=loader):
            builder.take(event)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        reason = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise ValueError(f"{path}:{mark.line + 1 if mark else 1}: no YAML: {reason[:LONG]}") from None
    return builder.value, builder.lines


class _Builder:
    """Makes the value of a stream of PyYAML's events.

    Attributes:
        value: what was built; None where the text holds nothing.
        lines: key of the outermost dict -> its line.
    """

    def __init__(self, path):
        self.path, self.value, self.lines = path, None, {}
        self.open, self.documents, self.count = [], 0, 0

    def take(self, event):
        kind, where = type(event).__name__, f"{self.path}:{event.start_mark.line + 1}"
        if kind == "DocumentStartEvent":
            self.documents += 1
            if self.documents > 1:
                raise ValueError(f"{where}: a second document begins, expected one")
        elif kind == "AliasEvent" or getattr(event, "anchor", None) is not None:
            raise ValueError(f"{where}: anchors (&) and aliases (*) are not read: write the value out")
        elif getattr(event, "tag", None) is not None:
            raise ValueError(f"{where}: tags (!) are not read")
        elif kind in ("MappingStartEvent", "SequenceStartEvent"):
            self.begin({} if kind == "MappingStartEvent" else [], where)
        elif kind in ("MappingEndEvent", "SequenceEndEvent"):
            self.put(self.open.pop()[0], where)
        elif kind == "ScalarEvent":
            self.put(_scalar(event), where, text=event.value, line=event.start_mark.line + 1)

    def begin(self, value, where):
        if self.open and isinstance(self.open[-1][0], dict) and self.open[-1][1] is None:
            raise ValueError(f"{where}: a key is a list or a dict, expected a name")
        if len(self.open) >= DEEPEST:
            raise ValueError(f"{where}: more than {DEEPEST} levels of lists and dicts")
        self.open.append([value, None])

    def put(self, value, where, text=None, line=None):
        """Puts a finished value, whose text is given where it may be a key, to where it belongs."""
        self.count += 1
        if self.count > MOST:
            raise ValueError(f"{where}: more than {MOST:,} values")
        if not self.open:
            self.value = value
        elif isinstance(self.open[-1][0], list):
            self.open[-1][0].append(value)
        elif self.open[-1][1] is None:
            if text in self.open[-1][0]:
                raise ValueError(f"{where}: the key {text[:LONG]!r} is there twice")
            self.open[-1][1] = text
            if len(self.open) == 1:
                self.lines[text] = line
        else:
            self.open[-1][0][self.open[-1][1]] = value
            self.open[-1][1] = None


def _scalar(event):
    """The value of a scalar; between quotes and in blocks it is text whatever it looks like."""
    text = event.value
    if event.style in ("'", '"', "|", ">"):
        return text
    if text in WORDS:
        return WORDS[text]
    if WHOLE.fullmatch(text):
        return int(text)
    return float(text) if DECIMAL.fullmatch(text) else text
