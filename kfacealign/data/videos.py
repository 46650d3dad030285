"""Readers of annotated videos: 300VW, Talking Face, folders of frames, and the clips of YouTube Faces.

All return `Clips`, one for each video, whose frames are `Faces`; no frame is decoded. Points are read from `.pts` files
(1-based, see `kfacealign.data.pts`).
"""

import os
import re
import warnings

import numpy as np
from rich.progress import track

from kfacealign import schemes
from kfacealign.data import frames as video_frames
from kfacealign.data.clips import Clips, ClipsDataset
from kfacealign.data.faces import Faces
from kfacealign.data.pts import NAMED, read_folder, read_pts

# The videos of 300VW's test set, by the numbers of their folders (300VW_Dataset_2015_12_14); all others are for training.
TEST_300VW = {
    "category_1": (114, 124, 125, 126, 150, 158, 401, 402, 505, 506, 507, 508, 509, 510, 511, 514)
    + (515, 518, 519, 520, 521, 522, 524, 525, 537, 538, 540, 541, 546, 547, 548),
    "category_2": (203, 208, 211, 212, 213, 214, 218, 224, 403, 404, 405, 406, 407, 408, 409, 412, 550, 551, 553),
    "category_3": (410, 411, 516, 517, 526, 528, 529, 530, 531, 533, 557, 558, 559, 562),
}
MISFIT = 0.3  # of the size of a face: more than any expression bends it, less than points in another order do


def w300vw(root, every=1, progress=True):
    """Reads 300VW (Shen et al., ICCV Workshops 2015): folders `ID/vid.avi` with `ID/annot/000001.pts` and so on.

    A video's test category is that of its folder's number: well lit (1, 31 videos), mild conditions (2, 19) and
    challenging (3, 14). The other 50 videos of the full dataset are for training.

    Args:
        root: the folder that holds the videos' folders.
        every: 2 takes frames 1, 3, 5 ..., and so on.
        progress: whether a progress bar is shown.

    Returns:
        `ClipsDataset` in `ibug68`, whose subsets "category_1" to "category_3" are positions of videos in `test`. A part
        without videos is empty. Of a video with more or fewer frames than annotations, those with both are read; this,
        videos that cannot be opened, and test videos that are missing are warned of.

    Raises:
        FileNotFoundError: there is no such video. ValueError: a malformed `.pts`, or `every` is not positive.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    _check_every(every)
    folders = sorted(_subfolders(root), key=video_frames.natural)
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
        members = [name for name in found if name.isdecimal() and int(name) in numbers]
        subsets[category] = np.arange(len(test), len(test) + len(members))
        test += members
    expected = sum(map(len, TEST_300VW.values()))
    if test and len(test) < expected:
        warnings.warn(f"{root}: {len(test)} of 300VW's {expected} test videos are here", stacklevel=2)
    train = [name for name in found if name not in test]
    parts = [_clips(scheme, {name: found[name] for name in names}) for names in (train, test)]
    return _dataset("300vw", scheme, *parts, subsets)


def talking_face(root, order=None, every=1):
    """Reads the Talking Face video (FGNET): `franck_00000.jpg` ... with a `.pts` of 68 points for each.

    The published points are 68 as well, but not those of `ibug68` (they include pupils, for one), and this package has
    no mapping that it could check. So files are taken as they are only if their points are in the order of iBUG, as in
    re-annotations; points of another order are noticed by the shape they make and refused. For these, `order` says
    which of the file's points each iBUG point is, -1 for those it lacks; the paper compares seven common points (corners
    of the eyes and of the mouth, tip of the nose).

    Args:
        root: a folder with images and `.pts` files of the same names, anywhere below it.
        order: 68 positions in the file or -1, by the point in `ibug68`; None takes the points as they are.
        every: 2 takes every second frame, and so on.

    Returns:
        `Clips` of one video in `ibug68`; points that `order` lacks have weight 0.

    Raises:
        FileNotFoundError: there are no such files. ValueError: a malformed file, an `order` that is none, or points
        that are not in the order of `ibug68`.
    """
    root, scheme = os.fspath(root), schemes.get("ibug68")
    _check_every(every)
    order = np.arange(scheme.num_points) if order is None else np.asarray(order)
    if order.shape != (scheme.num_points,) or order.dtype.kind not in "iu" or order.min() < -1 or order.max() < 0:
        raise ValueError(f"order needs {scheme.num_points} positions in the file or -1, got {order.tolist()}")
    images, points = _by_stem(root, video_frames.image_files), _by_stem(root, _pts_files)
    both = sorted(images.keys() & points.keys(), key=video_frames.natural)
    if not both:
        raise FileNotFoundError(
            f"{root} holds no image with a .pts of its name ({len(images)} images, {len(points)} .pts files). Expected the "
            "Talking Face video: franck_00000.jpg and franck_00000.pts, and so on"
        )
    _warn_of_others(root, len(images), len(points), len(both))
    both = both[::every]
    landmarks = np.stack([_reordered(points[stem], order) for stem in both])
    weights = np.repeat((order >= 0).astype("float32")[None], len(both), axis=0)
    faces = Faces(scheme, [images[stem] for stem in both], landmarks, weights, names=both, origins=[points[s] for s in both])
    _check_order(root, faces)
    numbers = [_number(stem, place) for place, stem in enumerate(both)]
    return Clips(faces, [np.arange(len(faces))], ["talking_face"], [numbers])


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
    _check_every(every)
    faces = read_folder(os.fspath(root), schemes.get(scheme))
    videos = {}
    for position, name in enumerate(faces.names):
        videos.setdefault(os.path.dirname(name) or ".", []).append(position)
    indices = [sorted(clip, key=lambda i: video_frames.natural(faces.names[i])) for clip in videos.values()]
    indices = [clip[::every] for clip in indices]
    numbers = [[_number(faces.names[i], place) for place, i in enumerate(clip)] for clip in indices]
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
    return _dataset("ytf68", scheme, *parts, {})


# === 300VW ===


def _read_video(folder, scheme, every):
    """(frame references, numbers, landmarks, origins) of one video, or None if there is nothing to read."""
    video, annotations = os.path.join(folder, "vid.avi"), os.path.join(folder, "annot")
    files = {int(name[:-4]): os.path.join(annotations, name) for name in _pts_files(annotations) if name[:-4].isdecimal()}
    numbers = sorted(files)
    try:
        count = video_frames.VideoReader(video).count
    except OSError as error:
        warnings.warn(f"{video}: {error.strerror}; the video is left out", stacklevel=3)
        return None
    used = [number for number in numbers if 1 <= number <= count] if count else numbers
    if count and numbers != list(range(1, count + 1)):
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
    landmarks = np.stack([read_pts(path, scheme.num_points) for path in paths])
    return [video_frames.reference(video, number) for number in used], used, landmarks, paths


def _clips(scheme, videos):
    """Name -> what `_read_video` gives, as `Clips`."""
    images, origins, indices = [], [], []
    for references, _, _, paths in videos.values():
        indices.append(np.arange(len(images), len(images) + len(references)))
        images += references
        origins += paths
    landmarks = [video[2] for video in videos.values()]
    landmarks = np.concatenate(landmarks) if landmarks else np.zeros((0, scheme.num_points, 2))
    faces = Faces(scheme, images, landmarks, origins=origins)
    return Clips(faces, indices, list(videos), [video[1] for video in videos.values()])


def _dataset(name, scheme, train, test, subsets):
    return ClipsDataset(name, scheme, train, test, subsets, enlarge=1.25, normalizer=scheme.default_normalizer)


# === Talking Face ===


def _reordered(path, order):
    """The points of a file in the order wanted; where there is none, the mean of the others stands in."""
    points = read_pts(path)
    if len(points) <= order.max():
        raise ValueError(f"{path}: {len(points)} points, expected more than {order.max()}")
    return np.where((order >= 0)[:, None], points[order], points[order[order >= 0]].mean(0))


def _check_order(root, faces):
    """Refuses points whose mean shape is not that of the scheme, whatever the face's place, size and tilt."""
    annotated = faces.weights[0] > 0
    target = faces.scheme.mean_shape[annotated].astype("float64")
    shapes = faces.landmarks[:: max(1, len(faces) // 50), annotated].astype("float64")
    shapes = shapes - shapes.mean(1, keepdims=True)
    shapes /= np.sqrt((shapes**2).sum((1, 2), keepdims=True))
    source, target = shapes.mean(0), target - target.mean(0)
    # The similarity of least squares, as complex numbers: z -> a z.
    source, target = source[:, 0] + 1j * source[:, 1], target[:, 0] + 1j * target[:, 1]
    fitted = source * (np.vdot(source, target) / np.vdot(source, source))
    misfit = np.linalg.norm(fitted - target) / np.linalg.norm(target)
    if misfit > MISFIT:
        raise ValueError(
            f"{root}: the points are not in the order of ibug68: fitted to its mean shape they are {misfit:.2f} of a face off. "
            "The published points of Talking Face have an order of their own; give order="
        )


# === Files ===


def _check_every(every):
    if every < 1:
        raise ValueError(f"every is {every}: it must be positive")


def _subfolders(root):
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    return [entry.name for entry in os.scandir(root) if entry.is_dir()]


def _pts_files(folder):
    return [name for name in os.listdir(folder) if name.lower().endswith(".pts")]


def _by_stem(root, files):
    """Stem -> path of the files that `files(folder)` names in `root` and all folders below it."""
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root} is no directory")
    return {
        os.path.splitext(name)[0]: os.path.join(folder, name) for folder, _, _ in os.walk(root) for name in files(folder)
    }


def _warn_of_others(root, images, points, both):
    if images != both or points != both:
        warnings.warn(f"{root}: {images} images and {points} .pts files: the {both} frames that have both are read", stacklevel=3)


def _number(name, place):
    """The last number in a frame's name, or its place."""
    numbers = re.findall(r"\d+", os.path.basename(name))
    return int(numbers[-1]) if numbers else place
