"""The permanent attack on everything that reads files, see docs/contributing.md: `python tests/fuzz/attack.py --help`."""

import argparse
import contextlib
import importlib
import random
import shutil
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import mutations
import reduction
from faults import KINDS, Unsound
from mutations import Step
from processes import STARTING, Worker

SECONDS, MEMORY = 5.0, 2**30  # of the CPU, and bytes above what was in use, for one input
WAITING = 12  # times the seconds of the CPU pass on the clock before a worker that does nothing is ended
# How often an input is tried while it is reduced: where each try takes seconds, where it takes a good part of one, else.
TRIES = {"slow": 5, "dear": 20, "": 100}
FOLDER = "fuzz-faults"
LISTED = 12  # kinds of faults of one target that the table tells


@dataclass
class Row:
    """What became of the mutations of a target; `skipped` says why there are none."""

    target: str
    mutations: int = 0
    accepted: int = 0
    refused: int = 0
    faults: Counter = field(default_factory=Counter)
    skipped: str = ""


@dataclass(frozen=True)
class Fault:
    """A fault of one kind, the first of its place, with the smallest input that was found for it."""

    target: str
    seed: int
    number: int
    steps: tuple[Step, ...]
    files: Mapping[str, bytes]
    kind: str
    where: str
    text: str


class Attack:
    """Attacks targets, each in a process of its own.

    Args:
        module: the module that holds `TARGETS`, name -> `Target`.
        seconds: of the CPU that one input may take.
        memory: bytes above what was in use that it may take.

    Attributes:
        rows: target -> `Row`.
        found: the faults, one of each kind and place.
    """

    def __init__(self, module: str = "targets", *, seconds: float = SECONDS, memory: int = MEMORY):
        self.module, self.seconds, self.memory = module, seconds, memory
        self.targets = importlib.import_module(module).TARGETS
        self.rows: dict[str, Row] = {}
        self.found: list[Fault] = []
        self._sound: dict[str, dict[str, bytes]] = {}
        self._known: set[tuple[str, str, str]] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> "Attack":
        self.folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        (self.folder / "models").mkdir()
        self._workers: list[Worker] = []
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers:
            worker.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, names: Sequence[str], count: int, *, seed: int = 0, first: int = 0, workers: int = 1) -> None:
        """Makes `count` mutations of each target, of dear ones their share, and at least one."""
        self.prepare(names)
        items = self._items(names, count, seed, first)
        while len(self._workers) < workers:
            self._workers.append(Worker(self.module, self.folder / "models"))
        threads = [threading.Thread(target=self._work, args=(worker, items), daemon=True) for worker in self._workers[1:workers]]
        for thread in threads:
            thread.start()
        self._work(self._workers[0], items)
        for thread in threads:
            thread.join()

    def _items(self, names, count, seed, first) -> Iterator[tuple[str, int, int]]:
        for name in names:
            if not self.rows[name].skipped:
                for number in range(first, first + max(1, round(count * self.targets[name].share))):
                    yield name, seed, number

    def prepare(self, names: Sequence[str]) -> None:
        """Makes the sound inputs, by one process that ends then, since TensorFlow has a part in some."""
        maker = Worker(self.module, self.folder / "models")
        for name in names:
            if name in self.rows:
                continue
            self.rows[name] = row = Row(name)
            missing = [module for module in self.targets[name].needs if not installed(module)]
            if missing:
                row.skipped = f"{', '.join(missing)} is not installed"
                continue
            root = self.folder / "made"
            root.mkdir()
            answer = maker.ask({"do": "make", "target": name, "root": str(root)}, wait=STARTING)
            if answer["state"] != "accepted":
                raise RuntimeError(f"{name}: the sound input cannot be made: {answer['text']}")
            self._sound[name] = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
            shutil.rmtree(root)
        maker.stop()

    def _work(self, worker, items):
        while True:
            with self._lock:
                item = next(items, None)
            if item is None:
                return
            self._one(worker, *item)

    def _one(self, worker, name, seed, number):
        row = self.rows[name]
        if row.faults["sound"]:
            return
        steps = self.steps(name, seed, number)
        try:
            answer = self.answer(worker, name, mutations.apply(self._sound[name], steps), steps)
        except Unsound as error:
            row.faults["sound"] += 1
            self.found.append(Fault(name, seed, number, (), self._sound[name], "sound", "", str(error)))
            return
        with self._lock:
            row.mutations += 1
            if answer["state"] != "fault":
                setattr(row, answer["state"], getattr(row, answer["state"]) + 1)
                return
            kind, place = answer["kind"], answer["where"]
            row.faults[f"{kind} {place}".strip()] += 1
            if (name, kind, place) in self._known:
                return
            self._known.add((name, kind, place))

        def same(steps: Sequence[Step], files: Mapping[str, bytes]) -> bool:
            again = self.answer(worker, name, files, steps)
            return again.get("kind") == kind and again.get("where") == place

        tries = TRIES["slow" if kind in ("time", "memory") else "dear" if self.targets[name].share < 0.5 else ""]
        steps, files = reduction.reduce(self._sound[name], steps, same, tries=tries)
        with self._lock:
            self.found.append(Fault(name, seed, number, tuple(steps), files, kind, place, answer["text"]))

    def steps(self, name: str, seed: int, number: int) -> list[Step]:
        """The mutations of an item; they depend on nothing else than target, seed and number."""
        return mutations.plan(self._sound[name], random.Random(f"{name} {seed} {number}"), self.targets[name].mutators)

    def answer(self, worker: Worker, name: str, files: Mapping[str, bytes], steps: Sequence[Step]) -> dict:
        """What a worker says of an input; a worker that sees a target for the first time reads its sound input before."""
        if name not in worker.prepared:
            sound = self._ask(worker, name, self._sound[name], list(self._sound[name]), 10 * self.seconds)
            if sound["state"] != self.targets[name].sound:
                raise Unsound(f"the sound input is {sound['state']}: {sound.get('text')}")
            worker.prepared.add(name)
        return self._ask(worker, name, files, sorted({step.file for step in steps}), self.seconds)

    def _ask(self, worker, name, files, names, seconds):
        with placed(files, self.folder) as root:
            order = {"do": "call", "target": name, "root": str(root), "names": names, "seconds": seconds, "memory": self.memory}
            return worker.ask(order, wait=WAITING * seconds + (0 if name in worker.prepared else STARTING))


@contextlib.contextmanager
def placed(files: Mapping[str, bytes], folder: Path) -> Iterator[Path]:
    """A new folder that holds the files, for as long as it is needed."""
    root = Path(tempfile.mkdtemp(prefix="input-", dir=folder))
    try:
        write(files, root)
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def write(files: Mapping[str, bytes], root: Path) -> None:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)


def installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


# === What is told ===


def table(rows: Sequence[Row]) -> str:
    """One line for each target, and the kinds and places of its faults below."""
    head = ("target", "mutations", "accepted", "refused", "faults")
    lines = [f"{head[0]:22}" + "".join(f"{word:>11}" for word in head[1:])]
    for row in rows:
        numbers = (row.mutations, row.accepted, row.refused, row.faults.total())
        lines.append(f"{row.target:22}" + (f"  skipped: {row.skipped}" if row.skipped else "".join(f"{n:11,}" for n in numbers)))
        lines += [f"    {number:6,} x {what}" for what, number in row.faults.most_common(LISTED)]
    counted = [(row.mutations, row.accepted, row.refused, row.faults.total()) for row in rows]
    totals = [sum(column) for column in zip(*counted, strict=True)] if rows else [0] * 4
    return "\n".join([*lines, f"{'all':22}" + "".join(f"{number:11,}" for number in totals)])


def write_fault(fault: Fault, folder: Path) -> Path:
    """A folder of the input, and WHAT.txt beside it that says what happens and how to see it."""
    root = folder / f"{fault.target}-{fault.kind}-{fault.seed}-{fault.number}"
    shutil.rmtree(root, ignore_errors=True)
    write(fault.files, root / "input")
    again = f"python tests/fuzz/attack.py --target {fault.target} --seed {fault.seed} --first {fault.number} --count 1"
    lines = (
        f"{fault.kind}: {KINDS.get(fault.kind, '')}. {fault.text}",
        f"where: {fault.where}",
        f"mutations: {', '.join(map(str, fault.steps))}",
        f"the whole input again: {again}",
    )
    (root / "WHAT.txt").write_text("\n".join(lines) + "\n", encoding="utf-8", errors="backslashreplace")
    return root


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Mutates small sound inputs of every reader and counts what goes wrong.")
    parser.add_argument("--count", type=int, default=1000, metavar="N", help="mutations of each target (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the mutations (default %(default)s)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first mutation (default %(default)s)")
    parser.add_argument("--target", action="append", metavar="NAME", help="only this one, or those that begin so; repeatable")
    parser.add_argument("--workers", type=int, default=2, help="processes at a time (default %(default)s)")
    parser.add_argument("--out", type=Path, default=Path(FOLDER), metavar="DIR", help="of the faults (default %(default)s)")
    arguments = parser.parse_args(argv)
    with Attack() as attack:
        prefixes = tuple(arguments.target or [""])
        names = [name for name in attack.targets if name in prefixes] if arguments.target else list(attack.targets)
        names = names or [name for name in attack.targets if name.startswith(prefixes)]
        if not names:
            parser.error(f"no such target; there are {', '.join(attack.targets)}")
        attack.prepare(names)
        with contextlib.suppress(KeyboardInterrupt):  # what was found until then is told
            for name in names:
                attack.run([name], arguments.count, seed=arguments.seed, first=arguments.first, workers=arguments.workers)
                print(table([attack.rows[name]]).splitlines()[1], file=sys.stderr)
        print(table(list(attack.rows.values())))
        for fault in attack.found:
            print(f"{fault.kind} in {fault.target}: {write_fault(fault, arguments.out)}: {fault.text[:200]!r}")
        return 1 if attack.found else 0


if __name__ == "__main__":
    sys.exit(main())
