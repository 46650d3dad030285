"""The `kfacealign` command. What it accepts is in `kfacealign.parsers`, what it does in `kfacealign.commands`.

Nothing heavy is imported here, so that `--help` and mistakes answer at once.
"""

import argparse
import importlib
import os
import sys
import traceback

from kfacealign.parsers import datasets, deployment, models, photographs, presets, scoring, synthetic, video
from kfacealign.quiet import quiet


def main(argv=None):
    """Runs one command.

    Args:
        argv: arguments without the program's name; by default those of the process.

    Returns:
        Exit status: 0 done, 1 some of the inputs failed (they were named), 2 a mistake in
        the input, told in one line on stderr, 130 interrupted.
    """
    arguments = build_parser().parse_args(argv)
    # TensorFlow's notices about this machine are not for this command's user; its errors are exceptions.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with quiet():
            command = importlib.import_module(f"kfacealign.commands.{arguments.command}")
        return command.run(arguments)
    except (ValueError, OSError, ImportError) as error:
        if arguments.debug:
            traceback.print_exc()
        print(f"kfacealign: error: {one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("kfacealign: interrupted", file=sys.stderr)
        return 130


def one_line(error):
    """An error's message without line breaks, a system error as `file: reason`."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def build_parser():
    parser = argparse.ArgumentParser(
        prog="kfacealign",
        description="Facial landmark alignment: find landmarks in photographs, evaluate, export.",
        epilog="kfacealign COMMAND --help explains a command.",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    photographs.add_align(commands)
    photographs.add_evaluate(commands)
    models.add_export(commands)
    models.add_codecs(commands)
    models.add_models(commands)
    synthetic.add_synthetic(commands)
    video.add_track(commands)
    scoring.add_score(commands)
    scoring.add_compare(commands)
    datasets.add_datasets(commands)
    presets.add_presets(commands)
    deployment.add_import_weights(commands)
    deployment.add_inspect(commands)
    deployment.add_bench(commands)
    deployment.add_parity(commands)
    return parser
