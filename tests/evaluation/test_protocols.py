import json
import re

import numpy as np
import pytest
import scipy.integrate

from kfacealign import schemes
from kfacealign.cli.main import main
from kfacealign.evaluation import protocols
from kfacealign.evaluation.reports import report
from kfacealign.metrics.distribution import auc, failure_rate


def measured(scheme, count, noise=0.02, subsets=None, image_size=None, seed=0):
    """A report of `count` faces of the scheme's mean shape, each predicted with another amount of noise."""
    rng = np.random.default_rng(seed)
    truth = np.repeat(100 * schemes.get(scheme).mean_shape[None], count, axis=0)
    predicted = truth + rng.normal(0, 100 * noise, truth.shape) * rng.uniform(0.1, 2, (count, 1, 1))
    return report(truth, predicted, scheme, subsets=subsets, image_size=image_size)


def by_hand(made, normalizer, points=slice(None), squared=False):
    """Errors of the faces, in NumPy alone."""
    truth, predicted = made.truth.astype("float64"), made.predicted.astype("float64")
    scheme = schemes.get(made.scheme)
    width, height = np.ptp(truth[..., 0], axis=1), np.ptp(truth[..., 1], axis=1)
    if normalizer == "inter_ocular":
        left, right = scheme.eye_corners
        length = np.linalg.norm(truth[:, left] - truth[:, right], axis=1)
    elif normalizer == "inter_pupil":
        left, right = (truth[:, list(group)].mean(1) for group in scheme.pupils)
        length = np.linalg.norm(left - right, axis=1)
    else:
        length = np.sqrt(width * height) if normalizer == "box" else np.hypot(width, height)
    errors = 100 * np.linalg.norm(predicted - truth, axis=2)[:, points] / length[:, None]
    return np.sqrt((errors**2).mean(1)) if squared else errors.mean(1)


def run_values(placed, table):
    made = next(made for made in placed.tables if made.name == table)
    return next(row for row in made.rows if row.run).values


def test_the_command_line_has_all_protocols(capsys):
    for command in ("evaluate", "score"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        assert "{" + ",".join(protocols.PROTOCOLS) + "}" in "".join(capsys.readouterr().out.split())


# === The published figures ===


@pytest.mark.parametrize(
    ("protocol", "table", "paper", "number", "method", "column", "value"),
    [
        ("300w", "nme", "hih", "III", "HIH_B", "challenging", 4.89),
        ("300w", "nme", "subpixel", "12", "Subpixel heatmaps", "full", 2.94),
        ("300w", "nrmse", "attentive1d", "3", "Attentive 1D heatmaps", "full", 3.38),
        ("300w", "box", "subpixel", "7", "LUVLi", "auc7", 70.2),
        ("wflw", "fr10", "hih", "IV", "HIH_S", "pose", 13.49),
        ("wflw", "auc10", "subpixel", "10", "AWing", "full", 0.572),
        ("wflw", "nme", "pipnet", "4", "3DDE", "makeup", 4.60),
        ("cofw", "nme", "hih", "II", "SLPT", "fr10_inter_pupil", 1.18),
        ("cofw68", "nme", "pipnet", "8", "ODN", "full", 5.30),
        ("aflw", "nme", "subpixel", "11", "Subpixel heatmaps", "nme_diagonal_frontal", 1.12),
        ("aflw", "face_size_nrmse", "attentive1d", "3", "LAB", "full", 1.25),
        ("menpo", "diagonal", "pipnet", "5", "J. Yang et al.", "profile", 1.72),
        ("300vw", "inner49", "subpixel", "8", "DGM", "auc8_category_3", 59.38),
        ("300vw", "nrmse", "attentive1d", "4", "GAN", "category_2", 3.67),
        ("jd106", "box", "lotr", "2", "LOTR-M+", "auc8", 87.21),
    ],
)
def test_published_figures(protocol, table, paper, number, method, column, value):
    rows = protocols.published()["protocols"][protocol][table]
    found = [row for row in rows if (row["method"], row["paper"], row.get("table")) == (method, paper, number)]
    assert [row["values"][column] for row in found if column in row["values"]] == [value]


LATER = {
    "spiga": ("BMVC 2022", 4.06, 2.994),
    "star": ("CVPR 2023", 4.02, 2.87),
    "ldeq": ("CVPR 2023", 3.92, None),
    "rtmpose": ("arXiv 2023", 4.01, None),
    "dvit": ("WACV 2025", 3.75, 2.85),
    "orformer": ("WACV 2025", 3.86, 2.9),
    "tufa": ("IJCV 2025", 3.93, 2.95),
    "rwsa": ("ICCV 2025", 3.97, 2.86),
}


@pytest.mark.parametrize("paper", sorted(LATER))
def test_methods_since_2022(paper):
    """The error on WFLW and on 300W's full test set, and where each was published."""
    content, (venue, *expected) = protocols.published(), LATER[paper]
    assert content["papers"][paper]["venue"] == venue
    for name, value in zip(("wflw", "300w"), expected, strict=True):
        rows = [row for row in content["protocols"][name]["nme"] if row["paper"] == paper]
        assert [row["values"]["full"] for row in rows] == ([] if value is None else [value])


def test_a_run_is_placed_among_them():
    table = protocols.place("wflw", measured("wflw98", 5, noise=0.0001)).tables[0]
    best = [(row.method, row.values["full"]) for row in table.rows[:9]]
    assert table.rows[0].run and best[1:] == [
        ("Subpixel heatmaps", 3.72),
        ("D-ViT", 3.75),
        ("ORFormer", 3.86),
        ("Subpixel heatmaps, no Siamese training", 3.9),
        ("LDEQ", 3.92),
        ("TUFA", 3.93),
        ("RwSA", 3.97),
        ("RTMPose-m", 4.01),
    ]
    assert {row.method: row.source for row in table.rows}["STAR"] == "STAR, CVPR 2023 (Papers with Code)"


def test_published_rows_by_backbone():
    rows = protocols.published()["protocols"]["cofw"]["nme"]
    made = {row["backbone"]: row["values"]["nme_inter_ocular"] for row in rows if row["method"] == "PIPNet"}
    assert made == {"MobileNetV2": 3.43, "MobileNetV3": 3.40, "ResNet-18": 3.31, "ResNet-50": 3.18, "ResNet-101": 3.08}


def test_structure_of_the_published_figures():
    content = protocols.published()
    own, later = {"attentive1d", "hih", "subpixel", "lotr", "pipnet"}, set(LATER)
    assert set(content["papers"]) == own | later
    assert {name for name, paper in content["papers"].items() if "places" in paper} == later
    assert set(content["protocols"]) == set(protocols.PROTOCOLS)
    for name, protocol in protocols.PROTOCOLS.items():
        tables = content["protocols"][name]
        assert set(tables) == {table.name for table in protocol.tables}
        for table in protocol.tables:
            keys = {column.key for column in table.columns}
            for row in tables[table.name]:
                place = "place" if row["paper"] in later else "table"
                assert set(row) - {"backbone", "external_data", "proposed"} == {"method", "paper", place, "values"}
                assert place == "table" or (row["proposed"] and row["place"] in content["papers"][row["paper"]]["places"])
                assert row["paper"] in content["papers"] and row["method"] and row["values"].keys() <= keys
                assert all(0 <= value <= 100 for value in row["values"].values())
            assert any(row.get("proposed") for row in tables[table.name])


@pytest.mark.parametrize("paper", protocols.published()["papers"])
def test_a_reader_can_follow_each_paper(paper):
    """Every row names a paper (see above), and every paper has a title, a venue with its year and an address."""
    content = protocols.published()
    found = content["papers"][paper]
    assert set(found) - {"doi", "places"} == {"short", "title", "venue", "arxiv"}
    assert found["short"] and found["title"] and re.fullmatch(r"[A-Za-z ]+ 20[12]\d", found["venue"])
    assert re.fullmatch(r"2\d(0[1-9]|1[0-2])\.\d{5}", found["arxiv"])
    assert re.fullmatch(r"10\.\d{4}/\S+", found.get("doi", "10.1000/1"))
    assert int(found["arxiv"][:2]) <= int(found["venue"][-2:])  # a preprint is not younger than its publication
    rows = [
        row for tables in content["protocols"].values() for table in tables.values() for row in table if row["paper"] == paper
    ]
    assert rows and {row["place"] for row in rows if "place" in row} == set(found.get("places", {}))
    assert all(re.fullmatch(r"https://[a-z0-9.]+/\S+", address) for address in found.get("places", {}).values())


# === A run among them ===


def test_figures_are_those_of_numpy_and_scipy():
    made = measured("ibug68", 60, subsets={"category_3": np.arange(0, 60, 2), "common": np.arange(40)})
    box, inner = by_hand(made, "box"), by_hand(made, "inter_ocular", list(protocols.INNER49))
    placed = protocols.place("cofw68", made)
    values = run_values(placed, "box")
    np.testing.assert_allclose(values["nme"], box.mean(), rtol=1e-5)
    grid = np.linspace(0, 7, 10**4 + 1)  # steps of 1e-4 of the threshold
    shares = np.searchsorted(np.sort(box), grid, side="right") / len(box)
    assert abs(values["auc7"] / 100 - scipy.integrate.simpson(shares, x=grid) / 7) < 1e-4
    np.testing.assert_allclose(run_values(placed, "nme")["full"], by_hand(made, "inter_ocular").mean(), rtol=1e-5)
    values = run_values(protocols.place("300vw", made), "inner49")
    np.testing.assert_allclose(values["auc8_category_3"], 100 * auc(inner[::2], 8), rtol=1e-4)
    values = run_values(protocols.place("300w", made), "nrmse")
    np.testing.assert_allclose(values["common"], by_hand(made, "inter_ocular", squared=True)[:40].mean(), rtol=1e-5)


def test_two_normalisers_and_failures():
    made = measured("cofw29", 50, noise=0.05)
    values = run_values(protocols.place("cofw", made), "nme")
    for name in ("inter_ocular", "inter_pupil"):
        errors = by_hand(made, name)
        np.testing.assert_allclose(values[f"nme_{name}"], errors.mean(), rtol=1e-5)
        assert values[f"fr10_{name}"] == pytest.approx(failure_rate(errors, 10)) and 0 < values[f"fr10_{name}"] < 100


def test_a_face_without_one_normaliser_counts_under_another():
    truth = np.repeat(100 * schemes.get("aflw19").mean_shape[None], 4, axis=0)
    weights = np.ones((4, 19))
    weights[0, 6] = 0  # an eye's corner
    made = report(truth, truth + 1, "aflw19", weights=weights)
    assert made.counted.sum() == 3 and made.under("diagonal").counted.sum() == 4
    assert run_values(protocols.place("aflw", made), "nme")["nme_diagonal_full"] > 0
    assert run_values(protocols.place("aflw", made), "face_size") == {}  # the size of the image is not known
    made = report(truth, truth + 1, "aflw19", image_size=100)
    assert run_values(protocols.place("aflw", made), "face_size")["full"] == pytest.approx(2**0.5, rel=1e-5)


def test_subsets_and_their_sizes():
    made = measured("ibug68", 9, subsets={"common": np.arange(6), "challenging": np.arange(6, 9)})
    placed = protocols.place("300w", made)
    assert set(run_values(placed, "nme")) == {"full", "common", "challenging"} and run_values(placed, "box") == {}
    assert placed.notes[0] == "full: 9 faces were measured, the published figures are of 689" and len(placed.notes) == 3


def test_a_set_on_its_own_is_recognised_by_its_size():
    placed = protocols.place("300w", measured("ibug68", 600))
    assert placed.notes == [] and set(run_values(placed, "nme")) == {"test"}
    assert set(run_values(placed, "box")) == {"nme", "auc7"}
    assert set(run_values(protocols.place("menpo", measured("menpo39", 3)), "diagonal")) == {"profile"}


def test_rows_are_in_order_and_the_run_has_its_place():
    table = protocols.place("jd106", measured("jd106", 3, noise=1e-4)).tables[0]
    assert table.rows[0].run and table.ranks()["nme"] == (1, 9) and table.ranks()["auc8"] == (1, len(table.rows))
    values = [row.values["nme"] for row in table.rows if "nme" in row.values]
    assert values == sorted(values)
    worst = protocols.place("jd106", measured("jd106", 3, noise=1)).tables[0]
    assert worst.ranks()["auc8"] == (len(worst.rows), len(worst.rows))


def test_one_row_for_what_several_papers_repeat():
    rows = protocols.place("wflw", measured("wflw98", 2)).tables[0].rows
    awing = [row for row in rows if row.method.lower() == "awing"]
    assert "HIH, Table I" in awing[0].source and "Subpixel, Table 10" in awing[0].source
    assert awing[0].values["pose"] == 7.38 and awing[0].values["full"] == 4.36
    assert len([row for row in rows if row.method == "DeCaFA" and row.external_data]) == 1


def test_tables_as_text(tmp_path):
    made = measured("wflw98", 5, subsets={"pose": np.array([1, 2])})
    placed = protocols.place("wflw", made, label="mine_1")
    paths = placed.save(tmp_path / "new")
    assert [path.name for path in paths] == ["table.md", "table.tex", "table.json"]
    markdown, latex, content = (path.read_text() for path in paths)
    line = next(line for line in markdown.splitlines() if line.startswith("| **mine_1**"))
    assert line.count("|") == 10 and f"**{made.summary()['nme']:.2f}**" in line
    assert "| HIH_B (4 HG) | 4.08 | 6.87 | 4.06 | 4.34 | 3.85 | 4.85 | 4.66 | HIH, Table I |" in markdown
    assert "| 3DDE\\* | 4.68 |" in markdown and "trained on more than this dataset" in markdown
    assert r"HIH\_B (4 HG) & 4.08 & 6.87" in latex and r"\textbf{mine\_1}" in latex and r"NME, \% of inter-ocular" in latex
    assert latex.count(r"\begin{tabular}{lrrrrrrrl}") == 3 and latex.count(r"\end{table}") == 3
    content = json.loads(content)
    spiga = (
        "SPIGA: Shape Preserving Facial Landmarks with Graph Attention Networks, BMVC 2022, https://arxiv.org/abs/2210.07233; "
    )
    spiga += "README: https://github.com/andresprados/SPIGA."
    assert f"- {spiga}\n" in markdown and f"% {spiga}\n" in latex and spiga in content["sources"]
    assert not any(source.startswith("Attentive 1D:") for source in content["sources"])  # it has no figures of WFLW
    assert content["protocol"] == "wflw" and content["tables"]["nme"]["places"]["full"]["of"] > 30
    assert content["tables"]["fr10"]["columns"]["pose"]["metric"] == "fr@10"
    assert any(row.get("run") for row in content["tables"]["auc10"]["rows"])
    assert len(placed.console()) == 3  # WFLW-68 is of another scheme


def test_wrong_arguments():
    with pytest.raises(ValueError, match="no protocol 'afw'; there are 300w, wflw"):
        protocols.get("afw")
    with pytest.raises(ValueError, match="the protocol wflw is for wflw98 or ibug68, the faces have aflw19"):
        protocols.place("wflw", measured("aflw19", 2))
    made = measured("jd106", 2)
    made.truth = None
    with pytest.raises(ValueError, match="does not know the true landmarks"):
        protocols.place("jd106", made)
