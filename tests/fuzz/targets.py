"""What is attacked: for each target a small sound input and the call that reads it.

A call gets the folder of the input, which is the current folder as well, and the names of the files that were changed in it. It
returns what it read, whose numbers are then checked, or raises.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import stories
from model_targets import MODELS
from note_targets import NOTES
from reading_targets import IMAGES, READERS
from target import Target, laid, only

LITERT = ("ai_edge_litert",)


def named(call: Callable[[Path, Sequence[str]], None], share: float, *needs: str) -> Target:
    """A command on a photograph whose name is mutated."""
    return Target(make=laid("photograph"), call=call, mutators=only("odd.name"), writes=True, share=share, needs=needs)


STORIES = {
    "name-align": named(stories.align_odd, 0.25, *LITERT),
    "name-check": named(stories.check_odd, 0.25),
    "name-pack": named(stories.pack_odd, 0.1, "h5py"),
    "name-score": named(stories.score_odd, 0.25, "keras"),
    "name-report": named(stories.report_odd, 0.05, "keras", "matplotlib"),
    "results": Target(make=laid("story"), call=stories.play, mutators=only("story.scene"), writes=True, share=0.5, needs=LITERT),
}

TARGETS: dict[str, Target] = {**READERS, **IMAGES, **NOTES, **STORIES, **MODELS}
