"""One small sound input for each target: the smallest copy of each dataset, an image of each format, landmark files.

Only what makes them imports this module, since it imports the readers' tests and Keras with them.
"""

import io
import shutil
import sys
from pathlib import Path

import cv2
import h5py
import numpy as np
import PIL.Image
import scipy.io
from shapes import SHAPE, SHAPES, encoded, picture

from kfacealign.data import converting, packing
from kfacealign.data.faces import Dataset, Faces
from kfacealign.data.readers.pts import write_points

sys.path.insert(0, str(Path(__file__).parents[1] / "data" / "readers"))  # the small copies that the readers' tests write
import test_aflw
import test_cofw
import test_csv_lists
import test_point_files
import test_videos
import test_w300
import test_wflw

COFW = ((15.0, 18, 80, 85),)


def touched(path: Path) -> Path:
    """An empty file; readers look whether a photograph is there and do not open it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def pairs(root: Path, *names: str, shape: np.ndarray = SHAPE) -> None:
    """NAME.jpg, empty, and NAME.pts of each name."""
    for place, name in enumerate(names):
        touched(root / f"{name}.jpg")
        write_points(root / f"{name}.pts", shape + place)


def matlab(path: Path, **content: np.ndarray) -> None:
    """A MATLAB file of version 5 whose header has no date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, content)
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])


# === Datasets ===


def w300(root: Path) -> None:
    test_w300.fill(root, dict.fromkeys(test_w300.FOLDERS, 1))


def w300_private(root: Path) -> None:
    test_w300.fill(root, {"300W/01_Indoor": 1, "300W/02_Outdoor": 1})


def w300lp(root: Path) -> None:
    for folder in ("AFW", "HELEN", "IBUG", "LFPW"):
        touched(root / folder / "face_0.jpg")
        touched(root / f"{folder}_Flip" / "face_0.jpg")
        matlab(root / "landmarks" / folder / "face_0_pts.mat", pts_2d=SHAPE, pts_3d=np.zeros((68, 3)))


def cofw(root: Path) -> None:
    test_cofw.write(root / "COFW_train_color.mat", "Tr", [0])
    test_cofw.write(root / "COFW_test_color.mat", "T", [1])


def cofw_grey(root: Path) -> None:
    test_cofw.write(root / "COFW_train.mat", "Tr", [0], grey=[0])
    test_cofw.write(root / "COFW_test.mat", "T", [1], grey=[1])


def cofw68(root: Path) -> None:
    matlab(root / "test_annotations" / "1_points.mat", Points=SHAPE, Occ=np.zeros((1, 68), "uint8"))
    matlab(root / "cofw68_test_bboxes.mat", bboxes=np.array(COFW))
    with h5py.File(root / "COFW_test_color.mat", "w", userblock_size=512) as file:
        cells = file.create_dataset("IsT", (1, 1), h5py.ref_dtype)
        cells[0, 0] = file.create_dataset("#refs#/0", data=np.zeros((3, 13, 11), "uint8")).ref


def aflw(root: Path) -> None:
    test_aflw.write(root)
    path = root / "AFLWinfo_release.mat"
    path.write_bytes(b"MATLAB 5.0 MAT-file".ljust(116) + path.read_bytes()[116:])


def wflw(root: Path) -> None:
    test_wflw.Copy(root)
    touched(root / "WFLW_images" / "photographs")


def menpo(root: Path) -> None:
    profile = 100 * np.random.default_rng(0).random((39, 2))
    for part in ("train", "test"):
        pairs(root / part / "images", "front")
        pairs(root / part / "images", "side", shape=profile)


def jd106(root: Path) -> None:
    for place, folder in enumerate(("Training_data/AFW", "Training_data/IBUG", "Test_data", "Validation_data")):
        points = test_point_files.POINTS[place]
        test_point_files.pair(root / folder / "picture", root / folder / "landmark", f"face_{place}", points, ".jpg")


def lapa(root: Path) -> None:
    for place, part in enumerate(("train", "val", "test")):
        test_point_files.pair(root / part / "images", root / part / "landmarks", f"{place}_0", test_point_files.POINTS[place])


def celeba(root: Path) -> None:
    lines = ("000001.jpg    95  71 226 313", "000002.jpg  72 94 221 306")
    for line in lines:
        touched(root / "Img" / "img_celeba" / line.split()[0])
    (root / "Anno").mkdir()
    text = "\n".join(["2", "image_id x_1 y_1 width height", *lines])
    (root / "Anno" / "list_bbox_celeba.txt").write_text(text + "\n")


def w300vw(root: Path) -> None:
    for name in ("114", "203", "410", "001"):
        test_videos.write_video(root / name / "vid.avi", count=6)
        test_videos.annotate(root / name / "annot", range(1, 7))


def talking_face(root: Path) -> None:
    pairs(root, "franck_00000", "franck_00001")


def csv_lists(root: Path) -> None:
    for row, part in zip(test_csv_lists.ROWS, ("train", "valid"), strict=False):
        test_csv_lists.write(root / f"face_landmarks_300w_{part}.csv", [row])


def pts(root: Path) -> None:
    pairs(root, "train/a", "test/b")


def labels(root: Path, kind: str) -> None:
    """A converted dataset with three faces in two photographs, a point that is hidden and one that is not annotated."""
    names = ["source/train/a b.png", "source/train/a b.png", "source/test/c.png"]
    for name in set(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(encoded(picture(150, 140), "PNG"))
    shapes, weights = SHAPES["aflw19"] + np.arange(3)[:, None, None], np.ones((3, 19))
    weights[1, 4] = 0
    images = [root / name for name in names]
    faces = Faces("aflw19", images, shapes, weights=weights, occluded=np.arange(19) == np.arange(3)[:, None])
    options = {"subsets": {}, "enlarge": 1.25, "normalizer": "image"}
    dataset = Dataset(name="small", scheme=faces.scheme, train=faces[:2], test=faces[2:], **options)
    converting.convert(dataset, kind, root / "out", progress=False)
    shutil.rmtree(root / "source")
    for path in (root / "out").iterdir():
        path.rename(root / path.name)
    (root / "out").rmdir()


def packed(root: Path, images: str = "raw") -> None:
    (root / "source").mkdir()
    names = ["a.png", "b.png"]
    for name in names:
        cv2.imwrite(str(root / "source" / name), picture(120, 120))
    faces = Faces(
        "aflw19", [root / "source" / name for name in names], SHAPES["aflw19"] + np.arange(2)[:, None, None], names=names
    )
    faces.origins = names
    options = {"subsets": {"all": np.arange(1)}, "enlarge": 1.25, "normalizer": "image"}
    dataset = Dataset(name="small", scheme=faces.scheme, train=faces[:1], test=faces[1:], **options)
    packing.pack(dataset, root / "packed.h5", size=16, images=images, progress=False)
    for name in names:
        (root / "source" / name).unlink()
    (root / "source").rmdir()


def packed_jpeg(root: Path) -> None:
    packed(root, "jpeg")


def packed_webp(root: Path) -> None:
    packed(root, "webp")


def frame_folders(root: Path) -> None:
    pairs(root / "clip", "frame_1", "frame_2")


def ytf68(root: Path) -> None:
    for part in ("train", "test"):
        pairs(root / part, *(f"Ann_0{frame}" for frame in range(3)))


def folder(root: Path) -> None:
    cv2.imwrite(str(root / "a.png"), picture())
    cv2.imwrite(str(root / "b.jpg"), picture())


def real_pts(root: Path) -> None:
    """Landmarks beside a photograph that is one."""
    write_points(root / "a.pts", SHAPE)
    (root / "a.jpg").write_bytes(encoded(picture(140, 140), "JPEG"))


# === Landmark files ===


def score_npz(root: Path) -> None:
    names = np.array(["a.jpg", "b.jpg"])
    landmarks = np.stack([SHAPE, SHAPE + 1])
    np.savez(root / "found.npz", landmarks=landmarks, names=names, occlusion=np.zeros((2, 68)), weights=np.ones((2, 68)))


def score_csv(root: Path) -> None:
    header = ["name", *(f"{axis}{point}" for point in range(68) for axis in "xy"), *(f"occlusion{point}" for point in range(68))]
    rows = [[name, *map(str, SHAPE.ravel().round(2)), *["0"] * 68] for name in ("a.jpg", "b.jpg")]
    (root / "found.csv").write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")


def score_txt(root: Path) -> None:
    shape = SHAPES["cofw29"].round(2)
    rows = [[str(face)] if row < 0 else map(str, (*shape.T, [0] * 29)[row]) for face in (1, 2) for row in (-1, 0, 1, 2)]
    (root / "found.txt").write_text("".join(" ".join(row) + "\n" for row in rows))


def score_matlab(root: Path) -> None:
    matlab(root / "1_points.mat", Points=SHAPE, Occ=np.zeros((1, 68)))


def score_pts(root: Path) -> None:
    (root / "b").mkdir()
    for name in ("a.pts", "b/a.pts"):
        write_points(root / name, SHAPE)


# === Images ===


def jpeg(root: Path) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    (root / "turned.jpg").write_bytes(encoded(picture(), "JPEG", exif=exif.tobytes()))
    (root / "progressive.jpg").write_bytes(encoded(picture(), "JPEG", progressive=True))
    (root / "grey.jpg").write_bytes(encoded(picture()[..., 0], "JPEG"))


def png(root: Path) -> None:
    (root / "rgb.png").write_bytes(encoded(picture(), "PNG"))
    (root / "grey.png").write_bytes(encoded(picture()[..., 0], "PNG"))
    (root / "deep.png").write_bytes(encoded(picture()[..., 0].astype("uint16") * 257, "PNG"))
    buffer = io.BytesIO()
    PIL.Image.fromarray(picture()).quantize(8).save(buffer, "PNG")
    (root / "palette.png").write_bytes(buffer.getvalue())


def bmp(root: Path) -> None:
    (root / "rgb.bmp").write_bytes(encoded(picture(), "BMP"))
    (root / "grey.bmp").write_bytes(encoded(picture()[..., 0], "BMP"))


def webp(root: Path) -> None:
    (root / "lossy.webp").write_bytes(encoded(picture(), "WEBP"))
    (root / "lossless.webp").write_bytes(encoded(picture(), "WEBP", lossless=True))


def tiff(root: Path) -> None:
    (root / "plain.tif").write_bytes(encoded(picture(), "TIFF"))
    (root / "packed.tif").write_bytes(encoded(picture(), "TIFF", compression="tiff_lzw"))


def ppm(root: Path) -> None:
    (root / "rgb.ppm").write_bytes(encoded(picture(), "PPM"))
    (root / "grey.pgm").write_bytes(encoded(picture()[..., 0], "PPM"))
    text = " ".join(map(str, picture(6, 5).ravel()))
    (root / "text.ppm").write_bytes(f"P3\n# a comment\n6 5\n255\n{text}\n".encode())


def gif(root: Path) -> None:
    (root / "one.gif").write_bytes(encoded(picture(), "GIF"))


def video(root: Path) -> None:
    test_videos.write_video(root / "a.avi", count=6)


def photograph(root: Path) -> None:
    """A photograph for `align`, and the odd name that it shall get."""
    (root / "photo.image").write_bytes(encoded(picture(64, 60), "PNG"))
    (root / "odd.name").write_bytes(b"a")


def story(root: Path) -> None:
    (root / "story.scene").write_text("photo a/x.png\nphoto b/x.png\nuser a/mine\nalign out a/x.png\n")
