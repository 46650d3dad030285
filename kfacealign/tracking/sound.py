"""The sound of a video, put to its overlay by the program ffmpeg where it is installed; OpenCV reads and writes none."""

import os
import shlex
import shutil
import subprocess
from pathlib import Path

from kfacealign.console import shown
from kfacealign.files import remove

SECONDS = 600  # after which ffmpeg is given up
NO_SOUND = "the video has no sound"
KEPT = "the sound of the video was put to the overlay by ffmpeg"


def command(overlay: str | os.PathLike, video: str | os.PathLike) -> str:
    """The line that puts the sound of `video` to `overlay`, for a shell."""
    path = Path(overlay)
    names = [shown(name) for name in (path, video, path.with_name(f"{path.stem}_sound{path.suffix}"))]
    return shlex.join(["ffmpeg", "-i", names[0], "-i", names[1], "-map", "0:v", "-map", "1:a?", "-c", "copy", names[2]])


def add_sound(written: Path, video: str, out: Path, *, seconds: float) -> str:
    """Puts the sound of a video file to its overlay, in place.

    Args:
        written: the overlay as it is now, under its temporary name.
        video: the file with the sound.
        out: the overlay's name to be, for messages.
        seconds: how long the overlay is; sound beyond it is left out.

    Returns:
        What became of the sound, in a sentence. Where it could not be kept, the overlay is as it was.
    """
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        return f"the overlay has no sound, as no ffmpeg is installed; if the video has any, this adds it: {command(out, video)}"
    joined = written.with_name(f"{written.stem}.sound{written.suffix}")
    failure = ""
    try:
        # A sound that the container does not take as it is, is encoded anew.
        for encoding in (["-c", "copy"], ["-c:v", "copy"]):
            failure = _run([ffmpeg, *_arguments(written, video, encoding, seconds), _file(joined)])
            if not failure and joined.is_file() and joined.stat().st_size:
                os.replace(joined, written)
                return KEPT
            if "matches no streams" in failure:
                return NO_SOUND
    except OSError as error:
        failure = str(error)
    finally:
        remove(joined)
    reason = (failure.strip().splitlines() or ["it wrote nothing"])[-1]
    return f"the overlay has no sound, as ffmpeg failed: {reason}; this may add it: {command(out, video)}"


def _arguments(written, video, encoding, seconds):
    # Only files are opened, whatever a playlist in the video asks for.
    quiet = ["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]
    sources = [part for path in (written, video) for part in ("-protocol_whitelist", "file", "-i", _file(path))]
    return [*quiet, *sources, "-map", "0:v", "-map", "1:a", *encoding, "-t", f"{seconds:.3f}"]


def _file(path):
    """A name that ffmpeg takes for a file's, be there a colon or a dash in it."""
    return f"file:{os.path.abspath(path)}"


def _run(arguments):
    """Runs ffmpeg; what it complains about, empty where it succeeded."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
    try:
        done = subprocess.run(arguments, check=False, timeout=SECONDS, **options)
    except subprocess.TimeoutExpired:
        return f"it did not end within {SECONDS} seconds"
    return "" if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip() or f"exit status {done.returncode}"
