"""What MkDocs asks while it builds: the page of presets is made of their cards, two pages are files of the project's root."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PRESETS = ROOT / "kfacealign" / "presets"
MARK = "<!-- presets -->"
NONE = "None is bundled with this copy of the sources yet."


def on_page_markdown(markdown, page, **_):
    markdown = re.sub(r"<!-- (\w+\.md) -->", lambda found: file_of_root(found[1]), markdown)
    return markdown.replace(MARK, presets()) if MARK in markdown else markdown


def file_of_root(name):
    """A Markdown file of the project's root, whose links lead to the same pages from a page of the site."""
    return (ROOT / name).read_text().replace("](docs/", "](")


def presets():
    """The cards of all bundled presets as Markdown: a table, then each card one heading deeper."""
    cards = load_cards()
    found = [cards.read(file) for file in sorted(PRESETS.glob("*.json"))]
    if not found:
        return NONE
    rows = [cards.row(card) for card in found]
    lines = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0]), *(f"| {' | '.join(row.values())} |" for row in rows)]
    return "\n\n".join(["\n".join(lines), *(deeper(cards.markdown(card)) for card in found)])


def load_cards():
    """`kfacealign.presets.cards` alone, without the package, which would start Keras."""
    spec = importlib.util.spec_from_file_location("cards", PRESETS / "cards.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def deeper(markdown):
    """A page as a section of another: its headings one level lower, outside of code."""
    lines, code = [], False
    for line in markdown.splitlines():
        code ^= line.startswith("```")
        lines.append(f"#{line}" if line.startswith("#") and not code else line)
    return "\n".join(lines)
