"""What is printed: text as it is, never markup."""

import os
import sys
from typing import Any

from rich.console import Console


def make_console(**options: Any) -> Console:
    """A console that prints text as it is: brackets in a file's name are no markup, `:smile:` is no emoji.

    What standard output cannot encode is printed as `\\xe9`, and ends no run.

    Args:
        options: further arguments of `rich.console.Console`.

    Example:
        >>> make_console().print("IMG [edited].jpg", style="red")
        IMG [edited].jpg
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console(markup=False, emoji=False, highlight=False, **options)


def shown(name: str | os.PathLike) -> str:
    """A file's name as text that can be printed and encoded everywhere.

    Bytes of the name that are no UTF-8 are written as `\\xe9`, control characters such as a line break as `\\n`.
    """
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)
