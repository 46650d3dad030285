"""The `kfacealign` command.

Nothing heavy is imported here, and only the module of the command that was asked for is imported, so that `--help` and
mistakes are answered at once.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from kfacealign.process import guarded, leave, run_process
from kfacealign.quiet import quiet

# Command -> what `--help` says of it. Its module is `kfacealign.cli.NAME`, with `_` for `-`.
COMMANDS = {
    "align": "find the landmarks of the faces in photographs",
    "label": "label the faces of very many pictures, as one table",
    "evaluate": "measure a model on a dataset's test faces",
    "export": "write a trained model as TFLite, ONNX or SavedModel",
    "calibrate": "make a model say which points are hidden, and how far off each may be",
    "codecs": "study how landmarks are represented",
    "models": "the size of every model beside its paper's",
    "synthetic": "render faces to disk in the layout of a dataset",
    "track": "follow the landmarks of a face through a video",
    "score": "measure predictions in a file",
    "compare": "compare runs face by face",
    "datasets": "the datasets that are read: what they are, check a copy, find wrong labels, pack one",
    "presets": "the bundled models: what they are, what they were trained on; make one",
    "import-weights": "make a model of an authors' PyTorch checkpoint",
    "inspect": "what is in an exported file",
    "bench": "latency, memory and size of models side by side",
    "parity": "whether exported models say what the model says",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 done, 1 some of the inputs failed (they were named), 2 a mistake in the input, told in one line on
        stderr, 130 interrupted, 143 terminated. Without `argv` the process ends here where it is not 0.
    """
    # The command's user has no use for TensorFlow's notices about the machine; TensorFlow's errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    asked = {"debug": False}

    def work():
        arguments = build_parser(argv).parse_args(argv)
        asked["debug"] = arguments.debug
        import_methods(getattr(arguments, "methods", ()))
        return arguments.run(arguments)

    if argv is not None:
        return guarded("kfacealign: ", work, debug=lambda: asked["debug"])
    status = run_process("kfacealign: ", work, debug=lambda: asked["debug"])
    return leave(status) if status else 0


def build_parser(argv: Sequence[str] | None = None) -> argparse.ArgumentParser:
    """The parser: it knows the names of all commands, but only the arguments of the command with which `argv` begins.

    Args:
        argv: arguments without the program's name; by default those of the process.
    """
    argv = sys.argv[1:] if argv is None else argv
    wanted = next((str(word) for word in argv if not str(word).startswith("-")), None)
    parser = argparse.ArgumentParser(
        prog="kfacealign",
        description="Finds facial landmarks in photographs and videos; measures, compares, calibrates and exports landmark "
        "models. The recipes in the sources train them.",
        epilog="kfacealign COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, explanation in COMMANDS.items():
        command = commands.add_parser(name, help=explanation)
        if name == wanted:
            module = importlib.import_module(f"kfacealign.cli.{name.replace('-', '_')}")
            command.description = getattr(module, "DESCRIPTION", None)
            command.add_argument("--debug", action="store_true", help="show the traceback of an error")
            command.set_defaults(run=module.run)
            module.add_arguments(command)
    return parser


def import_methods(modules: Sequence[str]) -> None:
    """Imports the modules that `--from` names, which makes the models defined in them known.

    Raises:
        ImportError: there is no such module, neither installed nor in the current folder.
    """
    if modules and os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    for module in modules:
        try:
            with quiet():
                importlib.import_module(module)
        except ModuleNotFoundError as error:
            raise ImportError(f"--from {module}: {error}; name a module that is installed or in this folder") from None
