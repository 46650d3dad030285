"""Runs in a process of its own, by `test_offline.py`: whoever asks the network for anything gets an error, and is remembered.

python offline.py FOLDER
"""

import sys

ASKED = []
PAPER = {"dataset": "pts", "input_size": 64, "epochs": 1, "batch_size": 4, "learning_rate": 1e-3}
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.sendmsg", "urllib.Request")


def forbid(event, arguments):
    if event in FORBIDDEN:
        ASKED.append(f"{event} {arguments[1:]}")
        raise PermissionError(f"the network is forbidden here: {ASKED[-1]}")


sys.addaudithook(forbid)

import functools  # noqa: E402
import socket  # noqa: E402
import urllib.request  # noqa: E402
from pathlib import Path  # noqa: E402


def is_forbidden():
    """Whether the ways to the network are closed; those tried here do not count."""
    ways = (
        lambda: socket.create_connection(("127.0.0.1", 9), timeout=1),
        lambda: socket.socket().connect(("127.0.0.1", 9)),
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
        lambda: urllib.request.urlopen("http://127.0.0.1:9", timeout=1),
    )
    closed = []
    for way in ways:
        try:
            way()
        except PermissionError:
            closed.append(True)
        except OSError:
            closed.append(False)
    ASKED.clear()
    return closed == [True] * len(ways)


def main():
    folder = Path(sys.argv[1])
    assert is_forbidden()
    import kfacealign as kfa
    from kfacealign.cli.main import main as kfacealign
    from kfacealign.data import SyntheticFaces, image_files, write_pts

    image_files.write(folder / "face.png", SyntheticFaces(3, size=256).render(0).image)
    assert kfacealign(["align", str(folder / "face.png"), "--out", str(folder / "aligned")]) == 0
    write_pts(folder / "faces", train=4, test=2, size=64, progress=False)
    flags = ["--data-dir", str(folder / "faces"), "--out", str(folder / "run")]
    settings = kfa.training.parse_settings("A toy.", PAPER, {}, argv=flags)
    faces = kfa.data.load_dataset(settings.dataset, settings.data_dir, scheme=settings.scheme)

    kfa.models.hih.stacked_hourglass = functools.partial(kfa.models.hih.stacked_hourglass, depth=1)

    # The two steps take less time than the graph of one would.
    eager = {"run_eagerly": True, "jit_compile": False}
    kfa.models.FaceAligner.compile = functools.partialmethod(kfa.models.FaceAligner.compile, **eager)

    def build():
        return kfa.models.HIH(faces.scheme, input_size=64, width=8, stacks=1, decimal_size=4, decimal_width=8)

    kfa.training.run(build, faces, kfa.data.RandomView(scheme=faces.scheme.name), settings, export=None)
    assert kfacealign(["export", "--model", str(folder / "run" / "model.keras"), "--out", str(folder / "model.tflite")]) == 0
    assert (folder / "aligned" / "face.json").is_file() and (folder / "model.tflite").is_file()
    print("asked:", ASKED)


if __name__ == "__main__":
    main()
