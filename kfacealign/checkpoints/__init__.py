"""The authors' PyTorch checkpoints as models of this package.

Each architecture has a file: its `build` makes the model that computes what the authors' code computes, its `targets` says
which tensor of the checkpoint becomes which weight. docs/checkpoints.md says what was checked and what was not.
"""

from kfacealign.checkpoints import fan, hih, pipnet
from kfacealign.checkpoints.importing import ARCHITECTURES, architecture, caution, convert, import_weights
from kfacealign.checkpoints.mapping import fill
from kfacealign.checkpoints.reader import read

__all__ = [
    "ARCHITECTURES",
    "architecture",
    "caution",
    "convert",
    "fan",
    "fill",
    "hih",
    "import_weights",
    "pipnet",
    "read",
]
