"""What the catalogue says of a dataset."""

import csv
import dataclasses
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from kfacealign import schemes
from kfacealign.data.faces import Dataset, Faces

# What code stumbles over in a damaged file that no check has named before.
DAMAGE = (LookupError, TypeError, ArithmeticError, MemoryError, RecursionError, zlib.error, struct.error, csv.Error)


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
        marks: whether the reader takes `missing`.
        names_points: whether the files may name their points; the reader then gets the user's scheme, or None.
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
    marks: bool = True
    names_points: bool = False

    def read(
        self, root: str | os.PathLike, *, scheme: str | schemes.Scheme | None = None, missing: Sequence = (), **more: Any
    ) -> Dataset | Faces:
        """The `Dataset` (or `Faces`) below a folder.

        Args:
            root: the folder.
            scheme: scheme of the landmarks; it counts only where the dataset has none of its own.
            missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.
            more: further arguments of the reader.

        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: a file is malformed or damaged, or the dataset has no marks of missing points.
        """
        options = more if self.scheme else more | {"scheme": scheme if self.names_points else scheme or "ibug68"}
        if missing and not self.marks:
            raise ValueError(f"{self.name} has no points that a mark could stand for: leave out --missing")
        if self.marks:
            options["missing"] = missing
        try:
            return self.reader(root, **options)
        except DAMAGE as error:
            raise ValueError(f"{root}: a file is damaged ({type(error).__name__}: {error})") from error
