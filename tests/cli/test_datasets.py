"""`kfacealign datasets`: the list, the check of a copy, packing, and the table that these share with `--dataset`."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from kfacealign.cli.main import main
from kfacealign.data import catalogue, packed, pts, write_pts, write_wflw
from kfacealign.data.catalogue import DATASETS, UNLABELLED, load_dataset, load_unlabelled
from kfacealign.data.converting import FORMATS
from kfacealign.data.readers.pts import write_points
from kfacealign.schemes import SCHEMES


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return write_pts(tmp_path_factory.mktemp("data") / "pts", train=4, test=2, size=96, progress=False)


@pytest.fixture(scope="module")
def wflw_root(tmp_path_factory):
    return write_wflw(tmp_path_factory.mktemp("data") / "wflw", train=3, test=2, size=96, progress=False)


# === The table ===


def test_the_parsers_know_the_table(capsys):
    for command, names in ((["datasets", "check"], tuple(catalogue.CATALOGUE)), (["evaluate"], DATASETS)):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        shown = "".join(capsys.readouterr().out.split())
        assert all(name.replace("-", "") in shown.replace("-", "") for name in names)
    assert set(UNLABELLED) - set(catalogue.CATALOGUE) == {"folder", "synthetic"}
    assert {entry.scheme for entry in catalogue.ENTRIES} - {"", "any"} <= set(SCHEMES)
    with pytest.raises(ValueError, match="no dataset 'x'; there are 300w"):
        catalogue.get("x")


def test_the_documentation_lists_the_table():
    text = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text()
    rows = {row[0]: row for row in re.findall(r"^\| `([\w-]+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \| ([^|]*) \|", text, re.M)}
    assert set(rows) >= set(catalogue.CATALOGUE)
    for entry in catalogue.ENTRIES:
        for part, column in (("train", 3), ("test", 4)):
            expected = f"{entry.counts[part]:,}" if part in entry.counts else "-"
            assert rows[entry.name][column].strip() == expected, entry.name


def test_list(capsys):
    assert main(["datasets"]) == 0
    shown = capsys.readouterr().out
    for entry in catalogue.ENTRIES:
        assert entry.name in shown and entry.layout in shown
    assert "20,000" in shown and "frontal 1,314" in shown


# === Training from them ===


def test_load_dataset(faces, wflw_root, tmp_path):
    assert load_dataset("wflw68", wflw_root).scheme.name == "ibug68"
    assert len(load_dataset("pts", faces).train) == 4
    assert main(["datasets", "pack", "pts", str(faces), str(tmp_path / "faces.h5"), "--size", "32"]) == 0
    dataset = load_dataset("packed", tmp_path / "faces.h5")
    assert (len(dataset.train), len(dataset.test), dataset.train.pixels.shape[1]) == (4, 2, 32)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_parts_without_faces_are_told(tmp_path):
    for folder in ("300W/01_Indoor", "300W/02_Outdoor"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "a.png").touch()
        write_points(tmp_path / folder / "a.pts", np.random.default_rng(len(folder)).uniform(10, 90, (68, 2)))
    assert len(load_dataset("300w-private", tmp_path, needed=("test",)).test) == 2
    with pytest.raises(ValueError, match=r"--dataset 300w-private: .* has no training faces"):
        load_dataset("300w-private", tmp_path)


def test_load_unlabelled(wflw_root):
    faces = load_unlabelled("wflw68", wflw_root, scheme=SCHEMES["ibug68"])
    assert faces.attributes["unlabelled"].all() and len(faces) == 3 and faces.scheme.name == "ibug68"


# === check ===


def check(capsys, *arguments):
    status = main(["datasets", "check", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_check_of_a_whole_copy(faces, tmp_path, capsys):
    status, shown = check(capsys, "pts", faces, "--out", tmp_path / "out", "--faces", "6")
    assert status == 0 and "4 training and 2 test faces" in shown and "nothing is twice or out of place" in shown
    mosaic, shape = (cv2.imread(str(tmp_path / "out" / name)) for name in ("mosaic.png", "mean_shape.png"))
    assert mosaic.shape == (160, 8 * 160, 3) and mosaic[:, : 6 * 160].std() > 20 and not mosaic[:, 6 * 160 :].any()
    assert shape.shape == (640, 1280, 3) and (shape < 250).any()


def test_check_names_marks_of_missing_points(faces, tmp_path, capsys):
    root = tmp_path / "copy"
    shutil.copytree(faces, root)
    for path, place in zip(sorted(root.glob("train/*.pts")), ("-1 -1", "0 0", "400 20"), strict=False):
        lines = path.read_text().splitlines()
        path.write_text("\n".join([*lines[:3], place, *lines[4:]]))
    (root / "train" / "._a.pts").write_bytes(b"\0\5\x16\7")
    status, shown = check(capsys, "pts", root, "--out", tmp_path / "out")
    assert status == 1
    assert (
        "train_00000.pts: 1 points of 1 faces are at (-1,-1)" in shown
        and "train_00001.pts: 1 points of 1 faces are at (0,0)" in shown
    )
    assert (
        "1 points of 1 faces lie far outside of their image" in shown
        and "point 0 at (399.5, 19.5) in an image of 96 x 96" in shown
    )
    status, shown = check(capsys, "pts", root, "--missing", "-1", "--missing=0,0", "--out", tmp_path / "out")
    assert status == 1 and "faces are at" not in shown
    with pytest.raises(SystemExit):
        check(capsys, "pts", root, "--missing", "none")
    assert "invalid mark value: 'none'" in capsys.readouterr().err


def test_check_of_another_number_of_faces(wflw_root, tmp_path, capsys):
    status, shown = check(capsys, "wflw", wflw_root, "--out", tmp_path / "out")
    assert status == 1 and re.search(r"train\D+3\D+7,500", shown) and re.search(r"blur\D+\d\D+773", shown)


def test_check_names_what_is_wrong(faces, tmp_path, capsys):
    dataset = pts(faces)
    root = tmp_path / "copy"
    for part in ("train", "test"):
        (root / part).mkdir(parents=True)
    places = {"twin": 0, "same": 0, "zero": 1, "far": 2, "missing": 3}
    for name, place in places.items():
        points = dataset.train.landmarks[place].copy()
        if name == "zero":
            points[45] = points[36]
        if name == "far":
            points += 1000
        (root / "train" / f"{name}.jpg").write_bytes(Path(dataset.train.images[place]).read_bytes())
        write_points(root / "train" / f"{name}.pts", points)
    (root / "train" / "missing.jpg").unlink()
    (root / "test" / "a.jpg").write_bytes(Path(dataset.test.images[0]).read_bytes())
    write_points(root / "test" / "a.pts", dataset.test.landmarks[0])
    status, shown = check(capsys, "pts", root, "--out", tmp_path / "out")
    assert status == 1
    assert "1 .pts without an image, left out: missing" in shown
    assert re.search(r"1 duplicate faces.*twin\.pts repeats .*same\.pts", shown)
    assert re.search(r"1 faces have an inter-ocular distance of 0.*zero\.pts", shown)
    assert re.search(r"1 boxes lie outside of their image: .*far\.pts: box .* in an image of 96 x 96", shown)


def copied(faces, root, names):
    """Photographs of `faces` and their points under other names: a name below `root` -> the face's place, or None for words."""
    dataset = pts(faces)
    for name, place in names.items():
        path = root / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"words" if place is None else Path(dataset.train.images[place]).read_bytes())
        write_points(path.with_suffix(".pts"), dataset.train.landmarks[place or 0] + (place is None))


def test_check_opens_every_photograph(faces, tmp_path, capsys):
    copied(faces, tmp_path / "copy", {"train/a": 0, "train/b": 1, "train/words": None, "test/again": 1, "test/c": 2})
    status, shown = check(capsys, "pts", tmp_path / "copy", "--out", tmp_path / "out")
    assert status == 1
    assert re.search(r"1 photographs cannot be read: \S*train/words\.jpg \(not an image", shown)
    assert re.search(r"1 photographs are there twice with the same face: \S*test/again\.jpg repeats \S*train/b\.jpg", shown)
    assert "turned" not in shown and shown.count("photographs") == 2


def test_check_notes_photographs_that_are_turned_or_shared(faces, tmp_path, capsys):
    """Neither is a fault: points may belong to the upright picture, and a photograph may be there once for each face in it."""
    root = tmp_path / "copy"
    copied(faces, root, {"train/a": 0, "train/b": 1, "train/c": 1, "test/d": 3})
    points = pts(faces).train.landmarks[1] * 0.3
    write_points(root / "train" / "c.pts", points)
    exif = Image.Exif()
    exif[0x0112] = 8
    upright = Image.open(root / "train" / "a.jpg")
    upright.transpose(Image.Transpose.ROTATE_270).save(root / "train" / "a.jpg", exif=exif)
    status, shown = check(capsys, "pts", root, "--out", tmp_path / "out")
    assert status == 0
    assert re.search(r"note: 1 photographs are turned by their EXIF orientation: \S*train/a\.jpg \(8\); .*exiftool", shown)
    assert re.search(r"note: 1 photographs are there again with other faces: \S*train/c\.jpg repeats \S*train/b\.jpg", shown)


def test_check_holds_photographs_to_a_limit(faces, tmp_path, capsys):
    status, shown = check(capsys, "pts", faces, "--out", tmp_path / "out", "--max-pixels", "9215")
    assert status == 1 and "6 photographs cannot be read" in shown and "96 x 96 pixels are more than the limit of 9,215" in shown
    assert check(capsys, "pts", faces, "--out", tmp_path / "out")[0] == 0


def test_check_of_what_is_not_there(tmp_path, capsys):
    status, shown = check(capsys, "cofw", tmp_path)
    assert status == 2 and "COFW_train_color.mat" in shown and "Caltech" in shown


# === pack ===


def test_pack(wflw_root, tmp_path, capsys):
    out = tmp_path / "faces.h5"
    arguments = ["--size", "40", "--enlarge", "1.5", "--box", "file"]
    assert main(["datasets", "pack", "wflw", str(wflw_root), str(out), *arguments]) == 0
    shown = capsys.readouterr().out
    assert "enlarged 1.5 times" in shown and "5 faces" in shown
    dataset = packed(out)
    assert dataset.train.pixels.shape == (3, 40, 40, 3) and dataset.enlarge == 1.5
    assert main(["datasets", "pack", "wflw", str(wflw_root), str(tmp_path / "faces.npz")]) == 2


@pytest.mark.parametrize("images", ["jpeg", "webp"])
def test_pack_images(images, wflw_root, tmp_path, capsys):
    out = tmp_path / "faces.h5"
    command = ["datasets", "pack", "wflw", str(wflw_root), str(out), "--size", "40"]
    assert main([*command, "--images", images, "--quality", "60", "--train", "2", "--test", "1"]) == 0
    assert "3 faces" in capsys.readouterr().out
    dataset, whole = load_dataset("packed", out), load_dataset("wflw", wflw_root)
    assert dataset.train.names == [whole.train.names[place] for place in (0, 2)]
    assert dataset.test.names == whole.test.names[:1]
    held = [name for name, places in whole.subsets.items() if 0 in places]
    assert [name for name, places in dataset.subsets.items() if places.tolist() == [0]] == held
    assert dataset.test.pixels[0].shape == (40, 40, 3)
    assert main([*command, "--quality", "60"]) == 2 and "raw images have no quality" in capsys.readouterr().err


# === convert ===


def convert(capsys, *arguments):
    status = main(["datasets", "convert", *map(str, arguments)])
    captured = capsys.readouterr()
    return status, captured.out + captured.err


@pytest.mark.parametrize("kind", tuple(FORMATS))
def test_convert_check_and_load(faces, tmp_path, capsys, kind):
    status, shown = convert(capsys, faces, "--dataset", "pts", "--to", kind, "--out", tmp_path / "out")
    assert status == 0 and "(6 faces in 6 photographs)" in shown and f"for --dataset {kind}" in shown
    status, shown = check(capsys, kind, tmp_path / "out", "--out", tmp_path / "pictures", "--faces", "4")
    assert status == 0 and "ibug68): 4 training and 2 test faces" in shown
    dataset, again = pts(faces), load_dataset(kind, tmp_path / "out", scheme="ibug68")
    far = np.abs(np.sort(again.test.landmarks, 0) - np.sort(dataset.test.landmarks, 0)).max()
    assert far <= 0.5 if kind == "dlib" else far == 0
    status, shown = convert(capsys, faces, "--dataset", "pts", "--to", kind, "--out", tmp_path / "out")
    assert status != 0 and "--overwrite" in shown
    assert convert(capsys, faces, "--dataset", "pts", "--to", kind, "--out", tmp_path / "out", "--overwrite")[0] == 0


def test_convert_of_keypoints_whose_first_pixel_is_elsewhere(faces, tmp_path, capsys):
    for out, more in (("a", []), ("b", ["--first-pixel", "1"])):
        source = ["pts", faces] if out == "a" else ["coco", tmp_path / "a"]
        assert convert(capsys, source[1], "--dataset", source[0], "--to", "coco", "--out", tmp_path / out, *more)[0] == 0
    moved = load_dataset("coco", tmp_path / "b").train.landmarks - load_dataset("coco", tmp_path / "a").train.landmarks
    np.testing.assert_allclose(moved, -1, atol=1e-4)
    status, shown = convert(capsys, faces, "--dataset", "pts", "--to", "coco", "--out", tmp_path / "c", "--first-pixel", "1")
    assert status != 0 and "--first-pixel is for --dataset coco" in shown


def test_convert_leaves_out_what_cannot_be_read(faces, tmp_path, capsys):
    copied(faces, tmp_path / "copy", {"train/a": 0, "train/words": None, "test/b": 1})
    status, shown = convert(capsys, tmp_path / "copy", "--dataset", "pts", "--to", "coco", "--out", tmp_path / "out")
    assert status == 1 and "1 photographs cannot be read, their faces are left out" in shown and "words.jpg" in shown
    assert len(load_dataset("coco", tmp_path / "out").train) == 1
    status, shown = convert(capsys, tmp_path, "--dataset", "celeba", "--to", "coco", "--out", tmp_path / "faces")
    assert status != 0 and "celeba has no landmarks" in shown
