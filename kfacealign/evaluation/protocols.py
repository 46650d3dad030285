"""How the papers measure each dataset, and their numbers beside those of a run.

A protocol names the subsets, normalisers, thresholds and columns of the tables that papers print about one dataset.
`place` puts a `Report` into these tables among the published rows, which are in `published.json` with the paper and the
number of the table that each was copied from.
"""

import dataclasses
import json
import re
from importlib import resources

from kfacealign.evaluation.published_tables import Placed, PlacedTable, Row
from kfacealign.metrics.distribution import auc, failure_rate


@dataclasses.dataclass(frozen=True)
class Column:
    """One column: a metric of one subset.

    Attributes:
        key: its name in `published.json`.
        title: its heading.
        metric: "nme", "nrmse", "fr@10" or "auc@10" (the threshold in percent).
        normalizer: of the errors.
        subset: of the test set; "full" is all of it.
        percent: whether an AUC is printed in percent rather than in [0, 1].
        scheme: of the faces it is about, where the protocol has several; None takes any of them.
        points: positions of the landmarks that count; None takes all.
    """

    key: str
    title: str
    metric: str = "nme"
    normalizer: str = "inter_ocular"
    subset: str = "full"
    percent: bool = False
    scheme: str | None = None
    points: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Table:
    """One table: `name` is that in `published.json`, `note` is printed below it."""

    name: str
    title: str
    columns: tuple
    note: str = ""


@dataclasses.dataclass(frozen=True)
class Protocol:
    """How one dataset is measured.

    Attributes:
        name: as on the command line.
        title: of the dataset.
        schemes: of the faces.
        normalizer: of a run's own report.
        thresholds: of failure rate and AUC in a run's own report, in percent.
        counts: dict of subset -> published number of faces.
        tables: the tables that papers print.
    """

    name: str
    title: str
    schemes: tuple
    normalizer: str
    thresholds: tuple
    counts: dict
    tables: tuple


def _subsets(names, metric="nme", normalizer="inter_ocular", **more):
    return tuple(Column(name, name.replace("_", " "), metric, normalizer, name, **more) for name in names)


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
            ("ibug68",),
            "inter_ocular",
            (8.0, 10.0),
            {"full": 689, "common": 554, "challenging": 135, "test": 600},
            (
                Table("nme", "NME, % of inter-ocular", _subsets(("common", "challenging", "full", "test"))),
                Table("box", "private test set, box", tuple(dataclasses.replace(column, subset="test") for column in BOX)),
                Table("nrmse", "NRMSE, % of inter-ocular", _subsets(("common", "challenging", "full"), "nrmse"), MIXED),
            ),
        ),
        Protocol(
            "wflw",
            "WFLW",
            ("wflw98", "ibug68"),
            "inter_ocular",
            (10.0,),
            {"full": 2500, "pose": 326, "expression": 314, "illumination": 698, "makeup": 206, "occlusion": 736, "blur": 773},
            (
                Table("nme", "NME, % of inter-ocular", _subsets(WFLW_SUBSETS, scheme="wflw98")),
                Table("fr10", "FR 10 %, inter-ocular", _subsets(WFLW_SUBSETS, "fr@10", scheme="wflw98")),
                Table("auc10", "AUC 10 %, inter-ocular", _subsets(WFLW_SUBSETS, "auc@10", scheme="wflw98")),
                Table("wflw68", "WFLW-68, NME, % of inter-ocular", _subsets(("full",), scheme="ibug68")),
            ),
        ),
        Protocol(
            "cofw",
            "COFW",
            ("cofw29",),
            "inter_ocular",
            (10.0,),
            {"full": 507},
            (
                Table(
                    "nme",
                    "29 points",
                    (
                        Column("nme_inter_ocular", "NME inter-ocular"),
                        Column("fr10_inter_ocular", "FR 10 % inter-ocular", "fr@10"),
                        Column("nme_inter_pupil", "NME inter-pupil", "nme", "inter_pupil"),
                        Column("fr10_inter_pupil", "FR 10 % inter-pupil", "fr@10", "inter_pupil"),
                    ),
                    "Figures that HIH's Table II gives as inter-pupil (LAB 5.58, MHHN 4.95, DAC-CSR 6.03) are inter-ocular in "
                    "Table 13 of the subpixel paper and Table 3 of PIPNet; each row is as its own table has it.",
                ),
            ),
        ),
        Protocol(
            "cofw68",
            "COFW-68",
            ("ibug68",),
            "inter_ocular",
            (7.0, 10.0),
            {"full": 507},
            (
                Table("nme", "NME, % of inter-ocular", _subsets(("full",))),
                Table("box", "box", BOX),
            ),
        ),
        Protocol(
            "aflw",
            "AFLW-19",
            ("aflw19",),
            "diagonal",
            (7.0,),
            {"full": 4386, "frontal": 1314},
            (
                Table(
                    "nme",
                    "diagonal and box",
                    (
                        Column("nme_diagonal_full", "NME diagonal, full", "nme", "diagonal"),
                        Column("nme_diagonal_frontal", "NME diagonal, frontal", "nme", "diagonal", "frontal"),
                        Column("nme_box_full", "NME box, full", "nme", "box"),
                        Column("auc7_box_full", "AUC 7 % box, full", "auc@7", "box", percent=True),
                    ),
                ),
                Table("face_size", "NME, % of the image's side", _subsets(("full",), "nme", "image"), IMAGE_SIZE),
                Table("face_size_nrmse", "NRMSE, % of the face's size", _subsets(("full",), "nrmse", "box"), MIXED),
            ),
        ),
        Protocol(
            "menpo",
            "Menpo 2D",
            ("ibug68", "menpo39"),
            "diagonal",
            (7.0,),
            {},
            (
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
            ("ibug68",),
            "inter_ocular",
            (8.0,),
            {},
            (
                Table("nme", "NME, % of inter-ocular", _subsets(CATEGORIES)),
                Table("nrmse", "NRMSE, % of inter-ocular", _subsets(CATEGORIES, "nrmse"), MIXED),
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
            ("jd106",),
            "box",
            (8.0,),
            {"full": 2000},
            (
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


def get(name, scheme=None):
    """The protocol of this name.

    Args:
        name: a key of `PROTOCOLS`.
        scheme: of the faces to be measured; None asks nothing of it.

    Raises:
        ValueError: there is none, or it is for other schemes.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    if scheme is not None and scheme not in protocol.schemes:
        raise ValueError(f"the protocol {name} is for {' or '.join(protocol.schemes)}, the faces have {scheme}")
    return protocol


def published():
    """`published.json` as it is: `papers` (key -> title) and `protocols` (name -> table -> rows).

    A row has `method`, `paper`, `table` (its number there) and `values` (column -> number, as printed), and where they
    apply `backbone`, `external_data` (trained on more than the dataset) and `proposed` (the paper's own).
    """
    text = resources.files("kfacealign.evaluation").joinpath("published.json").read_text(encoding="utf-8")
    return json.loads(text)


def place(name, report, label="this run"):
    """A run among the published rows of a protocol.

    Args:
        name: of the protocol.
        report: a `Report` that knows the true landmarks, as those of `report` and `evaluate` do. Under which normaliser
            it was made does not matter. A set evaluated on its own is recognised by its number of faces: a report of
            600 faces is the private test set of 300W.
        label: of the run's row.

    Returns:
        A `Placed`.

    Raises:
        ValueError: no such protocol, the report has another scheme, or it does not know the true landmarks.
    """
    protocol = get(name, report.scheme)
    content = published()
    subsets = _parts(protocol, report)
    reports = {}
    tables = []
    for table in protocol.tables:
        columns = [column for column in table.columns if column.scheme in (None, report.scheme)]
        if not columns:
            continue
        values = {column.key: _measured(column, report, subsets, reports) for column in columns}
        rows = _merged(content["protocols"][name][table.name], content["papers"])
        rows = [row for row in rows if any(column.key in row.values for column in columns)]
        run = Row(label, "", {key: value for key, value in values.items() if value is not None}, run=True)
        tables.append(PlacedTable(table.name, table.title, columns, _ordered([*rows, run], columns, run), table.note))
    return Placed(name, protocol.title, tables, _differences(protocol, report, subsets))


def _parts(protocol, report):
    """Dict of the protocol's subsets that the report has -> positions, None for all faces."""
    total = len(report.names)
    alone = [name for name, count in protocol.counts.items() if count == total and name not in report.subsets]
    whole = "full" if "full" in alone or not alone else alone[0]
    return {whole: None, **report.subsets}


def _differences(protocol, report, subsets):
    """Sentences on subsets whose size is not the published one."""
    notes = []
    for name, count in protocol.counts.items():
        if name in subsets:
            indices = subsets[name]
            found = int(report.counted.sum() if indices is None else report.counted[indices].sum())
            if found != count:
                notes.append(f"{name}: {found:,} faces were measured, the published figures are of {count:,}")
    return notes


def _measured(column, report, subsets, reports):
    """The run's value of a column, as the column is printed; None where the run has no such faces or lengths."""
    if column.subset not in subsets or (column.normalizer == "image" and report.image_size is None):
        return None
    key = column.normalizer, column.points
    if key not in reports:
        reports[key] = report.under(column.normalizer, column.points)
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


def _merged(rows, papers):
    """Published rows as `Row`s; the same method with the same values in several papers is one row with all sources."""
    merged = []
    for row in rows:
        source = f"{papers[row['paper']]['short']}, Table {row['table']}"
        more = {key: row[key] for key in ("backbone", "external_data", "proposed") if key in row}
        made = Row(row["method"], source, row["values"], **more)
        twin = next((other for other in merged if _same(other, made)), None)
        if twin is None:
            merged.append(made)
        else:
            twin.source += f"; {source}"
            twin.values = {**twin.values, **made.values}
            twin.backbone = twin.backbone or made.backbone
    return merged


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


def _ordered(rows, columns, run):
    """Rows by the first column of the full set that the run has (of any set else), best first, those without it last."""
    known = [column for column in columns if column.key in run.values] or columns
    column = next((column for column in known if column.subset == "full"), known[0])
    sign = -1 if column.metric.startswith("auc") else 1
    return sorted(rows, key=lambda row: (column.key not in row.values, sign * row.values.get(column.key, 0)))
