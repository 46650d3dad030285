"""A run's figures in the tables that papers print, as Markdown, LaTeX and JSON."""

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Column as Heading
from rich.table import Table as ConsoleTable
from rich.text import Text

from kfacealign.files import replacing

if TYPE_CHECKING:
    from kfacealign.evaluation.protocols import Column

# Signs that LaTeX reads as commands, and signs that its default encoding lacks.
LATEX = {"\\": r"\textbackslash{}", "†": r"$\dagger$", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}


@dataclasses.dataclass
class Row:
    """One method of a table.

    Attributes:
        method: the method's name.
        source: the papers and tables that give its values; empty for a run.
        values: dict of column key -> number.
        backbone: the backbone's name, empty where the papers name none.
        external_data: whether the method was trained on more than the dataset.
        proposed: whether it is the own method of the paper that gives its values.
        run: whether it is the run that was measured here.
    """

    method: str
    source: str
    values: dict[str, float]
    _: dataclasses.KW_ONLY
    backbone: str = ""
    external_data: bool = False
    proposed: bool = False
    run: bool = False

    @property
    def label(self) -> str:
        """The method, with its backbone in parentheses where it has one."""
        return f"{self.method} ({self.backbone})" if self.backbone else self.method


@dataclasses.dataclass
class PlacedTable:
    """One table of a protocol with its rows, the best first.

    Attributes:
        name: the table's name in `published.json`.
        title: its title.
        columns: its columns.
        rows: the published rows and the run's.
        note: a text below it; empty where there is none.
    """

    name: str
    title: str
    _: dataclasses.KW_ONLY
    columns: list["Column"]
    rows: list[Row]
    note: str = ""

    @property
    def footnotes(self) -> list[str]:
        """The texts below the table."""
        star = ["\\* trained on more than this dataset"] if any(row.external_data for row in self.rows) else []
        return [*star, *([self.note] if self.note else [])]

    def ranks(self) -> dict[str, tuple[int, int]]:
        """Dict of column key -> (place of the run, number of rows with a value), for the columns in which the run has one."""
        run = next(row for row in self.rows if row.run)
        places = {}
        for column in self.columns:
            if column.key in run.values:
                values = [row.values[column.key] for row in self.rows if column.key in row.values]
                own = run.values[column.key]
                better = sum(value > own if column.metric.startswith("auc") else value < own for value in values)
                places[column.key] = better + 1, len(values)
        return places

    def cells(self, row: Row) -> list[str]:
        """The row's values as text, one for each column."""
        return [shown(column, row.values.get(column.key), run=row.run) for column in self.columns]


@dataclasses.dataclass
class Placed:
    """The tables of a protocol with a run in them.

    Attributes:
        protocol: name of the protocol.
        title: title of the dataset.
        tables: the protocol's tables.
        notes: sentences about what makes the run's figures differ in kind from the published ones.
        sources: a sentence for each paper of the published rows, with its title, venue and addresses.
    """

    protocol: str
    title: str
    _: dataclasses.KW_ONLY
    tables: list[PlacedTable]
    notes: list[str]
    sources: list[str] = dataclasses.field(default_factory=list)

    def markdown(self) -> str:
        """The tables as Markdown, with the run in bold."""
        lines = [f"# {self.title}", ""]
        for note in self.notes:
            lines += [f"> {note}", ""]
        for table in self.tables:
            titles = [column.title for column in table.columns]
            lines += [f"## {table.title}", "", f"| {' | '.join(['method', *titles, 'source'])} |"]
            lines.append("|---|" + "---:|" * len(titles) + "---|")
            for row in table.rows:
                cells = [_starred(row), *table.cells(row), row.source]
                cells = [f"**{cell}**" if cell and row.run else cell for cell in cells]
                lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
            lines += ["", *(line for note in table.footnotes for line in (note, ""))]
        lines += ["## Sources", "", *(f"- {source}" for source in self.sources)]
        return "\n".join(lines).rstrip() + "\n"

    def latex(self) -> str:
        """The tables as LaTeX `table`s that need no package, with the run in bold."""
        lines = []
        for table in self.tables:
            titles = [column.title for column in table.columns]
            lines += [
                r"\begin{table}",
                r"\centering",
                rf"\caption{{{_tex(self.title)}: {_tex(table.title)}}}",
                rf"\begin{{tabular}}{{l{'r' * len(titles)}l}}",
                r"\hline",
                " & ".join(_tex(text) for text in ("method", *titles, "source")) + r" \\",
                r"\hline",
            ]
            for row in table.rows:
                cells = [_tex(cell) for cell in (row.label + "*" * row.external_data, *table.cells(row), row.source)]
                lines.append(" & ".join(rf"\textbf{{{cell}}}" if cell and row.run else cell for cell in cells) + r" \\")
            lines += [r"\hline", r"\end{tabular}"]
            lines += [rf"\\ {_tex(note.replace(chr(92), ''))}" for note in table.footnotes]
            lines += [r"\end{table}", ""]
        return "\n".join([f"% {note}" for note in (*self.notes, *self.sources)] + lines)

    def to_json(self) -> str:
        """The tables as JSON, each with its columns, the places of the run and all rows."""
        content = {"protocol": self.protocol, "notes": self.notes, "sources": self.sources, "tables": {}}
        for table in self.tables:
            rows = [{key: value for key, value in dataclasses.asdict(row).items() if value} for row in table.rows]
            content["tables"][table.name] = {
                "title": table.title,
                "note": table.note,
                "columns": {column.key: dataclasses.asdict(column) for column in table.columns},
                "places": {key: {"place": place, "of": of} for key, (place, of) in table.ranks().items()},
                "rows": rows,
            }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)

    def console(self) -> list[ConsoleTable]:
        """`rich` tables for the console, shorter than the files.

        They have the run and the papers' own methods, and leave out tables in which the run has no figure.
        """
        made = []
        for table in self.tables:
            if not table.ranks():
                continue
            headings = [Heading(column.title, justify="right") for column in table.columns]
            shown_table = ConsoleTable("method", *headings, "source", title=f"{self.title}: {table.title}", title_justify="left")
            for row in table.rows:
                if row.run or row.proposed:
                    style = "bold green" if row.run else None
                    shown_table.add_row(Text(_starred(row).replace("\\", "")), *table.cells(row), row.source, style=style)
            places = [f"{key}: place {place} of {of}" for key, (place, of) in table.ranks().items()]
            shown_table.caption = "; ".join(places) + ", of all published rows and the run"
            made.append(shown_table)
        return made

    def save(self, out: str | os.PathLike) -> list[Path]:
        """Writes `table.md`, `table.tex` and `table.json` to a directory; returns their paths."""
        texts = {"table.md": self.markdown(), "table.tex": self.latex(), "table.json": self.to_json()}
        for name, text in texts.items():
            with replacing(Path(out) / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return [Path(out) / name for name in texts]


def shown(column: "Column", value: float | None, *, run: bool = False) -> str:
    """A number as the papers print it, "-" for None.

    Args:
        column: the number's column.
        value: the number.
        run: whether it was measured here; a published number that has more digits than usual keeps them.
    """
    if value is None:
        return "-"
    text = f"{value:.3f}" if column.metric.startswith("auc") and not column.percent else f"{value:.2f}"
    return text if run or float(text) == value else f"{value:g}"


def _starred(row):
    return row.label + "\\*" * row.external_data


def _tex(text):
    return "".join(LATEX.get(sign, sign) for sign in text)


def merged(rows: list[dict], papers: dict[str, dict]) -> list[Row]:
    """Published rows as `Row`s. A method that several papers give with the same values is one row with all its sources.

    Args:
        rows: rows of a table of `published.json`.
        papers: its papers, by key.
    """
    made_rows = []
    for row in rows:
        source = _source(papers[row["paper"]], row)
        more = {key: row[key] for key in ("backbone", "external_data", "proposed") if key in row}
        made = Row(row["method"], source, row["values"], **more)
        twin = next((other for other in made_rows if _same(other, made)), None)
        if twin is None:
            made_rows.append(made)
        else:
            twin.source += f"; {source}"
            twin.values = {**twin.values, **made.values}
            twin.backbone = twin.backbone or made.backbone
    return made_rows


def sources(papers: dict[str, dict]) -> list[str]:
    """A sentence for each paper of `published.json`: its short name, title, venue and addresses."""
    return [f"{paper['short']}: {paper['title']}, {paper['venue']}, {'; '.join(_addresses(paper))}." for paper in papers.values()]


def _addresses(paper):
    doi = [f"https://doi.org/{paper['doi']}"] if "doi" in paper else []
    places = [f"{name}: {address}" for name, address in paper.get("places", {}).items()]
    return [f"https://arxiv.org/abs/{paper['arxiv']}", *doi, *places]


def _source(paper, row):
    """Where a row was read: a table of a paper, or, of later papers, the place that tells their figures."""
    if "table" in row:
        return f"{paper['short']}, Table {row['table']}"
    return f"{paper['short']}, {paper['venue']} ({row['place']})"


def _same(one, other):
    alike = re.sub(r"[^a-z0-9+*†]", "", one.method.lower()) == re.sub(r"[^a-z0-9+*†]", "", other.method.lower())
    shared = one.values.keys() & other.values.keys()
    return (
        alike
        and one.external_data == other.external_data
        and bool(shared)
        and all(one.values[key] == other.values[key] for key in shared)
        and (one.backbone == other.backbone or not (one.backbone and other.backbone))
    )
