"""Parsers of the commands that read photographs."""

from kfacealign.parsers import DATASETS, FLIP_HELP, MODEL_HELP, PROTOCOLS, SCHEMES, add_command, box


def add_align(commands):
    parser = add_command(
        commands,
        "align",
        "find the landmarks of the faces in photographs",
        "Finds the faces of each photograph (OpenCV's Haar cascades) and their landmarks. Writes "
        "PHOTO_landmarks.png (the photograph with the landmarks drawn), PHOTO.json (landmarks in image coordinates, scores, "
        "boxes) and one .pts file for each face. A photograph that fails is named and skipped; the exit status is then 1.",
    )
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    parser.add_argument("--model", help=f"{MODEL_HELP}; by default the first that kfacealign presets lists")
    parser.add_argument(
        "--box",
        type=box,
        metavar="X0,Y0,X1,Y1",
        help="the face's box, brows to chin and ear to ear, in pixels from the top-left corner, in place of the detector; "
        "write --box=X0,... if X0 is negative",
    )
    parser.add_argument(
        "--five-points",
        action="store_true",
        help="read each face a second time, turned upright by the eyes, nose and mouth found; for models trained on such crops",
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument("--out", default="aligned", metavar="DIR", help="directory of the results (default %(default)s)")


def add_evaluate(commands):
    parser = add_command(
        commands,
        "evaluate",
        "measure a model on a dataset's test faces",
        "Prints the errors of a model on the test part of a dataset, by subset and region, and writes report.json, report.html, "
        "ced.png, landmark_errors.png, predictions.png and predictions.npz.",
    )
    parser.add_argument("--model", required=True, help=MODEL_HELP)
    parser.add_argument("--dataset", required=True, choices=DATASETS)
    parser.add_argument("--data-dir", metavar="DIR", help="the dataset's directory; synthetic faces are written to it if need be")
    parser.add_argument("--scheme", choices=SCHEMES, help="landmark scheme of --dataset pts and csv (default: the model's)")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, help="measure as papers do and write their tables: table.md, table.tex, table.json"
    )
    parser.add_argument("--normalizer", help="what errors are divided by: inter_ocular, inter_pupil, box, diagonal or image")
    parser.add_argument(
        "--align", choices=("box", "five_points"), default="box", help="how faces are cropped; as in training (default %(default)s)"
    )
    parser.add_argument("--flip", action="store_true", help=FLIP_HELP)
    parser.add_argument(
        "--decoder",
        choices=("argmax", "shift", "wsm", "dark", "soft", "local"),
        help="read the heatmaps of a .keras model in another way than its own",
    )
    parser.add_argument("--out", default="evaluation", metavar="DIR", help="directory of the results (default %(default)s)")
