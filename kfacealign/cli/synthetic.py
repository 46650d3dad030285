"""`kfacealign synthetic`: rendered faces on disk."""

import argparse

from kfacealign import data, schemes
from kfacealign.cli.arguments import add_part, count
from kfacealign.console import make_console, shown
from kfacealign.data.rendered.sampling import RANGES

DESCRIPTION = "Renders faces with exact landmarks to disk. kfacealign synthetic LAYOUT --help lists the flags."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    layouts = parser.add_subparsers(metavar="LAYOUT", dest="layout", required=True)
    for layout, help in (
        ("wflw", "images and lists like WFLW's, 98 landmarks"),
        ("pts", "images with .pts files beside them, in train and test"),
        ("clips", "clips of a smoothly moving face, a folder of frames each"),
    ):
        description = f"Renders faces with exact landmarks: {help}. The same arguments give the same files."
        part = add_part(layouts, layout, help, description)
        part.add_argument("out", metavar="DIR", help="folder that is written")
        if layout == "clips":
            part.add_argument("--clips", type=count, default=20, metavar="N", help="number of clips (default %(default)s)")
            part.add_argument("--frames", type=count, default=30, metavar="N", help="frames of a clip (default %(default)s)")
        else:
            part.add_argument("--train", type=count, default=2000, metavar="N", help="training faces (default %(default)s)")
            part.add_argument("--test", type=count, default=400, metavar="N", help="test faces (default %(default)s)")
        if layout != "wflw":
            part.add_argument(
                "--scheme", choices=schemes.BUILT_IN, default="ibug68", help="landmarks written (default %(default)s)"
            )
        part.add_argument("--size", type=count, default=256, help="side of the images in pixels (default %(default)s)")
        part.add_argument(
            "--ranges",
            choices=RANGES,
            default="usual",
            help="usual (default): adults turned by 60 degrees at most; full: also profiles, any roll, infants, bad pictures; "
            "mixed: half of each",
        )
        part.add_argument("--seed", type=int, default=0, help="seed of the faces (default %(default)s)")


def run(arguments: argparse.Namespace) -> int:
    shared = {"seed": arguments.seed, "size": arguments.size, "ranges": arguments.ranges}
    if arguments.layout == "wflw":
        data.write_wflw(arguments.out, train=arguments.train, test=arguments.test, **shared)
    elif arguments.layout == "pts":
        data.write_pts(arguments.out, train=arguments.train, test=arguments.test, scheme=arguments.scheme, **shared)
    else:
        data.write_clips(arguments.out, clips=arguments.clips, frames=arguments.frames, scheme=arguments.scheme, **shared)
    make_console().print(f"written: {shown(arguments.out)}", soft_wrap=True)
    return 0
