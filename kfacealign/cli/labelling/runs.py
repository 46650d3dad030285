"""A run: what it is, its plan, what is left of it, and its end."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable
from typing import Any

from kfacealign.cli.labelling import shards
from kfacealign.cli.labelling.results import Target
from kfacealign.cli.labelling.units import Unit
from kfacealign.console import shown
from kfacealign.files import LOCK, read_bytes, remove, replacing, sweep
from kfacealign.version import __version__

RUN, PLAN = "_run.json", "_plan.jsonl"
LARGEST = 2**24  # bytes of RUN
OVERWRITE = "--overwrite begins anew"
COORDINATES = "image coordinates: (x, y) in pixels of the upright picture, the centre of the first pixel at (0.5, 0.5)"


def description_of(settings: dict[str, Any], inputs: list[str], scheme: Any) -> dict[str, Any]:
    """What the files say of a run.

    Args:
        settings: what its rows depend on, besides the pictures.
        inputs: the words that name the pictures.
        scheme: of the landmarks.
    """
    identity = json.dumps([settings, inputs], sort_keys=True).encode()
    return {
        "made_by": f"kfacealign label {__version__}",
        "run": hashlib.sha256(identity).hexdigest(),
        "settings": settings,
        "scheme": scheme.name,
        "point_names": list(scheme.point_names),
        "coordinates": COORDINATES,
    }


@dataclasses.dataclass(frozen=True)
class Run:
    """A run that was planned.

    Attributes:
        target: where its rows go.
        description: what `description_of` returned.
        units: the plan.
        base: folder from which the paths of the plan are meant.
    """

    target: Target
    description: dict[str, Any]
    units: list[Unit]
    base: str

    def jobs(self) -> list[dict[str, Any]]:
        """The units that are not complete, as `Worker.label` takes them."""
        done = shards.complete(self.target.folder)
        left = [number for number in range(len(self.units)) if number not in done]
        return [{"unit": dataclasses.asdict(self.units[number]), "number": number, "base": self.base} for number in left]

    def finish(self) -> Any:
        """Hands the rows over, and deletes what only the run needed; returns what `Target.hand_over` returns."""
        counts = self.target.hand_over(len(self.units), self.description)
        if self.target.kind != "folder":
            remove(self.target.folder)
        return counts


def done_before(target: Target, description: dict[str, Any], *, overwrite: bool) -> bool:
    """Whether the file is there, written by this very run.

    Raises:
        ValueError: it is another's, and not to be replaced.
    """
    found = target.run()
    if found is None or overwrite:
        return False
    if found != description["run"]:
        whose = "was written by another run of kfacealign label" if found else "is none of kfacealign label"
        raise ValueError(f"{shown(target.path)} exists and {whose}; {OVERWRITE} and replaces it")
    remove(target.folder)
    return True


def begun(target: Target, description: dict[str, Any], *, overwrite: bool) -> Run | None:
    """The run that was begun in the folder; None where there is none. Leftovers of killed processes are swept away.

    Raises:
        ValueError: something else is in the folder, or a run of other settings or inputs.
    """
    folder = target.folder
    sweep(folder, shards.PATTERNS)
    own = {path for path in folder.iterdir() if any(path.match(pattern) for pattern in shards.PATTERNS)}
    others = sorted(path.name for path in folder.iterdir() if path not in own and path.name != LOCK)
    if others:
        raise ValueError(f"{shown(folder)} has other files, such as {shown(others[0])}; give another --out")
    file = folder / RUN
    if overwrite or not file.exists():
        if own and not overwrite and any(shards.SHARD.fullmatch(path.name) for path in own):
            raise ValueError(f"{shown(folder)} has shards, but no {RUN}; {OVERWRITE}")
        for path in sorted(own, key=lambda path: path.name != RUN):  # without the first the rest is nothing
            remove(path)
        return None
    try:
        content = json.loads(read_bytes(file, limit=LARGEST))
        before, base = content["description"], content["base"]
        if before["run"] != description["run"]:
            now = description["settings"]
            changed = [name for name in now if now[name] != before["settings"].get(name)] or ["inputs"]
            raise ValueError(f"{shown(folder)} has a run of other {', '.join(changed)}; give another --out, or {OVERWRITE}")
        with open(folder / PLAN, encoding="ascii") as plan:
            units = [Unit(**json.loads(line)) for line in plan]
    except (KeyError, TypeError, AttributeError, json.JSONDecodeError) as error:
        raise ValueError(f"{shown(file)} or {PLAN} beside it is damaged ({error}); {OVERWRITE}") from None
    return Run(target, before, units, base)


def begin(target: Target, description: dict[str, Any], units: Iterable[Unit]) -> Run:
    """Writes down what is to be done; the file `RUN` comes last.

    Raises:
        OSError: it cannot be written.
    """
    planned, base = list(units), os.getcwd()
    with replacing(target.folder / PLAN) as temporary, open(temporary, "w", encoding="ascii", newline="\n") as file:
        file.writelines(json.dumps(dataclasses.asdict(unit)) + "\n" for unit in planned)
    with replacing(target.folder / RUN) as temporary:
        temporary.write_text(json.dumps({"description": description, "base": base}, indent=1), encoding="ascii")
    return Run(target, description, planned, base)


def settings_of_workers(run: Run, *, model: str, detector: str, overlays: str | None) -> dict[str, Any]:
    """What `kfacealign.cli.labelling.child.Labeller` takes.

    Args:
        run: the run.
        model: path of the model.
        detector: name of the detector, or the path of its file.
        overlays: folder for pictures with landmarks, or None.
    """
    return {
        **run.description["settings"],
        "model": os.path.abspath(model),
        "detector": os.path.abspath(detector) if os.path.exists(detector) else detector,
        "folder": os.path.abspath(run.target.folder),
        "overlays": None if overlays is None else os.path.abspath(overlays),
        "description": run.description,
    }
