"""Greedy reduction of an input that shows a fault, while it shows the same one."""

from collections.abc import Callable, Mapping, Sequence

from mutations import Step, apply

SMALL = 2**16  # bytes of a file that is cut piece by piece

Same = Callable[[Sequence[Step], Mapping[str, bytes]], bool]


class Spent(Exception):
    """No tries are left."""


def reduce(
    sound: Mapping[str, bytes], steps: Sequence[Step], same: Same, *, tries: int = 100
) -> tuple[list[Step], dict[str, bytes]]:
    """Fewer steps, then less of the files.

    Args:
        sound: the sound input. steps: what was done to it.
        same: whether an input shows the same fault.
        tries: how often an input may be tried.

    Returns:
        The steps that are needed, and the files that they and further cuts make.
    """
    left = tries

    def shows(files: Mapping[str, bytes]) -> bool:
        nonlocal left
        left -= 1
        if left < 0:
            raise Spent
        return same(steps, files)

    steps, files = list(steps), apply(sound, steps)
    try:
        if not shows(files):
            return steps, files  # it shows itself only after other inputs
        for step in list(steps) if len(steps) > 1 else ():
            fewer = [other for other in steps if other is not step]
            if fewer and shows(apply(sound, fewer)):
                steps, files = fewer, apply(sound, fewer)
        for path in [path for path in files if files[path] != sound.get(path)]:
            for smaller in (undone, cut):
                for better in smaller(path, files, sound, shows):
                    files = better
        for path in [path for path in files if files[path] == sound.get(path)]:
            fewer = {name: content for name, content in files.items() if name != path}
            if fewer and shows(fewer):
                files = fewer
    except Spent:
        pass
    return steps, files


def undone(path, files, sound, shows):
    """Yields inputs in which more and more bytes of a changed file are the sound ones again."""
    new, old = files[path], sound.get(path, b"")
    if len(new) != len(old):
        return
    places = [place for place in range(len(new)) if new[place] != old[place]]
    if len(places) > 64:
        return
    for place in places:
        tried = new[:place] + old[place : place + 1] + new[place + 1 :]
        if shows({**files, path: tried}):
            new = tried
            yield {**files, path: new}


def cut(path, files, sound, shows):
    """Yields inputs in which a changed file is shorter and shorter; first halves are tried, then ever smaller pieces."""
    content = files[path]
    if len(content) > SMALL:
        return
    size = len(content) // 2
    while size:
        place, before = 0, len(content)
        while place < len(content):
            tried = content[:place] + content[place + size :]
            if shows({**files, path: tried}):
                content = tried
                yield {**files, path: content}
            else:
                place += size
        if size == 1 and len(content) == before:
            return
        size = max(1, size // 2) if len(content) == before or size > 1 else size
