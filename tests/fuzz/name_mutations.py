"""Mutations of names and of stories of files, which `stories.play` plays."""

import random

# Pieces of names, as bytes.
FRAGMENTS = (
    *(b"[", b"]", b"[/b]", b"[bold]", b"\n", b"\r", b"\t", b"\x07", b"\xe9", b"\xff\xfe", b"\xed\xb3\xa9", b"$x^{$", b"$", b"^{"),
    *(b"\\", b":smile:", b"x" * 60, b"\xc3\xa9" * 60, b"-", b"--out", b".", b"..", b" ", b"  ", b"%", b"%s", b"%d", b"#3"),
    *(b"#000003", b"'", b'"', b"`", b"<script>", b"&amp;", b";", b"*", b"?", b"{}", b"{0}", b"~", b"=", b",", b"1", b"_1"),
    *(b"_landmarks", b"\x1b[31m", b"CON", b".png", b".pts", b".json", b".tmp", b"a"),
    *(sign.encode() for sign in ("\U0001f600", "\u202e", "\u0645", "\u0301", "\u00a0", "\u2028")),
)
NAME_BYTES = 255


def name_fragment(content: bytes, rng: random.Random) -> bytes:
    """An odd piece somewhere in a file's name, which stays one that a file system takes."""
    place = rng.randint(0, len(content))
    name = content[:place] + rng.choice(FRAGMENTS) + content[place:]
    if rng.random() < 0.1:
        name += b"y" * NAME_BYTES
    name = name.replace(b"/", b"").replace(b"\0", b"")[: rng.choice((NAME_BYTES, NAME_BYTES - 4, NAME_BYTES - 20))]
    return b"x" if name in (b"", b".", b"..") else name


def scene(content: bytes, rng: random.Random) -> bytes:
    """One to four lines more in a story of photographs, files of the user's and calls of `align`, which `stories.play` plays."""
    names, places = ("x", "x", "x_1", "x_landmarks", "X", "y", ".x"), ("", "a/", "b/", "out/")
    old = content.decode("utf-8", "replace").splitlines()
    for _ in range(rng.randint(1, 4)):
        file, other = (rng.choice(places) + rng.choice(names) for _ in range(2))
        lines = (
            f"photo {file}{rng.choice(('.png', '.png', '.jpg', '.PNG', ''))}",
            f"user {file}{rng.choice(('.pts', '.json', '_landmarks.png', '_1.pts', '.png', '.jpg.json', '.pts.tmp'))}",
            f"user {rng.choice(('out', 'a', 'out/x.json/f', 'out/x.pts/f', 'out/x_landmarks.png/f'))}",
            f"frozen {rng.choice(('out', 'a', 'b'))}",
            f"link out/{rng.choice(names)}{rng.choice(('.pts', '.json', '_landmarks.png', '.pts.tmp'))} a/mine",
            f"align {rng.choice(('out', 'out', 'a', '.', 'b', 'out/x', 'a/x.png'))} {file}.png",
            f"align {rng.choice(('out', 'a', '.'))} {file}.png {other}.jpg",
            f"align {rng.choice(('out', 'a'))} a/x.png b/x.png",
        )
        old.insert(rng.randint(0, len(old)), rng.choice(lines))
    return "\n".join(old).encode()
