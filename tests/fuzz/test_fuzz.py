"""The harness sees every kind of fault, its mutations are what they say, and no target has a fault in a few of them."""

import contextlib
import io
import json
import random
import struct
import zipfile
import zlib

import archive_mutations
import attack
import mutations
import numpy as np
import plain_mutations
import pytest
import targets
from mutations import MUTATORS, Step
from reduction import reduce

from kfacealign.data import catalogue

# Mutations of each target here; `make fuzz` makes more, of another seed if it is told one.
COUNT, SEED = 10, 0


def mutated(name, content, seed=0):
    return MUTATORS[name](content, random.Random(seed))


def npz():
    buffer = io.BytesIO()
    np.savez(buffer, landmarks=np.zeros((2, 68, 2)), names=np.array(["a", "b"]))
    return buffer.getvalue()


# === Mutations ===


@pytest.mark.parametrize("name", sorted(MUTATORS))
def test_a_mutation_depends_on_its_seed_alone_and_bears_any_content(name):
    for content in (
        b"",
        b"\n",
        b"x",
        b"1 2\n3 4\n",
        b'{"a": [1, {"b": 2}]}',
        npz(),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        bytes(range(256)),
    ):
        made = [mutated(name, content, seed) for seed in (1, 1)]
        assert made[0] == made[1] and isinstance(made[0], bytes)


def test_a_token_a_point_and_a_line():
    text = b"a.jpg 10.25 20.5\nb.jpg 30.125 40.5\n"
    odd = {word.encode() for word in plain_mutations.ODD}
    for seed in range(40):
        words = mutated("text_token", text, seed).split(b" ")
        changed = [word for word in words if word not in text.split(b" ")]
        assert len(changed) <= 1 and all(any(part in odd for part in word.split(b"\n")) for word in changed)
    assert b"a.jpg 1025 20.5" in {mutated("text_digit", text, seed).splitlines()[0] for seed in range(200)}
    made = {mutated("text_line", text, seed) for seed in range(60)}
    assert {text.splitlines(keepends=True)[1], text * 1, b"b.jpg 30.125 40.5\na.jpg 10.25 20.5\n"} <= made


def test_bytes():
    content = bytes(range(100))
    for seed in range(30):
        flipped = mutated("flip", content, seed)
        assert len(flipped) == 100 and 1 <= sum((a ^ b).bit_count() for a, b in zip(flipped, content, strict=True)) <= 8
        assert content.startswith(mutated("cut", content, seed))
        changed = [place for place in range(100) if mutated("field", content, seed)[place] != content[place]]
        assert changed[-1] - changed[0] < 8
    zeros = {mutated("field", bytes(4), seed) for seed in range(300)}
    assert {value.to_bytes(4, order) for value in (1, 2**31 - 1, 2**32 - 1) for order in ("little", "big")} <= zeros


def test_json():
    content = b'{"a": {"b": 1}, "c": [2, 3]}'
    values = [json.loads(mutated("json_value", content, seed)) for seed in range(200)]
    assert {type(value.get("a")) for value in values if isinstance(value, dict)} >= {
        dict,
        int,
        float,
        str,
        list,
        bool,
        type(None),
    }
    dropped = {mutated("json_drop", content, seed) for seed in range(50)}
    assert {b'{"c": [2, 3]}', b'{"a": {}, "c": [2, 3]}', b'{"a": {"b": 1}, "c": [3]}', b""} <= dropped
    with pytest.raises(RecursionError):
        for seed in range(20):
            with contextlib.suppress(ValueError):
                json.loads(mutated("json_deep", content, seed))


def test_archives_are_written_anew():
    names = set()
    for seed in range(60):
        with zipfile.ZipFile(io.BytesIO(mutated("zip_member", npz(), seed))) as archive:
            assert archive.testzip() is None and archive.namelist() == ["landmarks.npy", "names.npy"]
        with zipfile.ZipFile(io.BytesIO(mutated("zip_list", npz(), seed))) as archive:
            names.add(tuple(archive.namelist()))
    assert {("landmarks.npy",), ("names.npy",)} <= names and len(names) > 4


def test_bombs_hold_what_they_announce(monkeypatch):
    monkeypatch.setattr(archive_mutations, "BOMB", 2**25 + 8)
    bomb = mutated("zip_bomb", npz(), 1)
    assert len(bomb) < 2**17
    with zipfile.ZipFile(io.BytesIO(bomb)) as archive:
        (big,) = [info for info in archive.infolist() if info.file_size > 2**20]
        packed = bomb[big.header_offset + 30 + len(big.filename) :][: big.compress_size]
        array = zlib.decompress(packed, -15)
        assert len(array) == big.file_size
        assert np.lib.format.read_array_header_1_0(io.BytesIO(array[8:]))[0] == (2**25 // 8 + 1,)
    with np.load(io.BytesIO(npz())) as sound:
        assert sound["landmarks"].shape == (2, 68, 2)


def test_a_picture_of_another_size_has_right_checksums():
    header = archive_mutations.chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header
    for seed in range(20):
        made = mutated("png_size", png, seed)
        width, height = struct.unpack(">II", made[16:24])
        place, data = 8, b""
        while place < len(made):
            length = int.from_bytes(made[place : place + 4], "big")
            body = made[place + 4 : place + 8 + length]
            assert zlib.crc32(body) == int.from_bytes(made[place + 8 + length :][:4], "big")
            data += body[4:] if body.startswith(b"IDAT") else b""
            place += length + 12
        if (width, height) == (40_000, 20):
            assert len(zlib.decompress(data)) == 20 * (1 + 3 * 40_000)
            return
    raise AssertionError("no picture of 40,000 x 20")


def test_a_case_is_what_it_is_without_one_of_its_steps():
    files = {"a.txt": b"1 2 3 4 5 6\n" * 9}
    steps = mutations.plan(files, random.Random(0), mutations.suited)
    assert steps == mutations.plan(files, random.Random(0), mutations.suited)
    steps = [Step("cut", "a.txt", 1), Step("text_token", "a.txt", 2)]
    assert mutations.apply(files, steps[1:])["a.txt"] == mutated("text_token", files["a.txt"], 2)


# === Reduction ===


def test_the_smallest_input_is_found():
    sound = {"a.txt": b"one two three\n" * 10, "b.txt": b"b"}
    steps = [Step("text_token", "a.txt", seed) for seed in range(6)]
    word = next(word for word in mutations.apply(sound, steps)["a.txt"].split() if word not in sound["a.txt"])
    kept, files = reduce(sound, steps, lambda steps, files: word in files.get("a.txt", b""))
    assert len(kept) == 1 and files == {"a.txt": word}
    flipped = {"a.bin": bytes(100)}
    tried = lambda steps, files: len(files.get("a.bin", b"")) == 100 and files["a.bin"] != bytes(100)  # noqa: E731
    _, files = reduce(flipped, [Step("run", "a.bin", 3), Step("flip", "a.bin", 4)], tried)
    assert sum(value != 0 for value in files["a.bin"]) == 1


# === Planted faults ===


@pytest.fixture(scope="module")
def planted():
    with attack.Attack("planted", seconds=1, memory=2**27) as found:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(attack, "TRIES", {"slow": 1, "dear": 5, "": 5})
            found.run([name for name in found.targets if name not in ("odd-line", "sleeps")], 1)
            patch.setattr(attack, "WAITING", 2)
            found.run(["sleeps"], 1)
        yield found


@pytest.mark.parametrize(
    ("target", "kind", "where"),
    [
        ("raises", "exception", "KeyError"),
        ("exits", "exception", "SystemExit"),
        ("unnamed", "unnamed", ""),
        ("hangs", "time", ""),
        ("sleeps", "time", ""),
        ("dies", "death", "SIGSEGV"),
        ("eats", "memory", ""),
        ("asks", "memory", ""),
        ("writes", "canary", ""),
        ("nan", "values", ""),
        ("far", "values", ""),
        ("replaces", "replaced", ""),
        ("broken", "sound", ""),
    ],
)
def test_a_planted_fault_is_counted(planted, target, kind, where):
    assert {what.strip(): number for what, number in planted.rows[target].faults.items()} == {f"{kind} {where}".strip(): 1}
    assert [fault.kind for fault in planted.found if fault.target == target] == [kind]


def test_what_is_no_fault(planted):
    rows = planted.rows
    assert not any(rows[name].faults for name in ("sound", "refuses", "absent", "lacking"))
    assert (rows["sound"].accepted, rows["refuses"].refused, rows["absent"].refused) == (1, 1, 1)
    assert rows["lacking"].skipped == "a_module_that_is_nowhere is not installed" and not rows["lacking"].mutations
    text = attack.table(list(rows.values()))
    assert "lacking                 skipped: a_module_that_is_nowhere is not installed" in text
    assert "         1 x death SIGSEGV" in text.splitlines()[text.splitlines().index(row(text, "dies")) + 1]


def row(text, target):
    return next(line for line in text.splitlines() if line.split()[0] == target)


def test_a_fault_is_written_at_its_smallest_and_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(attack.Attack, "__init__", lambda self, init=attack.Attack.__init__: init(self, "planted", seconds=2))
    assert attack.main(["--target", "odd-line", "--count", "150", "--workers", "1", "--out", str(tmp_path)]) == 1
    (folder,) = tmp_path.iterdir()
    assert (folder / "input" / "input.txt").read_bytes() == b"nan"
    told = (folder / "WHAT.txt").read_text()
    assert told.startswith("exception: ") and "KeyError" in told and "--target odd-line --seed 0 --first" in told
    assert str(folder) in capsys.readouterr().out
    assert attack.main(["--target", "sound", "--count", "2", "--workers", "2", "--out", str(tmp_path)]) == 0
    assert row(capsys.readouterr().out, "sound").split() == ["sound", "2", "2", "0", "0"]


# === The code ===


@pytest.fixture(scope="module")
def attacked():
    with attack.Attack() as found:
        found.prepare(list(found.targets))
        yield found


@pytest.mark.parametrize("name", list(targets.TARGETS))
def test_no_fault(attacked, name, tmp_path):
    attacked.run([name], COUNT, seed=SEED)
    if attacked.rows[name].skipped:
        pytest.skip(attacked.rows[name].skipped)
    faults = [fault for fault in attacked.found if fault.target == name]
    told = [f"{attack.write_fault(fault, tmp_path)}: {fault.kind} {fault.where}: {fault.text}" for fault in faults]
    assert attacked.rows[name].mutations and not faults, "\n".join(told)


def test_every_dataset_is_attacked():
    assert {entry.name for entry in catalogue.ENTRIES} <= set(targets.TARGETS)


def test_a_configuration_without_objects_is_left_as_it_is():
    content = archive_mutations.zipped([("config.json", b"{}")])
    assert archive_mutations.keras_harm(content, random.Random(0)) == content
