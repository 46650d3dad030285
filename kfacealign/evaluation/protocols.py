"""How the papers measure each dataset, and a run's figures among the published ones.

A protocol names the subsets, normalisers, thresholds and columns of the tables that papers print about one dataset. `place`
puts a `Report` into these tables among the published rows. The rows are in `published.json`, each with the paper and the number
of the table that it was copied from; those of methods since 2022 with the paper and the place that tells their figures. The
papers' venues and addresses are there, too.
"""

import dataclasses
import json
from importlib import resources
from typing import TYPE_CHECKING, Any

from kfacealign.evaluation.published_tables import Placed, PlacedTable, Row, merged, sources
from kfacealign.metrics.distribution import auc, failure_rate

if TYPE_CHECKING:
    from kfacealign.evaluation.reports import Report


@dataclasses.dataclass(frozen=True)
class Column:
    """One column of a table: a metric of one subset.

    Attributes:
        key: the column's name in `published.json`.
        title: its heading.
        metric: "nme", "nrmse", "fr@10" or "auc@10", with the threshold in percent.
        normalizer: name of the normaliser.
        subset: name of the subset; "full" is the whole test set.
        percent: whether an AUC is printed in percent rather than in [0, 1].
        scheme: where the protocol has several schemes, the one of the faces that the column measures; None measures any.
        points: positions of the landmarks that count; None counts all.
    """

    key: str
    title: str
    metric: str = "nme"
    normalizer: str = "inter_ocular"
    _: dataclasses.KW_ONLY
    subset: str = "full"
    percent: bool = False
    scheme: str | None = None
    points: tuple[int, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of a protocol.

    Attributes:
        name: the table's name in `published.json`.
        title: its title.
        columns: its columns.
        note: a text below it; empty where there is none.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    _: dataclasses.KW_ONLY
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How one dataset is measured.

    Attributes:
        name: the protocol's name on the command line.
        title: the dataset's title.
        schemes: names of the schemes that faces may have.
        normalizer: normaliser of a run's own report.
        thresholds: thresholds of failure rate and AUC in a run's own report, in percent.
        counts: dict of subset -> published number of faces.
        tables: the tables that papers print.
    """

    name: str
    title: str
    _: dataclasses.KW_ONLY
    schemes: tuple[str, ...]
    normalizer: str
    thresholds: tuple[float, ...]
    counts: dict[str, int]
    tables: tuple[Table, ...]


def _subsets(names, metric="nme", normalizer="inter_ocular", **more):
    return tuple(Column(name, name.replace("_", " "), metric, normalizer, subset=name, **more) for name in names)


WFLW_SUBSETS = ("full", "pose", "expression", "illumination", "makeup", "occlusion", "blur")
CATEGORIES = ("category_1", "category_2", "category_3")
# The 49 inner points of 68: no contour, no inner corners of the mouth.
INNER49 = tuple(point for point in range(17, 68) if point not in (60, 64))
BOX = (
    Column("nme", "NME", "nme", "box"),
    Column("auc7", "AUC 7 %", "auc@7", "box", percent=True),
)
MIXED = "The attentive 1D heatmap paper calls its figures NRMSE; those of other methods it copies from papers that give NME."
IMAGE_SIZE = (
    "PIPNet divides by the size of the image (Sec. 4.1.3; the caption of its Table 3 names the inter-ocular distance). The run's "
    "figure is over the side of its crops, the same if they are the dataset's boxes, not enlarged."
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "300w",
            "300W",
            schemes=("ibug68",),
            normalizer="inter_ocular",
            thresholds=(8.0, 10.0),
            counts={"full": 689, "common": 554, "challenging": 135, "test": 600},
            tables=(
                Table("nme", "NME, % of inter-ocular", _subsets(("common", "challenging", "full", "test"))),
                Table("box", "private test set, box", tuple(dataclasses.replace(column, subset="test") for column in BOX)),
                Table("nrmse", "NRMSE, % of inter-ocular", _subsets(("common", "challenging", "full"), "nrmse"), note=MIXED),
            ),
        ),
        Protocol(
            "wflw",
            "WFLW",
            schemes=("wflw98", "ibug68"),
            normalizer="inter_ocular",
            thresholds=(10.0,),
            counts={
                "full": 2500,
                "pose": 326,
                "expression": 314,
                "illumination": 698,
                "makeup": 206,
                "occlusion": 736,
                "blur": 773,
            },
            tables=(
                Table("nme", "NME, % of inter-ocular", _subsets(WFLW_SUBSETS, scheme="wflw98")),
                Table("fr10", "FR 10 %, inter-ocular", _subsets(WFLW_SUBSETS, "fr@10", scheme="wflw98")),
                Table("auc10", "AUC 10 %, inter-ocular", _subsets(WFLW_SUBSETS, "auc@10", scheme="wflw98")),
                Table("wflw68", "WFLW-68, NME, % of inter-ocular", _subsets(("full",), scheme="ibug68")),
            ),
        ),
        Protocol(
            "cofw",
            "COFW",
            schemes=("cofw29",),
            normalizer="inter_ocular",
            thresholds=(10.0,),
            counts={"full": 507},
            tables=(
                Table(
                    "nme",
                    "29 points",
                    (
                        Column("nme_inter_ocular", "NME inter-ocular"),
                        Column("fr10_inter_ocular", "FR 10 % inter-ocular", "fr@10"),
                        Column("nme_inter_pupil", "NME inter-pupil", "nme", "inter_pupil"),
                        Column("fr10_inter_pupil", "FR 10 % inter-pupil", "fr@10", "inter_pupil"),
                    ),
                    note="Figures that HIH's Table II gives as inter-pupil (LAB 5.58, MHHN 4.95, DAC-CSR 6.03) are inter-ocular "
                    "in Table 13 of the subpixel paper and Table 3 of PIPNet; each row is as its own table has it.",
                ),
            ),
        ),
        Protocol(
            "cofw68",
            "COFW-68",
            schemes=("ibug68",),
            normalizer="inter_ocular",
            thresholds=(7.0, 10.0),
            counts={"full": 507},
            tables=(
                Table("nme", "NME, % of inter-ocular", _subsets(("full",))),
                Table("box", "box", BOX),
            ),
        ),
        Protocol(
            "aflw",
            "AFLW-19",
            schemes=("aflw19",),
            normalizer="diagonal",
            thresholds=(7.0,),
            counts={"full": 4386, "frontal": 1314},
            tables=(
                Table(
                    "nme",
                    "diagonal and box",
                    (
                        Column("nme_diagonal_full", "NME diagonal, full", "nme", "diagonal"),
                        Column("nme_diagonal_frontal", "NME diagonal, frontal", "nme", "diagonal", subset="frontal"),
                        Column("nme_box_full", "NME box, full", "nme", "box"),
                        Column("auc7_box_full", "AUC 7 % box, full", "auc@7", "box", percent=True),
                    ),
                ),
                Table("face_size", "NME, % of the image's side", _subsets(("full",), "nme", "image"), note=IMAGE_SIZE),
                Table("face_size_nrmse", "NRMSE, % of the face's size", _subsets(("full",), "nrmse", "box"), note=MIXED),
            ),
        ),
        Protocol(
            "menpo",
            "Menpo 2D",
            schemes=("ibug68", "menpo39"),
            normalizer="diagonal",
            thresholds=(7.0,),
            counts={},
            tables=(
                Table(
                    "diagonal",
                    "NME, % of the diagonal",
                    (
                        Column("semi_frontal", "semi-frontal", "nme", "diagonal", scheme="ibug68"),
                        Column("profile", "profile", "nme", "diagonal", scheme="menpo39"),
                    ),
                ),
                Table("box", "semi-frontal, box", tuple(dataclasses.replace(column, scheme="ibug68") for column in BOX)),
            ),
        ),
        Protocol(
            "300vw",
            "300VW",
            schemes=("ibug68",),
            normalizer="inter_ocular",
            thresholds=(8.0,),
            counts={},
            tables=(
                Table("nme", "NME, % of inter-ocular", _subsets(CATEGORIES)),
                Table("nrmse", "NRMSE, % of inter-ocular", _subsets(CATEGORIES, "nrmse"), note=MIXED),
                Table(
                    "inner49",
                    "49 inner points",
                    (
                        Column(
                            "auc8_category_3", "AUC 8 %, category 3", "auc@8", subset="category_3", percent=True, points=INNER49
                        ),
                    ),
                ),
            ),
        ),
        Protocol(
            "jd106",
            "JD-landmark 106",
            schemes=("jd106",),
            normalizer="box",
            thresholds=(8.0,),
            counts={"full": 2000},
            tables=(
                Table(
                    "box",
                    "box",
                    (
                        Column("nme", "NME", "nme", "box"),
                        Column("auc8", "AUC 8 %", "auc@8", "box", percent=True),
                        Column("fr8", "FR 8 %", "fr@8", "box"),
                    ),
                ),
            ),
        ),
    )
}


def get(name: str, *, scheme: str | None = None) -> Protocol:
    """The protocol of this name.

    Args:
        name: a key of `PROTOCOLS`.
        scheme: name of the scheme of the faces that are to be measured; None does not check it.

    Raises:
        ValueError: there is no such protocol, or it is for other schemes.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if scheme is not None and scheme not in protocol.schemes:
        raise ValueError(f"the protocol {name} is for {' or '.join(protocol.schemes)}, the faces have {scheme}")
    return protocol


def published() -> dict[str, Any]:
    """The content of `published.json`: `papers` (key -> paper) and `protocols` (name -> table -> rows).

    A paper has `short` (its name in the tables), `title`, `venue` (with the year), `arxiv` (its number) and, where it has one,
    `doi`. A row has `method`, `paper`, `table` (the table's number in the paper) and `values` (column -> number, as printed).
    Where they apply it also has `backbone`, `external_data` (trained on more than the dataset) and `proposed` (the paper's own
    method). A row of a method since 2022 has `place` for `table`: where its authors, or a list of results, tell the figures of
    the paper. The paper's `places` has the address of each place.
    """
    text = resources.files("kfacealign.evaluation").joinpath("published.json").read_text(encoding="utf-8")
    return json.loads(text)


def place(name: str, report: "Report", *, label: str = "this run") -> Placed:
    """Puts a run among the published rows of a protocol.

    Args:
        name: name of the protocol.
        report: a `Report` that knows the true landmarks, as the results of `report` and `evaluate` do. Its normaliser does not
            matter. A report of a single subset is recognised by its number of faces: 600 faces are the private test set of
            300W.
        label: name of the run in its row.

    Raises:
        ValueError: there is no such protocol, the report has another scheme, or it does not know the true landmarks.
    """
    protocol = get(name, scheme=report.scheme)
    content = published()
    subsets = _parts(protocol, report)
    reports = {}
    tables, used = [], []
    for table in protocol.tables:
        columns = [column for column in table.columns if column.scheme in (None, report.scheme)]
        if not columns:
            continue
        values = {column.key: _measured(column, report, subsets, reports) for column in columns}
        printed = content["protocols"][name][table.name]
        used += [row["paper"] for row in printed]
        rows = [row for row in merged(printed, content["papers"]) if any(column.key in row.values for column in columns)]
        run = Row(label, "", {key: value for key, value in values.items() if value is not None}, run=True)
        ordered = _ordered([*rows, run], columns, run)
        tables.append(PlacedTable(table.name, table.title, columns=columns, rows=ordered, note=table.note))
    papers = {key: paper for key, paper in content["papers"].items() if key in used}
    notes = _differences(protocol, report, subsets)
    return Placed(name, protocol.title, tables=tables, notes=notes, sources=sources(papers))


def _parts(protocol, report):
    """The protocol's subsets that the report has: dict of name -> positions of faces, None for all faces."""
    total = len(report.names)
    alone = [name for name, count in protocol.counts.items() if count == total and name not in report.subsets]
    whole = "full" if "full" in alone or not alone else alone[0]
    return {whole: None, **report.subsets}


def _differences(protocol, report, subsets):
    """A sentence for each subset whose number of faces is not the published one."""
    notes = []
    for name, count in protocol.counts.items():
        if name in subsets:
            indices = subsets[name]
            found = int(report.counted.sum() if indices is None else report.counted[indices].sum())
            if found != count:
                notes.append(f"{name}: {found:,} faces were measured, the published figures are of {count:,}")
    return notes


def _measured(column, report, subsets, reports):
    """The run's value in a column, in the column's unit; None where the run has no such faces or no such normaliser."""
    if column.subset not in subsets or (column.normalizer == "image" and report.image_size is None):
        return None
    key = column.normalizer, column.points
    if key not in reports:
        reports[key] = report.under(column.normalizer, points=column.points)
    made, indices = reports[key], subsets[column.subset]
    metric, _, threshold = column.metric.partition("@")
    errors = made.counted_errors(indices, squared=metric == "nrmse")
    if not len(errors):
        return None
    if metric == "fr":
        return failure_rate(errors, float(threshold))
    if metric == "auc":
        return auc(errors, float(threshold)) * (100 if column.percent else 1)
    return float(errors.mean())


def _ordered(rows, columns, run):
    """The rows sorted by one column, the best first and the rows without a value in it last.

    The column is the first one of the full set in which the run has a value, or else the first one of any set.
    """
    known = [column for column in columns if column.key in run.values] or columns
    column = next((column for column in known if column.subset == "full"), known[0])
    sign = -1 if column.metric.startswith("auc") else 1
    return sorted(rows, key=lambda row: (column.key not in row.values, sign * row.values.get(column.key, 0)))
