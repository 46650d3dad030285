"""What the catalogue says of a dataset."""

import dataclasses
import os
from collections.abc import Callable

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A dataset and how the papers use it.

    Attributes:
        name: the name that `--dataset` takes.
        title: what people call the dataset.
        reader: function `reader(root)`, or `reader(root, scheme=...)` where `scheme` is "". It returns a `Dataset`, or
            `Faces` if nothing is labelled.
        scheme: name of the landmark scheme; "" if the user names it.
        counts: part or subset -> published number of faces. Parts are "train" and "test".
        normalizer: what the papers divide errors by.
        crops: box and enlargement of each paper that tells them (PIPNet, LOTR, HIH, subpixel, 1D heatmaps).
        protocol: how the dataset is used for training and measuring.
        layout: the files below the directory that the user names.
        source: where to get the dataset, in words.
        box: what crops are cut by in this package, see `Crops`.
    """

    name: str
    title: str
    reader: Callable[..., Dataset | Faces]
    scheme: str
    counts: dict[str, int]
    normalizer: str
    crops: str
    protocol: str
    layout: str
    source: str
    box: str = "landmarks"

    def read(self, root: str | os.PathLike, *, scheme: str | schemes.Scheme | None = None) -> Dataset | Faces:
        """The `Dataset` (or `Faces`) below `root`; `scheme` counts only where the dataset has none of its own."""
        if self.scheme:
            return self.reader(root)
        return self.reader(root, scheme=scheme or "ibug68")
