"""Parsers of the commands about models made elsewhere, and about what was exported."""

from kfacealign.parsers import DATASETS, SCHEMES, add_command, count


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


def add_inspect(commands):
    parser = add_command(
        commands,
        "inspect",
        "what is in an exported file",
        "Prints the metadata of a .tflite or .onnx file, its inputs and outputs, its operators with their counts, and how many "
        "nodes of a .tflite file XNNPACK takes.",
    )
    parser.add_argument("file", metavar="FILE")


def add_bench(commands):
    parser = add_command(
        commands,
        "bench",
        "latency, memory and size of models side by side",
        "Measures how long each model takes for one crop (median and 90th percentile, the models taking turns), how much memory, "
        "how much disk, and how many nodes of a .tflite file XNNPACK takes; docs/bench.md explains the columns.",
    )
    parser.add_argument("models", nargs="+", metavar="MODEL", help=".keras, .tflite or .onnx files, or SavedModel folders")
    parser.add_argument("--threads", nargs="+", type=count, default=[1], metavar="N", help="numbers of CPU threads (default 1)")
    parser.add_argument("--runs", type=count, default=100, metavar="N", help="timed reads of each (default %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures there")


def add_parity(commands):
    parser = add_command(
        commands,
        "parity",
        "whether exported models say what the model says",
        "Gives the same face crops to a model and to what was exported from it, and prints how far the landmarks are apart, and "
        "the error of each where the true landmarks are known. Without --images and --dataset the faces are drawn by this "
        "package. The exit status is 1 if a landmark differs by more than --tolerance.",
    )
    parser.add_argument("reference", metavar="REFERENCE", help="what the others are held against, mostly the .keras file")
    parser.add_argument("files", nargs="+", metavar="FILE", help=".tflite or .onnx files, or SavedModel folders")
    parser.add_argument(
        "--images",
        metavar="DIR",
        help="a folder of images; with .pts files beside them cropped as in training, without each is taken to be a crop",
    )
    parser.add_argument("--dataset", choices=DATASETS, help="the test faces of a dataset")
    parser.add_argument("--data-dir", metavar="DIR", help="the dataset's directory; synthetic faces are written to it if need be")
    parser.add_argument("--normalizer", help="what errors are divided by: inter_ocular, inter_pupil, box, diagonal or image")
    parser.add_argument("--count", type=count, default=32, metavar="N", help="most faces, evenly spaced (default %(default)s)")
    parser.add_argument(
        "--tolerance",
        type=float,
        default=1e-3,
        metavar="SHARE",
        help="most that a landmark may differ, as a fraction of the crop's side (default %(default)s; int8 files need more)",
    )
