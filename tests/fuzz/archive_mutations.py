"""Mutations of archives, of arrays and pictures that announce more than they hold, and of what Keras makes of a file."""

import base64
import io
import json
import marshal
import random
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence

from plain_mutations import places_in

BOMB = 3 * 2**29  # bytes that a bomb unpacks to, 1.5 GiB


# === Archives ===


def zip_list(content: bytes, rng: random.Random) -> bytes:
    """A member is gone, there twice, called otherwise, or in the place of another."""
    members = members_of(content)
    if not members:
        return content
    place = rng.randrange(len(members))
    name, inner = members[place]
    what = rng.randrange(4)
    if what == 0:
        del members[place]
    elif what == 1:
        members.append((name, inner))
    elif what == 2:
        members[place] = rng.choice(("../x", "/x", "", name.upper(), name.rpartition(".")[0], "a\\b", "x" * 300)), inner
    else:
        members[place] = name, members[rng.randrange(len(members))][1]
    return zipped(members, rng)


def zip_bomb(content: bytes, rng: random.Random) -> bytes:
    """A member, with the header of an array where it is one, unpacks to `BOMB` bytes of zeros."""
    members = members_of(content)
    if not members:
        return content
    place = rng.randrange(len(members))
    header = (
        npy_start((BOMB // 8,)) if members[place][0].endswith(".npy") else b"{" if members[place][0].endswith("json") else b""
    )
    packed, size = deflated_zeros(header, BOMB)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for other, (name, inner) in enumerate(members):
            if other != place:
                archive.writestr(zipfile.ZipInfo(name), inner)
        info = zipfile.ZipInfo(members[place][0])
        info.header_offset, info.compress_type = buffer.tell(), zipfile.ZIP_DEFLATED
        info.compress_size, info.file_size, info.CRC = len(packed), size, 1
        buffer.write(info.FileHeader() + packed)
        archive.filelist.append(info)
        archive.NameToInfo[info.filename] = info
        archive.start_dir, archive._didModify = buffer.tell(), True
    return buffer.getvalue()


def npy_header(content: bytes, rng: random.Random) -> bytes:
    """The header of an array tells of another shape or type."""
    shape = rng.choice(((), (1,), (-1, 2), (10**9, 10**9), (BOMB // 8,), (0, 68, 2), (2, 2, 2), (2**63,)))
    kind = rng.choice(("<f8", "|O", "<c16", "|S3", "<M8[s]", "<U5", "|b1", "|V8", "x", "<f2"))
    length = int.from_bytes(content[8:10], "little") if content.startswith(b"\x93NUMPY") else 0
    return npy_start(shape, kind) + content[10 + length :]


def npy_start(shape: tuple[int, ...], kind: str = "<f8") -> bytes:
    """The header of a `.npy` file."""
    text = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(members: Sequence[tuple[str, bytes]], rng: random.Random | None = None) -> bytes:
    """An archive of the members."""
    buffer = io.BytesIO()
    kind = zipfile.ZIP_STORED if rng is None else rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(buffer, "w", kind) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, inner in members:
            archive.writestr(zipfile.ZipInfo(name), inner, kind)
    return buffer.getvalue()


def deflated_zeros(start: bytes, count: int) -> tuple[bytes, int]:
    """`start` and `count` zeros in raw deflate, made in no time of one block that is repeated; and their number in all."""
    block = 2**24
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = packer.compress(start) + packer.compress(bytes(count % block)) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + zeros * (count // block) + packer.flush(zlib.Z_FINISH), len(start) + count


def members_of(content: bytes) -> list[tuple[str, bytes]]:
    """(name, content) of the members of an archive, which is empty where it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return [(info.filename, archive.read(info)) for info in archive.infolist() if info.file_size < 2**24]
    except Exception:  # an earlier step left no archive
        return []


# === Pictures ===


def png_size(content: bytes, rng: random.Random) -> bytes:
    """A PNG whose header tells of other sides, with as many zeros as it needs and right checksums."""
    if not content.startswith(b"\x89PNG") or len(content) < 33:
        return content
    width, height = rng.choice(
        ((32_000, 32_000), (20_000, 20_000), (40_000, 20), (20, 40_000), (1, 1), (70_000, 1), (2**31 - 1, 1))
    )
    kind = content[24:29]
    row = 1 + (width * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(kind[1], 1) * kind[0] + 7) // 8
    raw, size = deflated_zeros(b"", min(row * height, 2**32))
    data = b"\x78\x01" + raw + struct.pack(">I", size % 65_521 << 16 | 1)  # the Adler-32 of zeros
    return content[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + kind) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(name: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


# === Configurations of Keras ===

# What Keras calls with arguments of the file's choosing, or did once. `graph` is a SavedModel beside the file that writes CANARY.
WRITE = base64.b64encode(marshal.dumps(compile("open('CANARY', 'w')", "harm", "eval"))).decode()
# A function, the arguments that it gets by name, and the one that it gets before them.
CALLED = (
    (("keras.layers", "TFSMLayer"), {"call_endpoint": "serving_default"}, "graph"),
    (("keras.layers", "TFSMLayer"), {"call_endpoint": "serve"}, "graph"),
    (("keras.utils", "get_file"), {"origin": "file:graph/saved_model.pb", "cache_dir": "."}, "CANARY"),
    (("keras.config", "set_floatx"), {}, "float16"),
    (("keras.saving", "load_model"), {"safe_mode": False}, "m.keras"),
    (("builtins", "exec"), {}, "open('CANARY', 'w')"),
    (("builtins", "open"), {"mode": "w"}, "CANARY"),
    (("os", "system"), {}, "touch CANARY"),
    (("numpy", "save"), {"arr": [1]}, "CANARY"),
    ((None, "__lambda__"), {}, None),
)
MADE = (
    ("subprocess", "Popen", {"args": ["touch", "CANARY"]}),
    ("os", "system", {"command": "touch CANARY"}),
    ("keras.layers", "TFSMLayer", {"filepath": "graph", "call_endpoint": "serving_default", "name": "harm"}),
    ("keras.layers", "StringLookup", {"vocabulary": "/etc/hostname", "name": "harm"}),
    ("keras.saving", "KerasFileEditor", {"filepath": "m.keras"}),
    ("keras.callbacks", "CSVLogger", {"filename": "CANARY"}),
    ("pathlib", "Path", {"args": "CANARY"}),
)


def named_function(module: str | None, name: str) -> dict:
    """A function as Keras writes it into a configuration."""
    if module is None:
        return {"class_name": "__lambda__", "config": {"code": WRITE, "defaults": None, "closure": None}}
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


def keras_harm(content: bytes, rng: random.Random) -> bytes:
    """An object of a model's configuration becomes one that makes Keras call something with given arguments."""
    members = dict(members_of(content))
    try:
        root = [json.loads(members["config.json"])]
    except (KeyError, ValueError, RecursionError):
        return content
    objects = [(parent, key) for parent, key in places_in(root) if isinstance(parent[key], dict) and "class_name" in parent[key]]
    if not objects:
        return content  # an earlier mutation has left none
    layers = [(parent, key) for parent, key in objects if parent[key].get("inbound_nodes")]
    if rng.random() < 0.6 and layers:
        parent, key = rng.choice(layers)
        function, arguments, given = rng.choice(CALLED)
        config = {"name": "harm", "function": named_function(*function), "arguments": arguments}
        made = {"module": "keras.layers", "class_name": "Lambda", "registered_name": None, "config": config}
        parent[key] = {**parent[key], **made}
        if given is not None:
            parent[key]["inbound_nodes"] = [{"args": [], "kwargs": {"inputs": given}}]
    elif rng.random() < 0.7:
        parent, key = rng.choice(objects)
        module, name, config = rng.choice(MADE)
        made = {"module": module, "class_name": name, "config": config, "registered_name": rng.choice((None, name))}
        parent[key] = {**parent[key], **made}
    else:
        parent, key = rng.choice(objects)
        parent[key] = named_function(*rng.choice(CALLED)[0])
    members["config.json"] = json.dumps(root[0]).encode()
    return zipped(list(members.items()))
