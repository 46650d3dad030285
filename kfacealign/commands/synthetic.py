"""`kfacealign synthetic`: rendered faces on disk."""

from rich.console import Console

from kfacealign.data import synthetic_disk


def run(arguments):
    shared = {"seed": arguments.seed, "size": arguments.size}
    if arguments.layout == "wflw":
        synthetic_disk.write_wflw(arguments.out, arguments.train, arguments.test, **shared)
    elif arguments.layout == "pts":
        synthetic_disk.write_pts(arguments.out, arguments.train, arguments.test, arguments.scheme, **shared)
    else:
        synthetic_disk.write_clips(arguments.out, arguments.clips, arguments.frames, arguments.scheme, **shared)
    Console().print(f"written: {arguments.out}")
    return 0
