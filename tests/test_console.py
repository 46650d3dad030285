import io
import os
import re
from pathlib import Path

import pytest
from rich.table import Table

from kfacealign.console import encodable_streams, make_console, shown

MARKUP = re.compile(r"(?<![\w.])Console\(|rich\.print|from rich import print|from_markup|\[/?(red|bold|green|yellow)\]")
ROOT = Path(__file__).parents[1]


def test_text_is_printed_as_it_is_in_lines_tables_and_titles():
    written = io.StringIO()
    console = make_console(file=written, width=80)
    for name in ("[bold]x", "d[/b]", ":smile:", "[red]", "[link=a]b"):
        table = Table(name, title=f"title {name}", caption=f"caption {name}")
        table.add_row(f"cell {name}")
        console.print(name, style="red")
        console.print(table)
        console.rule(f"rule {name}")
        printed = written.getvalue()
        assert all(f"{where}{name}" in printed for where in ("", "title ", "caption ", "cell ", "rule "))
        written.truncate(0)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("IMG [edited] é 顔.jpg", "IMG [edited] é 顔.jpg"),
        (os.fsdecode(b"caf\xe9\n.jpg"), r"caf\xe9\n.jpg"),
        (b"caf\xe9.jpg", r"caf\xe9.jpg"),
        (Path("a/b\t.jpg"), r"a/b\t.jpg"),
        ("\x1b[31mred\x00\x7f", r"\x1b[31mred\x00\x7f"),
        ("\ud800 alone", r"\ud800 alone"),  # of a JSON file; no bytes of a name give it
        ("\u202egpj.exe", r"\u202egpj.exe"),
        (r"back\slash", r"back\slash"),
    ],
)
def test_names_are_shown_as_text_that_can_be_encoded_on_one_line(name, expected):
    assert shown(name) == expected
    assert shown(expected) == expected
    shown(name).encode("utf-8")


def test_streams_write_what_they_cannot_encode(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    monkeypatch.setattr("sys.stderr", None)
    encodable_streams()
    print("é", os.fsdecode(b"\xe9"), flush=True)
    assert raw.getvalue() == b"\\xe9 \\udce9\n"


def test_every_console_of_the_package_and_of_the_recipes_is_one_without_markup():
    allowed = {"kfacealign/console.py"}
    bare = [
        f"{file.relative_to(ROOT)}:{number}"
        for folder in ("kfacealign", "recipes")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if str(file.relative_to(ROOT)) not in allowed
        for number, line in enumerate(file.read_text().splitlines(), start=1)
        if MARKUP.search(line)
    ]
    assert bare == []
