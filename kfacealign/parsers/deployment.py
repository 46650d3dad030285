"""Parsers of the commands about models made elsewhere."""

from kfacealign.parsers import SCHEMES, add_command, count


def add_import_weights(commands):
    parser = add_command(
        commands,
        "import-weights",
        "make a model of an authors' PyTorch checkpoint",
        "Reads the weights that the authors of PIPNet, HIH and FAN published and writes a .keras file that every other command "
        "takes. Every tensor of the checkpoint is used once or named; files that would run code are refused. Needs PyTorch "
        "(pip install 'kfacealign[torch]').",
    )
    parser.set_defaults(command="import_weights")
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a state dict saved by PyTorch (.pth, .pth.tar)")
    parser.add_argument("--model", required=True, choices=("pipnet", "hih", "fan"))
    parser.add_argument(
        "--variant", help="pipnet: resnet18, resnet50 or resnet101; hih: tiny, small or base; fan: 2dfan (its default)"
    )
    parser.add_argument("-o", "--out", required=True, metavar="FILE.keras", help="file of the model")
    parser.add_argument("--scheme", choices=SCHEMES, help="landmark scheme of the checkpoint (default: wflw98; fan: ibug68)")
    parser.add_argument("--input-size", type=count, metavar="PIXELS", help="side of its crops (default 256)")
    parser.add_argument(
        "--enlarge", type=float, metavar="FACTOR", help="side of its crops over the landmark box's (default: the model's)"
    )
    parser.add_argument("--stride", type=count, metavar="PIXELS", help="pipnet: side of a cell (default 32)")
    parser.add_argument(
        "--neighbors", type=count, metavar="N", help="pipnet: neighbours that each landmark predicts (default 10)"
    )
    parser.add_argument(
        "--meanface",
        metavar="FILE",
        help="pipnet: the authors' meanface.txt, x0 y0 x1 y1 ..., in which the neighbours are found (default: this package's "
        "mean shape)",
    )
