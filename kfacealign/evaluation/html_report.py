"""The report page of a run: one HTML file that needs nothing beside it.

The page has the figures by subset, the error distribution, the errors by region and by landmark, and the worst and the best
faces. Where the run was placed among published figures, it has those tables, too. Whoever chooses a subset sees its charts and
faces.
"""

import base64
import html
import os
from pathlib import Path

import cv2
import numpy as np

from kfacealign.data.faces import Faces
from kfacealign.evaluation import html_charts, plots
from kfacealign.evaluation.published_tables import Placed
from kfacealign.evaluation.reports import Report, heading, shown
from kfacealign.files import replacing
from kfacealign.metrics.distribution import ced

SHOWN = 12  # number of a subset's faces in each gallery
QUALITY = 82  # quality of the JPEGs, out of 100

STYLE = """
:root { color-scheme: light dark; --page: #fff; --ink: #1c1f23; --soft: #5d6670; --line: #d8dde3; --card: #f5f7f9;
 --mark: #fff3c4; --c0: #2563a8; --c1: #d1641b; --c2: #2f8a4c; --c3: #b3314a; --c4: #7551b0; --c5: #85603f; --c6: #c04f9b;
 --c7: #5b7083; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --ink: #e6e9ed; --soft: #9aa4af; --line: #343b44; --card: #1f242a;
 --mark: #4a4119; --c0: #6aa9ea; --c1: #f09454; --c2: #64c283; --c3: #ee7489; --c4: #ab8de6; --c5: #c69c74; --c6: #e58bc8;
 --c7: #9db2c5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem; max-width: 1180px; background: var(--page); color: var(--ink);
 font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; } p { margin: .3rem 0; color: var(--soft); }
nav { position: sticky; top: 0; padding: .6rem 0; background: var(--page); z-index: 1;
 display: flex; flex-wrap: wrap; gap: .4rem; }
button { font: inherit; padding: .25rem .8rem; border: 1px solid var(--line); border-radius: 1rem; background: var(--card);
 color: var(--ink); cursor: pointer; }
button[aria-pressed=true] { background: var(--ink); color: var(--page); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child, td.text, th.text { text-align: left; } td.text { color: var(--soft); }
tr.on, tr.run { background: var(--mark); font-weight: 600; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 1.5rem; }
svg { width: 100%; height: auto; font-size: 11px; } svg text { fill: var(--soft); } .grid { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 2; } .curve.dim { opacity: .22; } .key .dim { opacity: .5; }
.wide { overflow-x: auto; } .wide svg { min-width: 860px; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1rem; color: var(--soft); }
.key i { display: inline-block; width: 1.2em; height: 3px;
 vertical-align: middle; margin-right: .35em; }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(172px, 1fr)); gap: .8rem; }
figure { margin: 0; background: var(--card); border-radius: 6px; overflow: hidden; } figure img { width: 100%; display: block; }
figcaption { padding: .3rem .5rem; font-size: 12px; color: var(--soft); overflow-wrap: anywhere; }
figcaption b { display: block; color: var(--ink); }
summary { margin: 1rem 0 .4rem; cursor: pointer; font-weight: 600; }
[hidden] { display: none !important; }
"""

SCRIPT = """
function choose(name) {
  for (const b of document.querySelectorAll("nav button")) b.setAttribute("aria-pressed", b.value === name);
  for (const e of document.querySelectorAll("[data-in]")) e.hidden = !JSON.parse(e.dataset.in).includes(name);
  for (const r of document.querySelectorAll("tr[data-row]")) r.classList.toggle("on", r.dataset.row === name);
  for (const c of document.querySelectorAll("[data-series]"))
    c.classList.toggle("dim", c.dataset.series !== name && name !== "full");
}
const buttons = [...document.querySelectorAll("nav button")], asked = decodeURIComponent(location.hash.slice(1));
for (const b of buttons) b.onclick = () => { choose(b.value); location.replace("#" + encodeURIComponent(b.value)); };
choose(buttons.some(b => b.value === asked) ? asked : "full");
"""


def write_page(
    report: Report,
    faces: Faces,
    path: str | os.PathLike,
    *,
    size: int = plots.SIDE,
    placed: Placed | None = None,
) -> Path:
    """Writes the page of a run to a file and returns the file's path; see `page` for the other arguments."""
    with replacing(path) as temporary:
        temporary.write_text(page(report, faces, size=size, placed=placed), encoding="utf-8")
    return Path(path)


def page(report: Report, faces: Faces, *, size: int = plots.SIDE, placed: Placed | None = None) -> str:
    """The page as HTML text.

    Args:
        report: a `Report`.
        faces: the report's `Faces`, in the same order. The photographs of the faces that are shown are read.
        size: side of a face in pixels.
        placed: the run among published figures (`protocols.place`); None leaves that part out.
    """
    parts = {"full": report, **{name: report.part(indices) for name, indices in report.subsets.items()}}
    names = [name for name, part in parts.items() if part.counted.any()]
    unit = report.normalizer.replace("_", "-")
    skipped = int((~report.counted).sum())
    body = [
        f"<h1>{report.summary()['faces']:,} faces, {html.escape(report.scheme)}</h1>",
        f"<p>Errors in percent of the normaliser {unit}.{f' Faces not counted: {skipped:,}.' if skipped else ''}</p>",
    ]
    if len(names) > 1:
        buttons = (f'<button value="{_text(name)}">{_text(name)}</button>' for name in names)
        body.append(f'<nav aria-label="subset">{"".join(buttons)}</nav>')
    body += ["<h2>By subset</h2>", _rows(report)]
    if not names:
        return document([*body, "<p>No face counts.</p>"])
    body += ['<div class="pair"><section><h2>Error distribution</h2>', _curves(parts, names, report)]
    body += ["</section><section><h2>By region</h2>", *(_only(name, _regions(parts[name], unit)) for name in names)]
    body += ["</section></div><h2>By landmark</h2>", *(_only(name, _landmarks(parts[name], unit)) for name in names)]
    body += _galleries(report, faces, names, size)
    if placed is not None:
        body += _placed(placed)
    return document(body)


def document(body: list[str], *, title: str = "Facial landmarks: a run") -> str:
    """The whole page with these parts in its body; it fetches nothing."""
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f'<title>{_text(title)}</title><meta http-equiv="Content-Security-Policy" content="{policy}">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}'
        f"<style>{STYLE}</style></head>\n<body>\n" + "\n".join(body) + f"\n<script>{SCRIPT}</script></body></html>\n"
    )


def _rows(report):
    rows = report.rows()
    columns = list(rows["full"])
    lines = [f"<tr><th>subset</th>{''.join(f'<th>{_text(heading(name))}</th>' for name in columns)}</tr>"]
    for name, row in rows.items():
        cells = "".join(f"<td>{shown(column, value)}</td>" for column, value in row.items())
        lines.append(f'<tr data-row="{_text(name)}"><td>{_text(name)}</td>{cells}</tr>')
    return f'<div class="scroll"><table>{"".join(lines)}</table></div>'


def _curves(parts, names, report):
    series = [(name, *ced(parts[name].counted_errors())) for name in names]
    keys = (
        f'<span data-series="{_text(name)}"><i style="background: var(--c{number % html_charts.COLORS})"></i>{_text(name)}</span>'
        for number, name in enumerate(names)
    )
    label = f"NME, % of {report.normalizer.replace('_', '-')}"
    chart = html_charts.curves(series, limit=max(report.thresholds), x_label=label, y_label="faces, %")
    return f'{chart}<div class="key">{"".join(keys)}</div>'


def _regions(part, unit):
    values = [(name, [(name, np.nan if error is None else error)]) for name, error in part.regions().items()]
    return html_charts.bars(values, f"error, % of {unit}", numbers=True)


def _landmarks(part, unit):
    scheme, errors = part.landmark_scheme, part.landmark_errors
    groups = [
        (name, [(f"{point} {scheme.point_names[point]}", errors[point]) for point in points])
        for name, points in plots.landmark_groups(scheme).items()
    ]
    return f'<div class="wide">{html_charts.bars(groups, f"error, % of {unit}", width=1130)}</div>'


def _galleries(report, faces, names, size):
    """The worst and the best faces of every subset. A face that is in several subsets stands once among them."""
    errors = report.face_errors
    body = []
    for title, order in (("Worst faces", np.argsort(-errors, kind="stable")), ("Best faces", np.argsort(errors, kind="stable"))):
        order = order[np.isfinite(errors[order])]
        members = {}  # face -> the subsets in whose gallery it is
        for name in names:
            inside = order if name == "full" else order[np.isin(order, report.subsets[name])]
            for face in inside[:SHOWN]:
                members.setdefault(int(face), []).append(name)
        body += [f"<h2>{title}</h2>", "<p>truth green, prediction red</p>", '<div class="faces">']
        for face in order:
            if int(face) in members:
                data = jpeg(plots.face_picture(report, faces, int(face), size=size))
                caption = f"<b>{errors[face]:.2f} %</b> {_text(report.names[face])}"
                picture = f'<img alt="" loading="lazy" src="data:image/jpeg;base64,{data}">'
                body.append(f"<figure {_in(members[int(face)])}>{picture}<figcaption>{caption}</figcaption></figure>")
        body.append("</div>")
    return body


def _placed(placed):
    body = [f"<h2>{_text(placed.title)}: among published figures</h2>", *(f"<p>{_text(note)}</p>" for note in placed.notes)]
    for table in placed.tables:
        titles = "".join(f"<th>{_text(column.title)}</th>" for column in table.columns)
        lines = [f'<tr><th>method</th>{titles}<th class="text">source</th></tr>']
        for row in table.rows:
            cells = "".join(f"<td>{cell}</td>" for cell in table.cells(row))
            label = f"<td>{_text(row.label)}{'*' * row.external_data}</td>"
            lines.append(f'<tr{" class=run" * row.run}>{label}{cells}<td class="text">{_text(row.source)}</td></tr>')
        notes = "".join(f"<p>{_text(note.lstrip(chr(92)))}</p>" for note in table.footnotes)
        body.append(
            f"<details{' open' * bool(table.ranks())}><summary>{_text(table.title)}</summary>"
            f'<div class="scroll"><table>{"".join(lines)}</table></div>{notes}</details>'
        )
    plain = [source.replace("https://", "") for source in placed.sources]  # the page names no address that a browser would open
    listed = "".join(f"<li>{_text(source)}</li>" for source in plain)
    return [*body, f"<details><summary>Sources</summary><ul>{listed}</ul></details>"]


def jpeg(picture: np.ndarray) -> str:
    """A picture (H, W, 3) uint8 RGB as JPEG, in base64."""
    done, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ValueError("a picture of a face could not be written as JPEG")
    return base64.b64encode(data).decode("ascii")


def _only(name, content):
    return f"<div {_in([name])}>{content}</div>"


def _in(names):
    """The attribute that shows an element only while one of these subsets is chosen."""
    listed = ", ".join('"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"' for name in names)
    return f'data-in="{_text(f"[{listed}]")}"'


def _text(text):
    return html.escape(str(text))
