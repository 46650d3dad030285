"""The sound, by a program that stands for ffmpeg and writes down how it was called."""

import os
import sys

import pytest

from kfacealign.tracking import sound


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Puts a program on the PATH that writes its arguments to a file, then runs `body`."""

    def install(body):
        folder = tmp_path / "bin"
        folder.mkdir()
        program = folder / "ffmpeg"
        log = tmp_path / "calls.txt"
        program.write_text(f"#!{sys.executable}\nimport sys\nopen({str(log)!r}, 'a').write(repr(sys.argv[1:]) + '\\n')\n{body}")
        program.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))
        return lambda: [eval(line) for line in log.read_text().splitlines()]

    return install


@pytest.fixture
def files(tmp_path):
    out, written, video = tmp_path / "o.mp4", tmp_path / ".o.1.mp4", tmp_path / "a;b $(x).mp4"
    written.write_bytes(b"silent")
    video.write_bytes(b"video")
    return out, written, str(video)


WRITE = "open(sys.argv[-1].removeprefix('file:'), 'wb').write(b'with sound')\n"


def test_the_sound_is_kept_where_ffmpeg_is(ffmpeg, files, tmp_path):
    out, written, video = files
    calls = ffmpeg(WRITE)
    assert sound.add_sound(written, video, out, seconds=1.25) == sound.KEPT
    assert written.read_bytes() == b"with sound"
    (arguments,) = calls()
    text = " ".join(arguments)
    assert f"-i file:{written} " in text and f"-i file:{video} " in text and "-map 0:v -map 1:a -c copy -t 1.250" in text
    assert "-nostdin" in arguments and arguments.count("-protocol_whitelist") == 2
    assert sorted(os.listdir(tmp_path)) == [".o.1.mp4", "a;b $(x).mp4", "bin", "calls.txt"]


def test_a_sound_that_does_not_fit_is_encoded_anew(ffmpeg, files):
    out, written, video = files
    calls = ffmpeg(f"if '-c' in sys.argv: sys.exit('codec not supported')\n{WRITE}")
    assert sound.add_sound(written, video, out, seconds=1) == sound.KEPT and written.read_bytes() == b"with sound"
    assert len(calls()) == 2


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("sys.exit('Conversion failed!')", "as ffmpeg failed: Conversion failed!; this may add it: ffmpeg -i"),
        (f"{WRITE}sys.exit(3)", "as ffmpeg failed: exit status 3"),
        ("pass", "as ffmpeg failed: it wrote nothing"),
        (f"{WRITE}sys.exit('Stream map 1:a matches no streams.')", sound.NO_SOUND),
    ],
)
def test_the_silent_file_is_kept_where_ffmpeg_fails(ffmpeg, files, tmp_path, body, message):
    out, written, video = files
    ffmpeg(body)
    assert message in sound.add_sound(written, video, out, seconds=1)
    assert written.read_bytes() == b"silent" and not [name for name in os.listdir(tmp_path) if "sound" in name]


def test_without_ffmpeg_the_command_is_told(files, monkeypatch):
    out, written, video = files
    monkeypatch.setenv("PATH", os.devnull)
    told = sound.add_sound(written, video, out, seconds=1)
    assert "no ffmpeg is installed" in told and written.read_bytes() == b"silent"
    assert told.endswith(f"ffmpeg -i {out} -i '{video}' -map 0:v -map '1:a?' -c copy {out.with_name('o_sound.mp4')}")
