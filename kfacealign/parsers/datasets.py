"""Parsers of the commands about datasets."""

from kfacealign.parsers import READ, SCHEMES, add_command, count


def add_datasets(commands):
    parser = commands.add_parser("datasets", help="the datasets that are read: what they are, check a copy, pack one")
    parser.set_defaults(command="datasets", part="list", debug=False)
    parts = parser.add_subparsers(metavar="COMMAND", dest="part")
    check = add_command(
        parts,
        "check",
        "verify a copy of a dataset",
        "Reads a dataset, prints how many faces were found and how many were published, names what is missing, there twice or "
        "out of place, and writes mosaic.png (crops with their landmarks) and mean_shape.png (that of the faces, and the "
        "scheme's). The exit status is 1 where something is wrong.",
    )
    pack = add_command(
        parts,
        "pack",
        "write a dataset's crops and labels to one file",
        "Writes the crops and labels of a dataset to one HDF5 file, whose pixels are mapped into memory on reading: for training "
        "from --dataset packed, far from the photographs, or in any program that reads HDF5.",
    )
    for part in (check, pack):
        part.set_defaults(command="datasets")
        part.add_argument("name", choices=READ, metavar="NAME", help="of the dataset: " + ", ".join(READ))
        part.add_argument("root", metavar="DIR", help="the dataset's directory")
        part.add_argument("--scheme", choices=SCHEMES, help="landmark scheme of csv and pts (default ibug68), and of celeba")
    check.add_argument("--faces", type=count, default=48, metavar="N", help="of the mosaic (default %(default)s)")
    check.add_argument("--out", metavar="DIR", help="directory of the pictures (default check_NAME)")
    pack.add_argument("out", metavar="OUT", help="the file, NAME.h5")
    pack.add_argument("--size", type=count, default=256, help="side of the crops in pixels (default %(default)s)")
    pack.add_argument("--enlarge", type=float, default=1.25, help="side of the crop over that of the box (default %(default)s)")
    pack.add_argument("--box", choices=("landmarks", "file"), help="the landmarks' box, or the one given (default landmarks)")
    pack.add_argument("--strict", action="store_true", help="stop at a photograph that cannot be read instead of leaving it out")
