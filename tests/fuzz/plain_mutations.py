"""Mutations of text, of bytes whatever they mean, and of JSON."""

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

# What stands where a number should: no number, not finite, huge, of another script, or of another language's spelling.
ODD = (
    *("nan", "inf", "-inf", "-NaN", "1e999", "--5", "1_0.5", "1_000", "\u0663.\u0665", "\u0661\u0662", "", "-", ".", "1.2.3"),
    *("100000000", "55500000", "-1", "0", "1e6", "1e-400", "0x10", "1,5", "1e38", "2147483647", "2147483648", "4294967296"),
    *("99999999999999999999", "9" * 400, "9" * 5000, "True", "None", "\u00bd", "\u2212" + "5", "[1]", "$x^{$", "a\u0301"),
    *("{", "}", '"'),
)
FIELDS = {2: (0, 1, 2**15 - 1, 2**16 - 1), 4: (0, 1, 2**31 - 1, 2**32 - 1, 40_000, 2**30), 8: (0, 2**63 - 1, 2**40)}
# What stands where a value of a JSON text should.
VALUES = (
    *(None, True, False, -1, 0, 1, 2, 10**6, 10**8, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "x", "64", "nan"),
    *("\ud800", "\u0663", "a\nb", "[bold]", "../../x", "x" * 70_000, [], {}, [[]], [None], ["ibug68"], [-1], {"a": 1}),
    *([1e300] * 3, [[[[[0]]]]]),
)


# === Text ===

TOKEN = re.compile(rb"[^\s,:]+")


def text_token(content: bytes, rng: random.Random) -> bytes:
    """Another token in place of one."""
    found = list(TOKEN.finditer(content))
    if not found:
        return content
    token = rng.choice(found)
    return content[: token.start()] + rng.choice(ODD).encode() + content[token.end() :]


def text_digit(content: bytes, rng: random.Random) -> bytes:
    """A decimal point is lost, a sign or digit is added."""
    found = list(re.finditer(rb"\d\.\d", content)) or list(re.finditer(rb"\d", content))
    if not found:
        return content
    place = rng.choice(found).start() + 1
    return content[:place] + rng.choice((b"", b"-", b"0000000", b" ", b",")) + content[place + rng.choice((0, 1)) :]


def text_line(content: bytes, rng: random.Random) -> bytes:
    """A line is lost, doubled, emptied, or changes places with another."""
    lines = content.splitlines(keepends=True)
    if not lines:
        return content
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    what = rng.randrange(4)
    if what == 0:
        del lines[first]
    elif what == 1:
        lines.insert(second, lines[first])
    elif what == 2:
        lines[first], lines[second] = lines[second], lines[first]
    else:
        lines[first] = b"\n"
    return b"".join(lines)


def text_insert(content: bytes, rng: random.Random) -> bytes:
    """A byte order mark, a byte of Latin-1, NUL, a carriage return, a quote or a web page somewhere; mostly at the start."""
    odd = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xe9", b"\x00", b"\r", b'"', b"<html>", b"\x0b", b"\x1c", "\u2028".encode(), b"," * 50)
    place = 0 if rng.random() < 0.4 else rng.randint(0, len(content))
    return content[:place] + rng.choice(odd) + content[place:]


def text_ends(content: bytes, rng: random.Random) -> bytes:
    """Line ends of Windows or of old Macs, another encoding, or one long line."""
    ways = (
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text.replace(b"\n", b"\r"),
        lambda text: text.replace(b"\n", b" "),
        lambda text: text.decode("latin-1").encode("utf-16"),
        lambda text: text.replace(b" ", b"\t"),
        lambda text: text.replace(b".", b","),
    )
    return rng.choice(ways)(content)


# === XML ===


def xml_bomb(content: bytes, rng: random.Random) -> bytes:
    """A document type whose entities grow tenfold with each, name a file of the system, or are only declared."""
    entities = ['<!ENTITY a0 "ha">', *(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))]
    kinds = (
        ("".join(entities), b"&a9;"),
        ('<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;">', b"&b;"),
        ('<!ENTITY f SYSTEM "file:///etc/passwd">', b"&f;"),
        ('<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;', b""),
    )
    declared, used = rng.choice(kinds)
    start = content.find(b"?>") + 2 if content.startswith(b"<?xml") else 0
    head, body = content[:start], content[start:]
    place = body.find(b'"') + 1 if rng.random() < 0.5 else body.find(b">") + 1
    return head + f"<!DOCTYPE x [{declared}]>".encode() + body[:place] + used + body[place:]


def xml_element(content: bytes, rng: random.Random) -> bytes:
    """An element is gone, there many times, inside of itself again and again, or called otherwise."""
    found = list(re.finditer(rb"<(\w+)[^<>]*>", content))
    if not found:
        return content
    tag = rng.choice(found)
    ways = (b"", tag[0] * 2, tag[0] * 5_000, b"<image>", tag[0][:-1] + b' x="1" x="2">', b"<![CDATA[" + tag[0])
    return content[: tag.start()] + rng.choice(ways) + content[tag.end() :]


# === Bytes ===


def cut(content: bytes, rng: random.Random) -> bytes:
    """The content ends early."""
    return content[: rng.randrange(len(content))] if content else content


def empty(content: bytes, rng: random.Random) -> bytes:
    """Nothing is left, or only zeros."""
    return rng.choice((b"", bytes(len(content)), b"\n"))


def flip(content: bytes, rng: random.Random) -> bytes:
    """One to eight bits are others; every second time near the start, where headers are."""
    if not content:
        return content
    changed = bytearray(content)
    end = len(content) if rng.random() < 0.5 else min(len(content), 256)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        changed[rng.randrange(end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def run(content: bytes, rng: random.Random) -> bytes:
    """A run of bytes becomes zeros, ones or noise."""
    start = rng.randint(0, len(content))
    length = min(rng.choice((1, 2, 4, 16, 64, 512)), len(content) - start)
    filling = rng.choice((bytes(length), b"\xff" * length, rng.randbytes(length)))
    return content[:start] + filling + content[start + length :]


def field(content: bytes, rng: random.Random) -> bytes:
    """Two, four or eight bytes become a length of 0, 1, or the most there is, in either order of bytes."""
    width = rng.choice((2, 4, 4, 4, 8))
    if len(content) < width:
        return content
    end = len(content) - width
    place = rng.randint(0, end if rng.random() < 0.4 else min(end, 200))
    value = rng.choice(FIELDS[width]).to_bytes(width, rng.choice(("little", "big")))
    return content[:place] + value + content[place + width :]


def splice(content: bytes, rng: random.Random) -> bytes:
    """A piece of the content stands elsewhere, too, or in place of what was there, or is gone."""
    start, length = rng.randint(0, len(content)), rng.choice((1, 4, 16, 100, 1000))
    place, piece = rng.randint(0, len(content)), content[start : start + length]
    return content[:place] + rng.choice((piece, piece * 20, b"")) + content[place + rng.choice((0, length)) :]


# === YAML ===

# What stands where a value should: tags that make objects, anchors, aliases, merge keys, lists in one another, numbers of other
# readers, blocks, and keys that are no names.
HARM = (
    *("!!python/object/apply:os.system ['touch CANARY']", "!!python/name:os.system", "!!binary aGk=", "!!set {a}", "! x"),
    *("&a [*a, *a]", "&a x", "*a", "{<<: *a}", "<<", "{? [1]: 2}", "[" * 300, "{a: " * 300, "[" * 300 + "]" * 300, "- " * 50),
    *("010", "1_0", "1:30", "0x1", "0o1", "yes", "~", "", "2001-01-01", ".inf", "-.nan", "1e99", "1" * 5000, "\u0661", "-0"),
    *("|\n  1", ">-\n  x", '"\\x00"', '"\\ud800"', "'", '"', "%", "@", "`", "#", ": ", "[,]", "[1,,2]", "{}", "[]", "---", "..."),
    *(
        "[0, 1, 0]",
        "[-1]",
        "[5]",
        "[4096]",
        "[true]",
        "[0.0]",
        "[[0], [1]]",
        "{a: [0, 9]}",
        "x" * 70_000,
        "[" + "0," * 9000 + "]",
    ),
)


def yaml_harm(content: bytes, rng: random.Random) -> bytes:
    """A value after a colon or in a list becomes one of `HARM`, or a line like that of a bomb stands first."""
    if rng.random() < 0.1:
        lines = [f"x{place}: &x{place} [{', '.join([f'*x{place - 1}'] * 9 if place else ['x'] * 9)}]" for place in range(12)]
        return "\n".join([*lines, ""]).encode() + content
    found = list(re.finditer(rb"(?<=[:,\[] )[^,\n]+|(?<=\[)[^,\]\n]+", content))
    if not found:
        return rng.choice(HARM).encode() + content
    value = rng.choice(found)
    return content[: value.start()] + rng.choice(HARM).encode() + content[value.end() :]


# === JSON ===


def json_value(content: bytes, rng: random.Random) -> bytes:
    """Another value, of another type, in place of one."""
    return _json(content, rng, lambda parent, key: parent.__setitem__(key, rng.choice(VALUES)))


def json_drop(content: bytes, rng: random.Random) -> bytes:
    """A key or an element is gone."""
    return _json(content, rng, lambda parent, key: parent.__delitem__(key))


def json_deep(content: bytes, rng: random.Random) -> bytes:
    """A value nested deeper than any parser's stack, or a number with more digits than Python converts."""
    odd = ("[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 3_000 + "1" + "}" * 3_000, "9" * 5_000, "NaN", "Infinity")
    mark = "a mark that is nowhere else"
    marked = _json(content, rng, lambda parent, key: parent.__setitem__(key, mark))
    return marked.replace(json.dumps(mark).encode(), rng.choice(odd).encode())


def json_key(content: bytes, rng: random.Random) -> bytes:
    """A key is called otherwise, or a list is longer."""

    def change(parent: Any, key: Any) -> None:
        if isinstance(parent, list):
            parent.extend(parent[key : key + 1] * rng.choice((1, 3, 1000)))
        else:
            parent[rng.choice(("", "x", str(key).upper(), "\ud800", "__class__"))] = parent.pop(key)

    return _json(content, rng, change)


def _json(content: bytes, rng: random.Random, change: Callable[[Any, Any], None]) -> bytes:
    try:
        root = [json.loads(content)]
        places = list(places_in(root))
        change(*rng.choice(places))
        return json.dumps(root[0]).encode() if root else b""
    except (ValueError, RecursionError):
        return content


def places_in(parent: Any) -> Iterator[tuple[Any, Any]]:
    """Every (parent, key) below a list or dict."""
    for key, value in parent.items() if isinstance(parent, dict) else enumerate(parent):
        yield parent, key
        if isinstance(value, dict | list):
            yield from places_in(value)
