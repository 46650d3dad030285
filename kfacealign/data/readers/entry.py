"""What the catalogue says of a dataset."""

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Entry:
    """A dataset and how the papers use it.

    Attributes:
        name: as in `--dataset`.
        title: what people call it.
        reader: `reader(root)`, or `reader(root, scheme=...)` where `scheme` is ""; returns a `Dataset`, or `Faces` if
            nothing is labelled.
        scheme: name of the landmark scheme; "" if the user names it.
        counts: part or subset -> published number of faces; parts are "train" and "test".
        normalizer: what errors are divided by in the papers.
        crops: for each paper (PIPNet, LOTR, HIH, subpixel, 1D heatmaps) that says so: its box and enlargement.
        protocol: how it is trained on and measured.
        layout: the files below the directory to name.
        source: where to get it, in words.
        box: what its crops are cut by here, see `Crops`.
    """

    name: str
    title: str
    reader: Callable
    scheme: str
    counts: dict
    normalizer: str
    crops: str
    protocol: str
    layout: str
    source: str
    box: str = "landmarks"

    def read(self, root, scheme=None):
        """The `Dataset` (or `Faces`) below `root`; `scheme` only where the dataset has none of its own."""
        if self.scheme:
            return self.reader(root)
        return self.reader(root, scheme=scheme or "ibug68")
