"""Reader of 300VW (Shen et al., ICCV Workshops 2015): videos with the 68 points of every frame.

    root/ID/vid.avi
    root/ID/annot/000001.pts ...

Convention of the files: 1-based, see `kfacealign.data.readers.pts`. No frame is decoded.
"""

import functools
import os
import warnings
from collections.abc import Sequence

import numpy as np
from rich.progress import track

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips, ClipsDataset
from kfacealign.data.faces import Faces
from kfacealign.data.readers import texts
from kfacealign.data.readers.entry import Entry
from kfacealign.data.readers.missing import known
from kfacealign.data.readers.pts import read_pts
from kfacealign.data.readers.video_files import check_every, clips_dataset, pts_files, single_frames, subfolders

# The videos of 300VW's test set, named by the numbers of their folders (300VW_Dataset_2015_12_14). All others are for training.
TEST_300VW = {
    "category_1": (
        *(114, 124, 125, 126, 150, 158, 401, 402, *range(505, 512), 514, 515, *range(518, 523), 524, 525),
        *(537, 538, 540, 541, 546, 547, 548),
    ),
    "category_2": (203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553),
    "category_3": (410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562),
}


def w300vw(root: str | os.PathLike, *, every: int = 1, progress: bool = True, missing: Sequence = ()) -> ClipsDataset:
    """Reads 300VW (Shen et al., ICCV Workshops 2015): folders `ID/vid.avi` with `ID/annot/000001.pts` and so on.

    The number of its folder decides which test category a video is in: well lit (1, 31 videos), mild conditions (2, 19) or
    challenging (3, 14). The other 50 videos of the full dataset are for training.

    Args:
        root: the folder that holds the folders of the videos.
        every: 2 takes frames 1, 3, 5 ..., and so on.
        progress: whether a progress bar is shown.
        missing: marks of points that are not annotated, in the coordinates of the files, such as `[(-1, -1)]`.

    Returns:
        `ClipsDataset` in `ibug68`, whose subsets "category_1" to "category_3" are positions of videos in `test`. A part
        without videos is empty. Where a video has more or fewer frames than annotations, the frames that have both are read.
        Warnings tell of such videos, of videos that cannot be opened and of missing test videos.

    Raises:
        FileNotFoundError: there is no video, or none can be read.
        ValueError: a `.pts` is malformed, or `every` is not positive.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    check_every(every)
    folders = sorted(subfolders(root), key=video_frames.natural)
    folders = [name for name in folders if os.path.isdir(os.path.join(root, name, "annot"))]
    if not folders:
        raise FileNotFoundError(
            f"{root} holds no video of 300VW. Expected folders such as 001 with vid.avi and annot/000001.pts in each, as "
            "the archive of the dataset unpacks (300VW_Dataset_2015_12_14)"
        )
    found = {}
    for name in track(folders, "reading annotations", disable=not progress or len(folders) < 5):
        video = _read_video(os.path.join(root, name), scheme, every)
        if video is not None:
            found[name] = video
    if not found:
        raise FileNotFoundError(f"{root}: none of its {len(folders)} videos can be read")
    test, subsets = [], {}
    for category, numbers in TEST_300VW.items():
        members = [name for name in found if texts.whole(name) in numbers]
        subsets[category] = np.arange(len(test), len(test) + len(members))
        test += members
    expected = sum(map(len, TEST_300VW.values()))
    if test and len(test) < expected:
        warnings.warn(f"{root}: {len(test)} of 300VW's {expected} test videos are here", stacklevel=2)
    train = [name for name in found if name not in test]
    parts = [_clips(scheme, {name: found[name] for name in names}, missing) for names in (train, test)]
    return clips_dataset("300vw", *parts, subsets=subsets)


def _read_video(folder, scheme, every):
    """The frame references, numbers, landmarks and origins of one video, or None if there is nothing to read."""
    video, annotations = os.path.join(folder, "vid.avi"), os.path.join(folder, "annot")
    numbered = {name: texts.whole(name[:-4]) for name in pts_files(annotations)}
    files = {number: os.path.join(annotations, name) for name, number in numbered.items() if number is not None}
    numbers = sorted(files)
    try:
        count = video_frames.VideoReader(video).count
    except OSError as error:
        warnings.warn(f"{video}: {error.strerror}; the video is left out", stacklevel=3)
        return None
    used = [number for number in numbers if 1 <= number <= count] if count else numbers
    # The numbers are sorted and none is twice; a damaged file may announce any count, too many to be listed.
    if count and (len(numbers), numbers[:1], numbers[-1:]) != (count, [1], [count]):
        span = f" ({numbers[0]} to {numbers[-1]})" if numbers else ""
        warnings.warn(
            f"{video} has {count} frames, {annotations} has {len(numbers)} annotations{span}: "
            f"the {len(used)} frames that have both are read",
            stacklevel=3,
        )
    used = [number for number in used if (number - 1) % every == 0]
    if not used:
        return None
    paths = [files[number] for number in used]
    landmarks = np.stack([read_pts(path, num_points=scheme.num_points) for path in paths])
    return [video_frames.reference(video, number) for number in used], used, landmarks, paths


def _clips(scheme, videos, missing):
    """`Clips` of videos, a dict of name -> what `_read_video` gives."""
    images, origins, indices = [], [], []
    for references, _, _, paths in videos.values():
        indices.append(np.arange(len(images), len(images) + len(references)))
        images += references
        origins += paths
    landmarks = [video[2] for video in videos.values()]
    landmarks = np.concatenate(landmarks) if landmarks else np.zeros((0, scheme.num_points, 2))
    landmarks, weights = known(landmarks, missing=missing, offset=-0.5, origins=origins)
    faces = Faces(scheme, images, landmarks, weights=weights, origins=origins)
    return Clips(faces, indices, names=list(videos), numbers=[video[1] for video in videos.values()])


ENTRIES = (
    Entry(
        name="300vw",
        title="300VW",
        reader=functools.partial(single_frames, functools.partial(w300vw, every=5)),
        scheme="ibug68",
        counts={},
        normalizer="inter_ocular",
        crops="PIPNet: detected box + 10 %; 1D heatmaps: given box",
        protocol="50 videos to train, 31, 19 and 14 to test in three categories; here every 5th frame as single faces",
        layout="ID/vid.avi ID/annot/000001.pts",
        source="300VW comes from iBUG, Imperial College London, on request: 300VW_Dataset_2015_12_14, unpacked here.",
    ),
)
