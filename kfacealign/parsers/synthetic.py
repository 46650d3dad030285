"""Parser of the command that renders faces."""

from kfacealign.parsers import SCHEMES, add_command, count


def add_synthetic(commands):
    parser = commands.add_parser("synthetic", help="render faces to disk in the layout of a dataset")
    layouts = parser.add_subparsers(metavar="LAYOUT", dest="layout", required=True)
    for layout, help in (
        ("wflw", "images and lists like WFLW's, 98 landmarks"),
        ("pts", "images with .pts files beside them, in train and test"),
        ("clips", "clips of a smoothly moving face, a folder of frames each"),
    ):
        description = f"Renders faces with exact landmarks: {help}. The same arguments give the same files."
        parser = add_command(layouts, layout, help, description)
        parser.set_defaults(command="synthetic")
        parser.add_argument("out", metavar="DIR")
        if layout == "clips":
            parser.add_argument("--clips", type=count, default=20, metavar="N", help="default %(default)s")
            parser.add_argument("--frames", type=count, default=30, metavar="N", help="of a clip (default %(default)s)")
        else:
            parser.add_argument("--train", type=count, default=2000, metavar="N", help="training faces (default %(default)s)")
            parser.add_argument("--test", type=count, default=400, metavar="N", help="test faces (default %(default)s)")
        if layout != "wflw":
            parser.add_argument("--scheme", choices=SCHEMES, default="ibug68", help="landmarks written (default %(default)s)")
        parser.add_argument("--size", type=count, default=256, help="side of the images in pixels (default %(default)s)")
        parser.add_argument("--seed", type=int, default=0, help="default %(default)s")
