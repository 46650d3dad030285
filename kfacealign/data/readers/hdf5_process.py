"""What reads an HDF5 file in a process of its own, see `kfacealign.data.readers.hdf5`.

The HDF5 library may crash or never return on a damaged file. The process is told what to read in one line of JSON, and answers
with one line of JSON, then the bytes of the arrays one after the other. It opens no file but the one that is named: links to
other files, and datasets whose numbers lie in other files, are refused.
"""

import contextlib
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import h5py
import numpy as np

FILTERS = (h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE)
TEXT = 2**16  # characters of an attribute at most


def main() -> None:
    """Answers the task in `sys.argv[1]`."""
    task = json.loads(sys.argv[1])
    set_limits(task["memory"], task["seconds"] * (1 + os.path.getsize(task["path"]) // 2**26))
    arrays = []
    try:
        with h5py.File(task["path"], "r") as file:
            answer = read(file, task, arrays)
    except Exception as error:  # the library raises whatever a damaged file leads it to
        answer, arrays = {"error": " ".join(str(error).split())[:300] or type(error).__name__}, []
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
    for array in arrays:
        sys.stdout.buffer.write(array.data)
    sys.stdout.buffer.flush()


def set_limits(memory: int, seconds: int) -> None:
    """Lets the process take so many bytes and, from now on, seconds of a processor, where the system can do that."""
    try:
        import resource
    except ImportError:
        return
    with contextlib.suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    end = math.ceil(sum(resource.getrusage(resource.RUSAGE_SELF)[:2])) + seconds
    with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_CPU, (end, end + 1))


def read(file: h5py.File, task: Mapping[str, Any], arrays: list[np.ndarray]) -> dict[str, Any]:
    """What the task asks for.

    Args:
        file: the open file.
        task: `arrays`, names of datasets, of which those that are there are read ("GROUP/*" takes a whole group); `layouts` and
            `cells`, names of datasets, of which is told where in the file their numbers lie; `attributes`, whether the file's
            are read; `limit`, bytes of all arrays together.
        arrays: is filled with the arrays, in the order of the answer.
    """
    left, told = task["limit"], {}
    for name, dataset in chosen(file, task["arrays"]):
        left -= dataset.size * max(dataset.dtype.itemsize, 1)
        if left < 0:
            raise ValueError(f"{name} and what is before it are larger than {task['limit'] / 2**20:.0f} MiB")
        values = content(name, dataset)
        if isinstance(values, list):
            left -= sum(map(len, values))
            told[name] = {"texts": values}
        else:
            told[name] = {"type": values.dtype.str, "shape": values.shape}
            arrays.append(values)
    answer = {"names": [name for name in file if not name.startswith("#")], "arrays": told}
    answer["layouts"] = {name: layout(task["path"], name, dataset) for name, dataset in chosen(file, task["layouts"])}
    answer["cells"] = {}
    for name, cells in chosen(file, task["cells"]):
        if h5py.check_ref_dtype(cells.dtype) is not h5py.Reference or cells.size > 2**20:
            raise ValueError(f"{name} is no array of cells, or one of too many")
        found = enumerate(cells[()].ravel())
        answer["cells"][name] = [layout(task["path"], f"{name}#{place}", target(file, name, cell)) for place, cell in found]
    if task["attributes"]:
        answer["attributes"] = {name: attribute(name, value) for name, value in file.attrs.items()}
    return answer


def chosen(file: h5py.File, names: list[str]) -> Iterator[tuple[str, h5py.Dataset]]:
    """The datasets of these names that are there, each reached by links within the file."""
    for name in names:
        group, _, star = name.rpartition("/")
        if star == "*":
            below = inside(file, group, h5py.Group)
            names = [f"{group}/{member}" for member in below] if below is not None else []
        else:
            names = [name]
        for found in names:
            dataset = inside(file, found, h5py.Dataset)
            if dataset is not None:
                yield found, checked(found, dataset)


def inside(file: h5py.File, name: str, kind: type) -> Any:
    """What a path of plain links leads to; None if there is nothing."""
    here = file
    for step in name.split("/"):
        link = here.get(step, getlink=True) if isinstance(here, h5py.Group) else None
        if link is None:
            return None
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"{name} is a link to another place, which is not read")
        here = here[step]
    if not isinstance(here, kind):
        raise ValueError(f"{name} is no {kind.__name__.lower()}")
    return here


def checked(name: str, dataset: h5py.Dataset) -> h5py.Dataset:
    """The dataset itself, whose numbers lie in the file and are sane in number."""
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"{name} has its numbers in another file, which is not read")
    if dataset.shape is None or math.prod(dataset.shape) > 2**40:
        raise ValueError(f"{name} has no shape, or an absurd one")
    return dataset


def target(file: h5py.File, name: str, cell: h5py.Reference) -> h5py.Dataset:
    """The dataset that a cell refers to."""
    found = file[cell]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"a cell of {name} is no array")
    return checked(name, found)


def content(name: str, dataset: h5py.Dataset) -> np.ndarray | list[str]:
    """The numbers of a dataset, or its texts."""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return [text.decode("utf-8", "surrogateescape") for text in np.ravel(dataset[()]).tolist()]
    if dataset.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds neither numbers nor texts")
    return np.ascontiguousarray(dataset[()])


def layout(path: str, name: str, dataset: h5py.Dataset) -> dict[str, Any]:
    """Where the numbers of a dataset lie in the file.

    Returns:
        `shape` and `type`; `chunk`, the shape of a chunk; `pieces`, a list of (position of the chunk's first element, offset in
        the file, bytes); and `packed`, whether zlib has compressed the pieces. A dataset in one block is its only chunk.
    """
    made = {"shape": dataset.shape, "type": dataset.dtype.str, "chunk": dataset.chunks or dataset.shape, "packed": False}
    size = os.path.getsize(path)
    if dataset.chunks is None:
        offset = dataset.id.get_offset()
        length = dataset.size * dataset.dtype.itemsize
        if length and (offset is None or offset < 0 or offset + length > size):
            raise ValueError(f"{name}: the file is truncated")
        return {**made, "pieces": [([0] * len(dataset.shape), offset or 0, length)]}
    properties = dataset.id.get_create_plist()
    filters = [properties.get_filter(place)[0] for place in range(properties.get_nfilters())]
    if not set(filters) <= set(FILTERS) or (h5py.h5z.FILTER_SHUFFLE in filters and dataset.dtype.itemsize > 1):
        raise ValueError(f"{name} is compressed in a way that is not read")
    if dataset.id.get_num_chunks() > 2**16:
        raise ValueError(f"{name} has too many chunks")
    pieces, base = [], None
    for place in range(dataset.id.get_num_chunks()):
        chunk = dataset.id.get_chunk_info(place)
        if base is None:
            base = start_of_file(path, dataset, chunk)
        if chunk.filter_mask and filters:
            raise ValueError(f"{name} has a chunk that is compressed in another way")
        if not 0 <= base + chunk.byte_offset <= size - chunk.size:
            raise ValueError(f"{name}: the file is truncated")
        pieces.append((list(chunk.chunk_offset), base + chunk.byte_offset, chunk.size))
    return {**made, "pieces": pieces, "packed": h5py.h5z.FILTER_DEFLATE in filters}


def start_of_file(path: str, dataset: h5py.Dataset, chunk: Any) -> int:
    """What is added to a chunk's offset: some versions of the library do not count what stands before HDF5 in a file."""
    raw = bytes(dataset.id.read_direct_chunk(chunk.chunk_offset)[1])
    before = dataset.file.userblock_size
    with open(path, "rb") as opened:
        for base in (0, before):
            opened.seek(base + chunk.byte_offset)
            if opened.read(chunk.size) == raw:
                return base
    raise ValueError("a chunk is not where the file says")


def attribute(name: str, value: Any) -> str | int | float:
    """An attribute as a text or a number."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "surrogateescape")
    if isinstance(value, str) and len(value) <= TEXT:
        return value
    if np.ndim(value) == 0 and np.asarray(value).dtype.kind in "fiub":
        return np.asarray(value).item()
    raise ValueError(f"the attribute {name} is neither a text nor a number")


if __name__ == "__main__":
    main()
