"""`kfacealign codecs quantization`: what each representation loses by itself."""

import numpy as np
from rich.console import Console
from rich.table import Table

from kfacealign.codecs.quantization import quantization_table
from kfacealign.data.csv_lists import read_list


def run(arguments):
    landmarks = np.concatenate([read_list(path, arguments.scheme).landmarks for path in arguments.annotations])
    rows = quantization_table(landmarks, arguments.scheme)
    table = Table(title=f"encoded and decoded again: {len(landmarks):,} faces, {arguments.scheme}", title_justify="left")
    table.add_column("representation")
    table.add_column("NME, % inter-ocular", justify="right")
    table.add_column("of the first", justify="right")
    for name, error in rows:
        table.add_row(name, f"{error:.3f}", f"{error / rows[0][1]:.3f}")
    Console().print(table)
    return 0
