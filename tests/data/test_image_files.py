"""Image files of every kind and damage: what is read, what is refused, which way is up."""

import io
import os
import random
import struct
import subprocess
import sys
import warnings
import zlib

import cv2
import numpy as np
import PIL.Image
import pytest

from kfacealign import geometry, photo, schemes
from kfacealign.data import Crops, image_files, images, pts
from kfacealign.data.readers.pts import write_points
from kfacealign.face_landmarks import FaceLandmarks, as_image

# Rows of the upright picture, and what a camera stores of it: orientation -> stored, worked out from the standard's words
# ("the 0th row is at the visual top, the 0th column at the visual left", and so on).
UPRIGHT = np.array([[10, 60, 110], [160, 210, 250]], np.uint8)
STORED = {
    1: [[10, 60, 110], [160, 210, 250]],
    2: [[110, 60, 10], [250, 210, 160]],
    3: [[250, 210, 160], [110, 60, 10]],
    4: [[160, 210, 250], [10, 60, 110]],
    5: [[10, 160], [60, 210], [110, 250]],
    6: [[110, 250], [60, 210], [10, 160]],
    7: [[250, 110], [210, 60], [160, 10]],
    8: [[160, 10], [210, 60], [250, 110]],
}
SUFFIXES = (".jpg", ".png", ".webp", ".tif")
NOISE = np.random.default_rng(0).integers(0, 256, (9, 14, 3), dtype=np.uint8)


@pytest.fixture
def limit():
    yield image_files.limit_pixels
    image_files.limit_pixels(None)


def blocks(rows):
    """A picture of grey blocks of 16 x 16 pixels, which a JPEG keeps."""
    return np.repeat(np.kron(np.array(rows, np.uint8), np.ones((16, 16), np.uint8))[..., None], 3, axis=2)


def encoded(picture, format, **options):
    file = io.BytesIO()
    (picture if isinstance(picture, PIL.Image.Image) else PIL.Image.fromarray(picture)).save(file, format, **options)
    return file.getvalue()


def turned_file(path, orientation):
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {".jpg": {"quality": 100}, ".webp": {"lossless": True}}.get(path.suffix, {})
    PIL.Image.fromarray(blocks(STORED[orientation])).save(path, exif=exif, **options)
    return path


# === Which way is up ===


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", STORED)
def test_every_reader_has_one_way_up(tmp_path, orientation, suffix):
    path = turned_file(tmp_path / f"a{suffix}", orientation)
    expected = blocks(UPRIGHT).astype(int)
    read = {
        "photo": photo.read_photo(path),
        "reference": images.read_image(path),
        "path": as_image(str(path)),
        "Pillow": as_image(PIL.Image.open(path)),
    }
    for name, pixels in read.items():
        assert pixels.shape == (32, 48, 3) and pixels.dtype == np.uint8 and pixels.flags.c_contiguous, name
        assert np.abs(pixels - expected).max() <= 2, name
    assert images.size(path) == (48, 32)


def test_an_exif_block_behind_the_pixels_of_a_png_counts(tmp_path):
    plain = encoded(blocks(STORED[6]), "PNG")
    block = b"eXIf" + b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    chunk = struct.pack(">I", len(block) - 4) + block + struct.pack(">I", zlib.crc32(block))
    (tmp_path / "a.png").write_bytes(plain[:-12] + chunk + plain[-12:])
    np.testing.assert_array_equal(photo.read_photo(tmp_path / "a.png"), blocks(UPRIGHT))
    np.testing.assert_array_equal(as_image(PIL.Image.open(tmp_path / "a.png")), blocks(UPRIGHT))
    assert images.size(tmp_path / "a.png") == (48, 32)


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_turns_nothing(tmp_path, value):
    exif = PIL.Image.Exif()
    exif[0x0112] = value
    for suffix in SUFFIXES:
        PIL.Image.fromarray(NOISE).save(tmp_path / f"a{suffix}", exif=exif)
        assert photo.read_photo(tmp_path / f"a{suffix}").shape == NOISE.shape and images.size(tmp_path / f"a{suffix}") == (14, 9)


def test_a_damaged_exif_block_turns_nothing():
    for block in (b"MM\0*\xff\xff\xff\xff", b"Exif\0\0", b"II*\0\x08\0\0\0\xff\xff"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow tells of it
            np.testing.assert_array_equal(image_files.decode(encoded(NOISE, "PNG", exif=block)), NOISE)


class Dot:
    """A model that answers with the place of a white dot: all of the points lie around it, as the mean shape does."""

    scheme, input_size, enlarge = schemes.get("ibug68"), 64, 1.25

    def align(self, crops, verbose=0):
        rows, columns = np.unravel_index(crops[..., 0].reshape(len(crops), -1).argmax(1), crops.shape[1:3])
        centres = (np.stack([columns, rows], axis=-1)[:, None] + 0.5) / self.input_size
        return (centres + 0.3 * (self.scheme.mean_shape - 0.5)).astype("float32"), np.ones((len(crops), 68), "float32")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("orientation", STORED)
def test_points_written_beside_a_turned_photograph_fit_it(tmp_path, orientation, suffix):
    """What is found in a photograph, written as .pts and read as a dataset, is where it was found."""
    upright = np.zeros((128, 96, 3), np.uint8)
    upright[48:56, 32:40] = 255  # a dot whose middle is (36, 52)
    whole = PIL.Image.fromarray(upright)
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's ways to turn: those that store the upright picture
    if orientation > 1:
        whole = whole.transpose(PIL.Image.Transpose(back[orientation]))
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    whole.save(tmp_path / f"a{suffix}", exif=exif, **({"quality": 100} if suffix == ".jpg" else {}))
    found = FaceLandmarks(Dot(), detector=Dot())(tmp_path / f"a{suffix}", boxes=[[0, 16, 80, 96]])
    write_points(tmp_path / "a.pts", found[0].landmarks)
    faces = pts(tmp_path, test_fraction=0.0).train
    np.testing.assert_allclose(faces.landmarks[0], found[0].landmarks, atol=0.01)
    crops = Crops(faces, 64)
    image, points, _ = crops[0]
    dot = geometry.apply_affine(crops.matrices[0], np.array([[36.0, 52.0]]))[0].astype(int)
    assert image[dot[1], dot[0]].min() > 200 and (image > 128).mean() < 0.1
    assert np.abs(geometry.landmark_box(found[0].landmarks)[:2] - [36, 52]).max() < 20 and points.min() > 0


# === Kinds of pixels ===


def test_sixteen_bits_are_shortened():
    values = np.array([[0, 255, 256, 40_000, 65_535]], np.uint16)
    expected = np.repeat(np.array([[0, 0, 1, 156, 255]], np.uint8)[..., None], 3, axis=2)
    for suffix in (".png", ".tif", ".pgm"):
        found = image_files.decode(cv2.imencode(suffix, values)[1].tobytes())
        np.testing.assert_array_equal(found, expected, err_msg=suffix)
    color = np.stack([values, values // 2, values // 4], axis=-1)
    for suffix in (".png", ".tif"):
        found = image_files.decode(cv2.imencode(suffix, color)[1].tobytes())
        np.testing.assert_array_equal(found, (color >> 8)[..., ::-1], err_msg=suffix)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_left_out(format):
    alpha = np.concatenate([NOISE, np.arange(126, dtype=np.uint8).reshape(9, 14, 1)], axis=2)
    options = {"lossless": True, "exact": True} if format == "WEBP" else {}
    np.testing.assert_array_equal(image_files.decode(encoded(alpha, format, **options)), NOISE)


def test_grey_palette_and_one_bit_become_rgb():
    grey, palette = PIL.Image.fromarray(NOISE[..., 0]), PIL.Image.fromarray(NOISE).quantize(8)
    for picture in (grey, palette, grey.convert("1")):
        for format in ("PNG", "TIFF", "BMP", "GIF"):
            np.testing.assert_array_equal(image_files.decode(encoded(picture, format)), np.asarray(picture.convert("RGB")))
    np.testing.assert_array_equal(image_files.decode(b"P2 2 1 255 7 255"), [[[7] * 3, [255] * 3]])


def test_cmyk_becomes_rgb():
    colors = np.kron(NOISE[:3, :3], np.ones((16, 16, 1), np.uint8))
    content = encoded(PIL.Image.fromarray(colors).convert("CMYK"), "JPEG", quality=100)
    assert np.abs(image_files.decode(content).astype(int) - colors).max() <= 4
    np.testing.assert_array_equal(image_files.decode(encoded(PIL.Image.fromarray(colors).convert("CMYK"), "TIFF")), colors)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "GIF"])
def test_of_several_pictures_the_first_is_read(format):
    pictures = [PIL.Image.fromarray(np.full((9, 14, 3), value, np.uint8)) for value in (50, 100, 150)]
    options = {"lossless": True} if format == "WEBP" else {"default_image": True} if format == "PNG" else {}
    content = encoded(pictures[0], format, save_all=True, append_images=pictures[1:], **options)
    np.testing.assert_array_equal(image_files.decode(content), np.full((9, 14, 3), 50))


def test_pixels_of_32_bits_are_refused():
    with pytest.raises(ValueError, match="32 bits a pixel are not read: save the picture with 8 bits a channel"):
        image_files.decode(encoded(PIL.Image.fromarray(NOISE[..., 0].astype(np.float32)), "TIFF"))


# === What is refused ===


def bomb(width, height, depth=1):
    """A PNG of nothing but black, far smaller than its pixels."""
    row = bytes(1 + (width * depth + 7) // 8)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b""))
    made = (struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(made)


def test_more_pixels_than_the_limit_are_not_decoded(tmp_path, limit, monkeypatch):
    (tmp_path / "bomb.png").write_bytes(bomb(15_000, 14_000))
    said = r"15,000 x 14,000 pixels are more than the limit of 200,000,000, which --max-pixels, KFACEALIGN_MAX_PIXELS"
    for read in (photo.read_photo, images.read_image):
        with pytest.raises(ValueError, match=said):
            read(tmp_path / "bomb.png")
    assert images.size(tmp_path / "bomb.png") == (15_000, 14_000)
    small = encoded(NOISE, "PNG")
    limit(9 * 14)
    assert image_files.decode(small).shape == NOISE.shape
    limit(9 * 14 - 1)
    with pytest.raises(ValueError, match="14 x 9 pixels are more than the limit of 125"):
        image_files.decode(small)
    limit(None)
    monkeypatch.setenv("KFACEALIGN_MAX_PIXELS", "100")
    with pytest.raises(ValueError, match="limit of 100,"):
        image_files.decode(small)
    monkeypatch.setenv("KFACEALIGN_MAX_PIXELS", "many")
    with pytest.raises(ValueError, match="KFACEALIGN_MAX_PIXELS is 'many'"):
        image_files.decode(small)
    with pytest.raises(ValueError, match="a limit of 0 pixels"):
        limit(0)


@pytest.mark.parametrize("shape", [(20, 40_000, 3), (40_000, 20, 3)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif"])
def test_wide_and_tall_pictures_are_read(tmp_path, shape, suffix):
    image_files.write(tmp_path / f"a{suffix}", np.full(shape, 77, np.uint8))
    found = photo.read_photo(tmp_path / f"a{suffix}")
    assert found.shape == shape and (found == 77).all()


def test_a_picture_that_memory_does_not_hold_is_refused(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(image_files.cv2, "imdecode", full)
    with pytest.raises(ValueError, match="too large for the memory"):
        image_files.decode(encoded(NOISE, "PNG"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"words", "not an image, or of a format that is not read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC is not read: convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC is not read: convert it to JPEG or PNG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "not an image but a video"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (b"P5 160@120 255\n" + bytes(99), "truncated or damaged"),
        (b"P6 14000 14000 255\n" + bytes(99), "truncated or damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\x0cIHDR" + bytes(40), "does not begin with its size"),
        (bomb(0, 5), "0 x 5 pixels"),
        (bomb(14_000, 3)[:-30], "truncated or damaged"),
        (b"GIF89a" + struct.pack("<HH", 14_000, 14_000) + bytes(99), "(cannot hold|truncated)"),
        (b"BM" + bytes(80), "(truncated|0 x 0)"),
        (b"II*\0\x08\0\0\0\xff\xff" + bytes(40), "truncated or damaged"),
        (b"RIFF\0\0\0\0WEBPVP8X", "truncated or damaged"),
    ],
)
def test_what_is_no_picture(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for read in (photo.read_photo, images.read_image):
            with pytest.raises(ValueError, match=reason):
                read(tmp_path / "a.jpg")


def test_a_header_that_promises_more_than_the_file_holds_is_not_believed(tmp_path):
    """No decoder takes memory for 196 megapixels, or for a chunk of 2 gigabytes, by the word of a file of some bytes."""
    jpeg = bytearray(encoded(NOISE, "JPEG"))
    place = jpeg.index(b"\xff\xc0")
    jpeg[place + 5 : place + 9] = struct.pack(">HH", 14_000, 14_000)
    with pytest.raises(ValueError, match="bytes cannot hold 14,000 x 14,000 pixels"):
        image_files.decode(bytes(jpeg))
    png = bytearray(encoded(NOISE, "PNG"))
    png[33:37] = struct.pack(">I", 2**31 - 1)
    with pytest.raises(ValueError, match="truncated or damaged"):
        image_files.decode(bytes(png))


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")  # to open it would wait for ever
    for path in (tmp_path / "pipe.jpg", tmp_path, "/dev/zero"):
        for read in (photo.read_photo, images.read_image):
            with pytest.raises(OSError, match="not a regular file"):
                read(path)
        assert images.size(path) == (0, 0)
    with pytest.raises(FileNotFoundError):
        photo.read_photo(tmp_path / "missing.jpg")
    assert images.size(tmp_path / "missing.jpg") == (0, 0)


def mutations(count):
    """Damaged files of all formats: bytes changed, cut, moved and left out, numbers of headers at their ends."""
    rng, picture = random.Random(5), PIL.Image.fromarray(np.kron(NOISE, np.ones((3, 3, 1), np.uint8)))
    whole = [encoded(picture, format) for format in ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF")]
    whole += [encoded(picture, "TIFF", compression="tiff_lzw"), encoded(picture, "JPEG", progressive=True)]
    whole += [encoded(picture, format, save_all=True, append_images=[picture.rotate(90)]) for format in ("PNG", "WEBP", "GIF")]
    for number in range(count):
        content, kind = bytearray(whole[number % len(whole)]), rng.randrange(4)
        place = rng.randrange(len(content))
        if kind == 0:
            for _ in range(rng.randint(1, 8)):
                content[rng.randrange(len(content))] = rng.randrange(256)
        elif kind == 1:
            del content[place : place + rng.choice((1, 60, len(content)))]
        elif kind == 2:
            content[place:place] = content[rng.randrange(len(content)) :][:40]
        else:
            place = rng.randrange(min(120, len(content)))
            content[place : place + 4] = rng.choice((bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\x30\0\x30", b"\0\x30\0\0"))
        yield bytes(content)


@pytest.mark.filterwarnings("ignore")
def test_damage_leaves_nothing_but_errors_for_people(tmp_path):
    read, refused = 0, 0
    for content in mutations(600):
        (tmp_path / "a").write_bytes(content)
        try:
            pixels = photo.read_photo(tmp_path / "a")
            assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
            read += 1
        except (OSError, ValueError) as error:
            assert str(error)
            refused += 1
        assert len(images.size(tmp_path / "a")) == 2
    assert read > 60 and refused > 200


# === Writing, and names ===


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tif", ".PNG"])
def test_what_is_written_is_read(tmp_path, suffix):
    path = os.fsencode(tmp_path / "caf") + b"\xe9" + suffix.encode()  # no UTF-8
    image_files.write(os.fsdecode(path), NOISE)
    np.testing.assert_array_equal(photo.read_photo(os.fsdecode(path)), NOISE)
    assert os.listdir(os.fsencode(tmp_path)) == [os.path.basename(path)]


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(ValueError, match=r"a\.xyz: a picture is written as \.jpg"):
        image_files.write(tmp_path / "a.xyz", NOISE)
    with pytest.raises(ValueError, match=r"a\.jpg: \.jpg cannot hold a picture of shape \(1, 70000, 3\)"):
        image_files.write(tmp_path / "a.jpg", np.zeros((1, 70_000, 3), np.uint8))
    assert not list(tmp_path.iterdir())


def test_a_video_whose_name_is_not_utf8_is_refused(tmp_path):
    """OpenCV ends the process where it gets such a name, so another process is asked."""
    code = (
        "import os, sys; from kfacealign.data.frames import VideoReader\n"
        "path = os.fsdecode(os.fsencode(sys.argv[1]) + b'/caf\\xe9.avi'); open(path, 'w').close()\n"
        "try: VideoReader(path)\nexcept OSError as error: print(error.strerror)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "OpenCV opens no file whose path is not UTF-8: rename it\n"


def test_videos_are_held_to_the_limit(tmp_path, limit):
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.zeros((48, 64, 3), np.uint8))
    writer.release()
    assert images.read_image(tmp_path / "a.avi#000001").shape == (48, 64, 3)
    limit(3000)
    with pytest.raises(ValueError, match="64 x 48 pixels are more than the limit of 3,000"):
        from kfacealign.data.frames import VideoReader

        VideoReader(tmp_path / "a.avi")
