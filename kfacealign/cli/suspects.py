"""`kfacealign datasets suspects`: labels with which a model disagrees more than is to be expected."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kfacealign import data, deploy, presets
from kfacealign.cli.arguments import MODEL_HELP, add_missing, add_model, add_part, add_scheme, add_trust, count
from kfacealign.console import make_console, shown
from kfacealign.data import catalogue
from kfacealign.data.image_files import limit_pixels
from kfacealign.evaluation import suspects
from kfacealign.files import replacing

TOLD = 10  # labels that are printed


def add_arguments(parts: argparse._SubParsersAction) -> None:
    part = add_part(
        parts,
        "suspects",
        "rank labels by how likely they are wrong",
        "Runs a model on the labelled faces of a dataset and ranks the labels by how much it disagrees with each, measured by "
        "what is usual for the point and the face. Writes a page of the most suspicious, label against prediction, and beside it "
        "NAME.csv and NAME.json with all labels, their ranks and likely kinds. The model should not have been trained on the "
        "wrong labels; look before anything is changed.",
    )
    part.add_argument("root", metavar="DIR", help="the dataset's directory")
    part.add_argument("--dataset", choices=catalogue.DATASETS, required=True, help="which dataset is there")
    add_model(part, help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    add_trust(part)
    add_scheme(part, "landmark scheme of pts and csv (default: the model's)")
    add_missing(part)
    part.add_argument(
        "--part", dest="faces_of", choices=("train", "test"), default="train", help="whose labels (default %(default)s)"
    )
    part.add_argument("--out", default="suspects.html", metavar="OUT.html", help="the page (default %(default)s)")
    part.add_argument("--faces", type=count, default=60, metavar="N", help="shown on the page (default %(default)s)")
    part.add_argument(
        "--max-pixels", type=count, metavar="N", help="most pixels of a photograph that is decoded (default 200,000,000)"
    )


def run(arguments: argparse.Namespace) -> int:
    from kfacealign.evaluation import evaluating, suspects_page

    console, out = make_console(), Path(arguments.out)
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{shown(arguments.out)}: the page is HTML, give --out a name that ends in .html")
    limit_pixels(arguments.max_pixels)
    arguments.model = presets.chosen(arguments.model, console=console)
    model = deploy.load(arguments.model, trust=arguments.trust)
    scheme = arguments.scheme or model.scheme
    which = arguments.faces_of
    dataset = data.load_dataset(arguments.dataset, arguments.root, scheme=scheme, needed=(which,), missing=arguments.missing)
    faces = getattr(dataset, which)
    if faces.scheme.name != model.scheme.name:
        raise ValueError(
            f"{shown(arguments.model)} predicts {model.scheme.name}, the dataset is annotated with {faces.scheme.name}"
        )
    crops = data.Crops(faces, size=model.input_size, enlarge=model.enlarge, cache=None)
    found, weights = evaluating.predict_all(model, crops)
    predicted = found["landmarks"]
    if crops.failures:
        console.print(crops.summary(), style="yellow", soft_wrap=True)
    ranking = suspects.rank(faces, predicted, weights, covariance=found.get("covariance"))
    contents = {
        out.with_suffix(".csv"): suspects_page.table_csv(ranking, faces),
        out.with_suffix(".json"): suspects_page.table_json(ranking, faces),
        out: suspects_page.page(ranking, faces, predicted, shown=arguments.faces),
    }
    for path, text in contents.items():
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
    tell(console, ranking, faces, list(contents))
    return 0


def tell(console: Console, ranking: suspects.Ranking, faces: data.Faces, written: list[Path]) -> None:
    """Prints the set's offset, the most suspicious labels, and the files."""
    from kfacealign.evaluation import suspects_page

    console.print(suspects_page.offset_told(ranking), soft_wrap=True)
    table = Table(title="the most suspicious labels", title_justify="left")
    for heading in ("rank", "face", "kind", "point", "px off"):
        table.add_column(heading, justify="right" if heading in ("rank", "px off") else "left")
    for one in ranking.suspects[:TOLD]:
        point = faces.scheme.point_names[one.point]
        table.add_row(str(one.rank), shown(faces.names[one.face]), one.kind, point, f"{one.distance:.1f}")
    console.print(table)
    console.print("written:")
    for path in written:
        console.print(f"  {shown(path)}", soft_wrap=True)
