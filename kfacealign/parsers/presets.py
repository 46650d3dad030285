"""Parser of the command about bundled models."""

from kfacealign.parsers import DATASETS, SCHEMES, add_command, count


def add_presets(commands):
    parser = commands.add_parser("presets", help="the bundled models: what they are, what they were trained on; make one")
    parser.set_defaults(command="presets", part="list", debug=False)
    parts = parser.add_subparsers(metavar="COMMAND", dest="part")
    show = add_command(parts, "show", "print the card of a preset", "Prints all that is known of a bundled model, as Markdown.")
    show.add_argument("name", metavar="NAME")
    make = add_command(
        parts,
        "make",
        "bundle a trained model",
        "Writes NAME.keras and NAME.tflite in float16, measures both on the test faces of a dataset, and writes the card: "
        "NAME.json and NAME.md. What only the training knows is read from the facts.json that recipes/preset_*.py leave by the "
        "model, errors on rendered faces from the weak_spots.json that benchmarks/weak_spots.py leaves there.",
    )
    make.add_argument("name", metavar="NAME", help="of the preset: small letters, digits and _")
    make.add_argument("--model", required=True, metavar="MODEL.keras", help="the trained model")
    make.add_argument("--dataset", choices=DATASETS, default="pts", help="default %(default)s")
    make.add_argument("--data-dir", metavar="DIR", help="the dataset's directory")
    make.add_argument("--scheme", choices=SCHEMES, help="landmark scheme of --dataset pts and csv (default: the model's)")
    make.add_argument("--clips", action="store_true", help="of a tracker: measure it on clips, too; --data-dir is YTF68")
    make.add_argument("--card-from", metavar="FILE.json", help="the facts of the training (default: facts.json beside the model)")
    make.add_argument("--threads", type=count, default=2, metavar="N", help="CPU threads of the latency (default %(default)s)")
    make.add_argument("--out", metavar="DIR", help="where the files go (default: into the package, which bundles them)")
    for part in (show, make):
        part.set_defaults(command="presets")
