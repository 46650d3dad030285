"""Readers of clips that are folders of frames with `.pts` files: those of any origin, and the clips of YouTube Faces."""

import os
import warnings

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips
from kfacealign.data.readers.pts import NAMED, read_folder
from kfacealign.data.readers.video_files import check_every, clips_dataset, number


def frame_folders(root, scheme="ibug68", every=1):
    """Reads folders of frames: each folder below `root` that holds images with `.pts` files beside them is a video.

    `kfacealign.data.write_clips` writes such folders.

    Args:
        root: the folder of the videos' folders.
        scheme: of the points, a name or a `Scheme`.
        every: 2 takes every second frame, and so on.

    Returns:
        `Clips` named by their folders. Frames are in the order of their names; the last number in a name is the frame's.
        Images without `.pts` and the reverse are warned of.

    Raises:
        FileNotFoundError: there is none. ValueError: a malformed `.pts`.
    """
    check_every(every)
    faces = read_folder(os.fspath(root), schemes.get(scheme))
    videos = {}
    for position, name in enumerate(faces.names):
        videos.setdefault(os.path.dirname(name) or ".", []).append(position)
    indices = [sorted(clip, key=lambda i: video_frames.natural(faces.names[i])) for clip in videos.values()]
    indices = [clip[::every] for clip in indices]
    numbers = [[number(faces.names[i], place) for place, i in enumerate(clip)] for clip in indices]
    return Clips(faces, indices, list(videos), numbers)


def ytf68_clips(root):
    """Reads the three-frame clips of YouTube Faces in `root/train` and `root/test`: images `PERSON_CF` with `.pts` files.

    F, the last digit, is the frame (0, 1, 2) and C the clip of that person.

    Args:
        root: the folder.

    Returns:
        `ClipsDataset` in `ibug68`, its clips named `PERSON_C`. Clips without all three frames are warned of and left out.

    Raises:
        FileNotFoundError: there are no such files. ValueError: a malformed `.pts`.
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
        parts.append(Clips(faces, list(whole.values()), list(whole)))
    return clips_dataset("ytf68", scheme, *parts, {})
