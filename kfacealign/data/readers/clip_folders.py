"""Readers of clips whose frames are images with `.pts` files beside them: any folders of frames, and the clips of YouTube Faces.

    root/VIDEO/FRAME.jpg and FRAME.pts                       `frame_folders`
    root/{train,test}/PERSON_CF.jpg and PERSON_CF.pts        `ytf68_clips`

Convention of the files: 1-based, see `kfacealign.data.readers.pts`. The catalogue has no entry for them, because it is about
single faces.
"""

import os
import warnings
from collections.abc import Sequence

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips, ClipsDataset
from kfacealign.data.readers.pts import NAMED, read_folder
from kfacealign.data.readers.video_files import check_every, clips_dataset, number


def frame_folders(
    root: str | os.PathLike, *, scheme: str | schemes.Scheme = "ibug68", every: int = 1, missing: Sequence = ()
) -> Clips:
    """Reads folders of frames: each folder below `root` that holds images with `.pts` files beside them is a video.

    `kfacealign.data.write_clips` writes such folders.

    Args:
        root: the folder that holds the folders of the videos.
        scheme: scheme of the points, a name or a `Scheme`.
        every: 2 takes every second frame, and so on.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `Clips` named by their folders. Frames are in the order of their names; the last number in a name is the number of the
        frame. Images without `.pts` and `.pts` without image are warned of.

    Raises:
        FileNotFoundError: there is no image with a `.pts` beside it.
        ValueError: a `.pts` is malformed.
    """
    check_every(every)
    faces = read_folder(os.fspath(root), schemes.get(scheme), missing=missing)
    videos = {}
    for position, name in enumerate(faces.names):
        videos.setdefault(os.path.dirname(name) or ".", []).append(position)
    indices = [sorted(clip, key=lambda i: video_frames.natural(faces.names[i])) for clip in videos.values()]
    indices = [clip[::every] for clip in indices]
    numbers = [[number(faces.names[i], place) for place, i in enumerate(clip)] for clip in indices]
    return Clips(faces, indices, names=list(videos), numbers=numbers)


def ytf68_clips(root: str | os.PathLike) -> ClipsDataset:
    """Reads the three-frame clips of YouTube Faces in `root/train` and `root/test`: images `PERSON_CF` with `.pts` files.

    F, the last digit, is the frame (0, 1, 2) and C the clip of that person.

    Args:
        root: the folder that holds `train` and `test`.

    Returns:
        `ClipsDataset` in `ibug68` with clips named `PERSON_C`. Clips without all three frames are warned of and left out.

    Raises:
        FileNotFoundError: there are no such files.
        ValueError: a `.pts` is malformed.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    parts = []
    for part in ("train", "test"):
        folder = os.path.join(root, part)
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"{folder} is no directory. Expected train and test with images PERSON_CF.jpg and .pts files")
        faces = read_folder(folder, scheme)
        clips = {}
        for position, name in enumerate(faces.names):
            clips.setdefault(name[:-1], {})[name[-1]] = position
        whole = {name: [clip[frame] for frame in "012"] for name, clip in clips.items() if set(clip) == set("012")}
        if len(whole) < len(clips):
            others = [name for name in clips if name not in whole]
            shown = ", ".join(others[:NAMED]) + (", ..." if len(others) > NAMED else "")
            warnings.warn(f"{folder}: {len(others)} clips without frames 0, 1 and 2, left out: {shown}", stacklevel=2)
        parts.append(Clips(faces, list(whole.values()), names=list(whole)))
    return clips_dataset("ytf68", *parts)
