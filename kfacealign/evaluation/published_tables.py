"""A run's figures in the tables that papers print, as Markdown, LaTeX and JSON."""

import dataclasses
import json
from pathlib import Path

from rich.table import Column as Heading
from rich.table import Table as ConsoleTable

from kfacealign.files import replacing

# What LaTeX reads as a command, and signs that its default encoding lacks.
LATEX = {"\\": r"\textbackslash{}", "†": r"$\dagger$", **{sign: f"\\{sign}" for sign in "&%$#_{}"}}


@dataclasses.dataclass
class Row:
    """One method: `values` is a dict of column key -> number; `run` marks the row that was measured here."""

    method: str
    source: str
    values: dict
    backbone: str = ""
    external_data: bool = False
    proposed: bool = False
    run: bool = False

    @property
    def label(self):
        return f"{self.method} ({self.backbone})" if self.backbone else self.method


@dataclasses.dataclass
class PlacedTable:
    """One table of a protocol with its rows, best first."""

    name: str
    title: str
    columns: list
    rows: list
    note: str = ""

    @property
    def footnotes(self):
        """Sentences below the table."""
        star = ["\\* trained on more than this dataset"] if any(row.external_data for row in self.rows) else []
        return [*star, *([self.note] if self.note else [])]

    def ranks(self):
        """Dict of column key -> (place of the run, number of rows) for the columns that the run has."""
        run = next(row for row in self.rows if row.run)
        places = {}
        for column in self.columns:
            if column.key in run.values:
                values = [row.values[column.key] for row in self.rows if column.key in row.values]
                own = run.values[column.key]
                better = sum(value > own if column.metric.startswith("auc") else value < own for value in values)
                places[column.key] = better + 1, len(values)
        return places

    def cells(self, row):
        """The row's values as text, one a column."""
        return [shown(column, row.values.get(column.key), row.run) for column in self.columns]


@dataclasses.dataclass
class Placed:
    """The tables of a protocol with a run in them.

    Attributes:
        protocol, title: its name and the dataset's.
        tables: `PlacedTable`s.
        notes: what makes the run's figures differ from the published ones in kind.
    """

    protocol: str
    title: str
    tables: list
    notes: list

    def markdown(self):
        """The tables as Markdown, the run in bold."""
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
        return "\n".join(lines).rstrip() + "\n"

    def latex(self):
        """The tables as LaTeX `table`s that need no package, the run in bold."""
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
        return "\n".join([f"% {note}" for note in self.notes] + lines)

    def to_json(self):
        """The tables as text: for each its columns, the places of the run and all rows."""
        content = {"protocol": self.protocol, "notes": self.notes, "tables": {}}
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

    def console(self):
        """`rich` tables of the run and the papers' own methods, where the run has figures; the files have all there is."""
        made = []
        for table in self.tables:
            if not table.ranks():
                continue
            headings = [Heading(column.title, justify="right") for column in table.columns]
            shown_table = ConsoleTable("method", *headings, "source", title=f"{self.title}: {table.title}", title_justify="left")
            for row in table.rows:
                if row.run or row.proposed:
                    style = "bold green" if row.run else None
                    shown_table.add_row(_starred(row).replace("\\", ""), *table.cells(row), row.source, style=style)
            places = [f"{key}: place {place} of {of}" for key, (place, of) in table.ranks().items()]
            shown_table.caption = "; ".join(places) + ", of all published rows and the run"
            made.append(shown_table)
        return made

    def save(self, out):
        """Writes `table.md`, `table.tex` and `table.json` to a directory; returns their paths."""
        texts = {"table.md": self.markdown(), "table.tex": self.latex(), "table.json": self.to_json()}
        for name, text in texts.items():
            with replacing(Path(out) / name) as temporary:
                temporary.write_text(text, encoding="utf-8")
        return [Path(out) / name for name in texts]


def shown(column, value, run=False):
    """A number as the papers print it; published ones keep the digits that they have beyond that."""
    if value is None:
        return "-"
    text = f"{value:.3f}" if column.metric.startswith("auc") and not column.percent else f"{value:.2f}"
    return text if run or float(text) == value else f"{value:g}"


def _starred(row):
    return row.label + "\\*" * row.external_data


def _tex(text):
    return "".join(LATEX.get(sign, sign) for sign in text)
