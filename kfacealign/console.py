"""What is printed: text as it is, never markup, on one line, whatever bytes a name has."""

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def make_console(**options: Any) -> "Console":
    """A console that prints text as it is: brackets in a file's name are no markup, `:smile:` is no emoji.

    What standard output cannot encode is printed as `\\xe9`, and ends no run.

    Args:
        options: further arguments of `rich.console.Console`.

    Example:
        >>> make_console().print("IMG [edited].jpg", style="red")
        IMG [edited].jpg
    """
    from rich.console import Console  # only here: `--help` prints nothing with it

    return Console(markup=False, emoji=False, highlight=False, **options)


def shown(name: str | os.PathLike) -> str:
    """A file's name, or any other text that is not ours, as text on one line that can be printed and encoded everywhere.

    Bytes of the name that are no UTF-8 are written as `\\xe9`, control characters such as a line break as `\\n`. What is
    shown already stays as it is.
    """
    text = os.fspath(name)
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return text if text.isprintable() else "".join(map(_shown_letter, text))


def encodable_streams() -> None:
    """Lets stdout and stderr write what their encoding lacks as `\\xe9` or `\\u20ac`, where it would raise."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # replaced by another object, or closed
            stream.reconfigure(errors="backslashreplace")


def _shown_letter(letter):
    if letter.isprintable():
        return letter
    if "\udc80" <= letter <= "\udcff":  # how Python keeps a byte of a name that is no UTF-8
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode()
