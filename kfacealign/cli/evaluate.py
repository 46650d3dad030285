"""`kfacealign evaluate`: a model's errors on a dataset's test faces."""

import argparse

from kfacealign import data, deploy, evaluation, presets
from kfacealign.cli.arguments import FLIP_HELP, MODEL_HELP, add_dataset, add_model, add_scheme, add_trust, align_options
from kfacealign.console import make_console, shown
from kfacealign.evaluation import protocols

DESCRIPTION = (
    "Prints the errors of a model on the test part of a dataset, by subset and region, and writes report.json, report.html, "
    "ced.png, landmark_errors.png, predictions.png and predictions.npz."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, required=True, help=MODEL_HELP)
    add_trust(parser)
    add_dataset(parser, required=True)
    add_scheme(parser, "landmark scheme of --dataset pts and csv (default: the model's)")
    parser.add_argument(
        "--protocol",
        choices=protocols.PROTOCOLS,
        help="measure as papers do and write their tables: table.md, table.tex, table.json",
    )
    parser.add_argument("--normalizer", help="what errors are divided by: inter_ocular, inter_pupil, box, diagonal or image")
    parser.add_argument(
        "--align",
        choices=("box", "five_points"),
        default="box",
        help="how faces are cropped; as in training (default %(default)s)",
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument(
        "--decoder",
        choices=("argmax", "shift", "wsm", "dark", "soft", "local"),
        help="read the heatmaps of a .keras model in another way than its own",
    )
    parser.add_argument("--out", default="evaluation", metavar="DIR", help="directory of the results (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    console = make_console()
    arguments.model = presets.chosen(arguments.model, keras=arguments.flip or bool(arguments.decoder), console=console)
    options = align_options(arguments)
    model = deploy.load(arguments.model, trust=arguments.trust)
    if arguments.decoder:
        from kfacealign.codecs.decoders import with_decoder

        if not arguments.model.endswith(".keras"):
            raise ValueError(
                f"{arguments.model}: an exported model has its decoder in the graph; --decoder needs the .keras file"
            )
        model.codec = with_decoder(model.codec, arguments.decoder)
    arguments.scheme = arguments.scheme or model.scheme
    protocol = protocols.get(arguments.protocol, scheme=model.scheme.name) if arguments.protocol else None
    faces = data.load_dataset(
        arguments.dataset, arguments.data_dir, scheme=arguments.scheme, needed=("test",), missing=arguments.missing
    )
    if not faces.scheme.matches(model.scheme):
        found = faces.scheme.difference(model.scheme)
        raise ValueError(f"{arguments.model} predicts {model.scheme.name}, the dataset is annotated with {found}")
    console.print(faces.summary(), soft_wrap=True)
    crops = data.Crops(faces.test, size=model.input_size, enlarge=model.enlarge, cache=None, align=arguments.align)
    normalizer = arguments.normalizer or (protocol.normalizer if protocol else faces.normalizer)
    thresholds = protocol.thresholds if protocol else (8.0, 10.0)
    options |= {"subsets": faces.subsets, "normalizer": normalizer, "thresholds": thresholds}
    report = evaluation.evaluate(model, crops, **options)
    if crops.failures or (arguments.align == "five_points" and not crops.aligned.all()):
        console.print(crops.summary(), style="yellow", soft_wrap=True)
    placed = protocols.place(protocol.name, report) if protocol else None
    written = evaluation.write_run(arguments.out, report, faces.test, placed=placed)
    console.print(report.table())
    if placed:
        written += placed.save(arguments.out)
        for table in placed.console():
            console.print(table)
        for note in placed.notes:
            console.print(shown(note), style="yellow", soft_wrap=True)
    console.print("written:")
    for path in written:
        console.print(f"  {shown(path)}", soft_wrap=True)
    return 0
