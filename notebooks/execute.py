"""Executes the notebooks of this folder in place, so that what they show is what they compute.

    python notebooks/execute.py                # all of them in full: minutes each on two cores
    python notebooks/execute.py 04 06          # those whose names begin so
    python notebooks/execute.py --quick 05     # with the settings of the tests, to try a change; writes nothing

A notebook runs in an empty folder with a kernel of this Python, seeds fixed by its first cell. What differs from run to run
without meaning anything (times, widths, versions, warnings of libraries) is left out of the file, and pictures are stored
with a palette, photographs as JPEG. 300W's annotation lists are read where KFACEALIGN_DATA names a folder that holds
them, and the bundled presets are used where there are any: execute the notebooks again when these change.
"""

import argparse
import base64
import io
import os
import re
import tempfile
import time
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from PIL import Image, ImageChops, ImageStat

from kfacealign.files import replacing

FOLDER = Path(__file__).parent
QUICK = "KFACEALIGN_QUICK"  # read by every notebook's first code cell
TIMEOUT, STARTUP = 7200, 300  # seconds of a cell and of the kernel's start, for machines busy with something else
COLORS = 128  # of a PNG with a palette: enough for curves and bars
FAITHFUL = 1.0  # levels of 255 that a palette may be off by in the mean; photographs are off by more
QUALITY = 82  # of their JPEGs
COLORED = re.compile(r"\x1b\[[0-9;]*m")  # what colours text on a terminal
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def notebooks(starts=("",)):
    """Paths of the notebooks whose names begin with one of `starts`, in order."""
    return [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(tuple(starts))]


def execute(path, quick=False):
    """A notebook with its outputs, executed in an empty folder that is removed afterwards.

    Args:
        path: of the notebook.
        quick: whether its settings are those of the tests.

    Returns:
        `nbformat.NotebookNode`.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    environment = {name: value for name, value in os.environ.items() if name not in (QUICK, "MPLBACKEND", "PYTEST_CURRENT_TEST")}
    environment |= {"PYTHONHASHSEED": "0", "TF_CPP_MIN_LOG_LEVEL": "3"} | ({QUICK: "1"} if quick else {})
    options = {"timeout": TIMEOUT, "startup_timeout": STARTUP, "coalesce_streams": True}
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as sockets:
        # No kernels but that of this Python, whatever else is installed under the name python3.
        kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        if os.name == "posix":  # files in a folder of our own, and no ports that others could read
            kernel.transport, kernel.ip = "ipc", os.path.join(sockets, "kernel")
        client = NotebookClient(notebook, km=kernel, resources={"metadata": {"path": folder}}, **options)
        client.execute(env=environment, cleanup_kc=True)  # ends the kernel too
    return notebook


# === What is kept ===


def tidy(notebook):
    """Leaves out of an executed notebook what means nothing, and makes its pictures small."""
    notebook.metadata = nbformat.from_dict(METADATA)
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell["id"] = nbformat.from_dict({}), f"cell-{number:02d}"
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
            for output in cell.outputs:
                output.pop("transient", None)
                if "data" in output:
                    output.metadata = nbformat.from_dict({})
                    output.data = nbformat.from_dict(smaller(output.data))
                    if "text/plain" in output.data:
                        output.data["text/plain"] = COLORED.sub("", output.data["text/plain"])
    return notebook


def smaller(data):
    """An output's dict of MIME types with its picture as a PNG with a palette, or as a JPEG where no palette will do."""
    if "image/png" not in data:
        return data
    content = base64.b64decode(data["image/png"])
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    palette = picture.quantize(COLORS, dither=Image.Dither.NONE)
    change = ImageStat.Stat(ImageChops.difference(picture, palette.convert("RGB"))).mean
    kind, options = ("PNG", {"optimize": True}) if max(change) <= FAITHFUL else ("JPEG", {"quality": QUALITY, "optimize": True})
    written = io.BytesIO()
    (palette if kind == "PNG" else picture).save(written, kind, **options)
    if written.tell() >= len(content):
        return data
    others = {name: value for name, value in data.items() if name != "image/png"}
    return {**others, f"image/{kind.lower()}": base64.b64encode(written.getvalue()).decode()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("starts", nargs="*", default=[""], metavar="NAME", help="beginnings of names (default: all notebooks)")
    parser.add_argument("--quick", action="store_true", help="the tests' settings; nothing is written")
    arguments = parser.parse_args()
    paths = notebooks(arguments.starts)
    if not paths:
        parser.error(f"no notebook in {FOLDER} begins with {' or '.join(arguments.starts)}")
    for path in paths:
        print(f"{path.name} ...", end=" ", flush=True)
        start = time.monotonic()
        executed = tidy(execute(path, arguments.quick))
        seconds = time.monotonic() - start
        size = len(nbformat.writes(executed).encode())
        if not arguments.quick:
            with replacing(path) as temporary:
                nbformat.write(executed, temporary)
        print(f"{seconds:.0f} s, {size / 1e3:.0f} kB{' (not written)' if arguments.quick else ''}", flush=True)


if __name__ == "__main__":
    main()
