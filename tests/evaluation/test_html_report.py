import html.parser
import json
import re

import cv2
import numpy as np
import pytest

from kfacealign.data import Faces
from kfacealign.evaluation import html_charts, html_report, protocols, report


class Elements(html.parser.HTMLParser):
    """The elements of a page as (tag, attributes), and which were left open."""

    VOID = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.found, self.open = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    rng = np.random.default_rng(0)
    truth = rng.uniform(5, 55, (30, 19, 2)).astype("float32")
    truth[:, 6], truth[:, 11] = (10, 20), (50, 20)
    images = [str(folder / f"{index}.png") for index in range(30)]
    for image in images:
        cv2.imwrite(image, rng.integers(0, 256, (60, 60, 3), "uint8"))
    weights = np.ones((30, 19))
    weights[29] = 0
    subsets = {"first": np.arange(5), 'odd "<&>': np.arange(1, 30, 2), "empty": []}
    names = [f"<b>face {index}" for index in range(30)]
    predicted = truth + np.linspace(0, 5, 30).reshape(-1, 1, 1)
    return report(truth, predicted, "aflw19", weights=weights, subsets=subsets, names=names), Faces(
        "aflw19", images, truth, names=names
    )


@pytest.fixture(scope="module")
def text(run):
    return html_report.page(*run, size=32, placed=protocols.place("aflw", run[0], label="my run"))


def test_nothing_is_fetched_and_everything_is_closed(text):
    elements = Elements(text)
    assert elements.open == [] and not elements.all("link")
    assert all(attributes["src"].startswith("data:image/jpeg;base64,") for attributes in elements.all("img"))
    assert not re.search(r"https?://|@import|url\(", text) and not any("src" in script for script in elements.all("script"))
    assert "<b>face" not in text and "&lt;b&gt;face 3" in text
    assert "prefers-color-scheme: dark" in text


def test_subsets_can_be_chosen(run, text):
    elements = Elements(text)
    names = ["full", "first", 'odd "<&>']
    assert [button["value"] for button in elements.all("button")] == names  # the empty one has nothing to show
    groups = [json.loads(attributes["data-in"]) for _, attributes in elements.found if "data-in" in attributes]
    assert {name for group in groups for name in group} == set(names)
    assert [attributes["data-series"] for attributes in elements.all("path") if "data-series" in attributes] == names
    assert len([row for row in elements.all("tr") if "data-row" in row]) == 4


def test_galleries_have_the_worst_and_the_best_of_every_subset(run, text):
    shown = [json.loads(attributes["data-in"]) for attributes in Elements(text).all("figure")]
    counts = {name: sum(name in group for group in shown) for name in ("full", "first", 'odd "<&>')}
    assert counts == {"full": 24, "first": 10, 'odd "<&>': 24}
    captions = re.findall(r"<figcaption><b>([0-9.]+) %</b>", text)
    worst = [float(value) for value, group in zip(captions, shown, strict=True) if "full" in group][:12]
    errors = np.sort(run[0].counted_errors())[::-1]
    np.testing.assert_allclose(worst, errors[:12], atol=0.006)


def test_figures_on_the_page(run, text):
    made, _ = run
    assert f"<td>{made.summary()['nme']:.2f}</td>" in text and "Faces not counted: 1." in text
    part = made.part(made.subsets["first"]).regions()
    assert all(f"{region}: {error:.2f} %" in text for region, error in {**made.regions(), **part}.items())
    assert "my run" in text and "Subpixel, Table 11" in text and "4,386" in text
    assert (
        "<li>Subpixel: Subpixel Heatmap Regression for Facial Landmark Localization, BMVC 2021, arxiv.org/abs/2111.02360." in text
    )


def test_a_run_without_subsets_or_faces(run, tmp_path):
    made, faces = run
    path = html_report.write_page(made.part(np.arange(3)), faces[:3], tmp_path / "report.html", size=16)
    text = path.read_text()
    assert "<nav" not in text and Elements(text).open == [] and text.count("<figure") == 6
    assert "No face counts." in html_report.page(made.part(np.array([29])), faces[[29]])


def test_a_part_of_a_report(run):
    made, _ = run
    part = made.part(made.subsets["first"])
    assert part.names == made.names[:5] and part.subsets == {}
    assert part.summary() == made.summary(made.subsets["first"])


def test_curves_go_where_the_errors_are():
    series = [("one", np.array([2.0, 4.0]), np.array([0.5, 1.0]))]
    text = html_charts.curves(series, limit=8, x_label="error", y_label="faces")
    line = re.search(r' d="([^"]+)" stroke', text)[1]
    points = np.array([[float(value) for value in point.split()] for point in re.split("[ML]", line)[1:]])
    assert (
        (np.diff(points[:, 0]) > 0).all()
        and points[0, 0] == html_charts.LEFT
        and points[-1, 0] == html_charts.WIDTH - html_charts.RIGHT
    )
    down = html_charts.HEIGHT - html_charts.TOP - html_charts.BOTTOM
    shares = 1 - (points[:, 1] - html_charts.TOP) / down
    place = (points[:, 0] - html_charts.LEFT) / (html_charts.WIDTH - html_charts.LEFT - html_charts.RIGHT) * 8
    expected = np.where(place < 2, 0, np.where(place < 4, 0.5, 1))
    away = (abs(place - 2) > 0.02) & (abs(place - 4) > 0.02)
    np.testing.assert_allclose(shares[away], expected[away], atol=1e-3)


def test_bars_have_the_height_of_their_values():
    text = html_charts.bars([("a", [("a0", 1.0), ("a1", np.nan)]), ("b c", [("b0", 2.0)])], "error")
    heights = [float(value) for value in re.findall(r'height="([0-9.]+)" fill', text)]
    assert len(heights) == 2 and heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert "a0: 1.00 %" in text and "a1" not in text and "nan" not in text
    assert html_charts.bars([("a", [("a0", np.nan)])], "error").count("<rect") == 0


@pytest.mark.parametrize("value", [0.0, 0.02, 0.99, 1.0, 9.79, 9.81, 9.999, 10.0, 98.3, 99.5, 100.0, 985.0])
def test_bars_of_any_height_have_a_little_room_above(value):
    text = html_charts.bars([("a", [("a0", value)])], "error")
    (height,) = (float(found) for found in re.findall(r'height="([0-9.]+)" fill', text))
    down = html_charts.HEIGHT - html_charts.TOP - html_charts.BOTTOM
    assert (height == 0) if value == 0 else (down * 0.6 < height < down * 0.99)
