import pytest

from kfacealign import plain_yaml

BOMB = "a: &a [x, x]\n" + "".join(
    f"{'abcdefgh'[i]}: &{'abcdefgh'[i]} [*{'abcdefgh'[i - 1]}, *{'abcdefgh'[i - 1]}]\n" for i in range(1, 8)
)


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "a.yaml"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return plain_yaml.read(path)

    return read


def test_values_are_what_they_look_like(read):
    text = "a: 12\nb: -0.5\nc: 1e2\nd: [true, false, null, ~]\ne: 'x y'\nf:\n  g: [1, [2]]\nh:\n- i\n- j: 'k'\n"
    value, lines = read(text)
    assert value == {
        "a": 12,
        "b": -0.5,
        "c": 100.0,
        "d": [True, False, None, None],
        "e": "x y",
        "f": {"g": [1, [2]]},
        "h": ["i", {"j": "k"}],
    }
    assert lines == {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6, "h": 8}


@pytest.mark.parametrize(
    "word",
    ["010", "1_000", "1:30", "0x1F", "0o17", "yes", "no", "on", "2001-01-01", ".inf", ".nan", "+1", "٣", "１２", "1.", "9" * 17],
)
def test_what_other_readers_take_for_numbers_is_text(read, word):
    assert read(f"a: {word}\nb: [{word}]\n")[0] == {"a": word, "b": [word]}


@pytest.mark.parametrize("text", ['"12"', "'12'", '"true"', "|-\n  12"])
def test_what_stands_between_quotes_is_text(read, text):
    assert read(f"a: {text}\n")[0]["a"] in ("12", "true")


def test_json_is_read_and_a_byte_order_mark(read):
    assert read(b'\xef\xbb\xbf{"a": [1, 2.5, "b\\u00e9"], "c": {"d": null}}')[0] == {"a": [1, 2.5, "bé"], "c": {"d": None}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, r":1: anchors \(&\) and aliases \(\*\) are not read"),
        ("a: 1\nb: *a\n", r":2: (anchors|no YAML)"),
        ("a: !!python/object/apply:os.system [touch x]\n", r":1: tags \(!\) are not read"),
        ("a: !!binary aGk=\n", r":1: tags"),
        ("a: 1\nb: 2\na: 3\n", ":3: the key 'a' is there twice"),
        ("a:\n  b: 1\n  b: 2\n", ":3: the key 'b' is there twice"),
        ("[" * 20_000, ":1: (more than 16 levels|no YAML)"),
        ("{a: " * 20_000, ":1: (more than 16 levels|no YAML)"),
        ("\n".join("- " * 17 + "x" for _ in range(2)), ":1: more than 16 levels"),
        ("a: [" + "1," * 100_001 + "]\n", ":1: more than 100,000 values"),
        ("? [a]\n: b\n", ":1: a key is a list or a dict"),
        ("a: [1, 2\nb: 3\n", ":[12]: no YAML"),
        ("a: 1\n---\nb: 2\n", ":[23]: a second document begins"),
        ("- a\n", ":1: expected keys with their values"),
        ("", ":1: expected keys with their values"),
        ("x", ":1: expected keys with their values"),
        ("a: \x00", ":1: no YAML"),
        (b"a: 1\nb: \xff\n", ":2: not UTF-8"),
        ("a: 1\nb: '\n", ":[23]: no YAML"),
        ("%YAML 9.9\n---\na: 1\n", ":1: no YAML"),
    ],
)
def test_what_is_refused(read, content, message):
    with pytest.raises(ValueError, match=rf"a\.yaml{message}"):
        read(content)


def test_the_parser_in_python_says_the_same(read, monkeypatch):
    """PyYAML may have been built without libyaml."""
    import yaml

    monkeypatch.delattr(yaml, "CSafeLoader")
    assert read("a: [1, {b: 'c'}]\n") == ({"a": [1, {"b": "c"}]}, {"a": 1})
    for content in (BOMB, "[" * 5_000, "a: [1\nb: 2", "a: 1\na: 2", "a: !x 1", "a: \x01"):
        with pytest.raises(ValueError, match=r"a\.yaml:\d+: "):
            read(content)


def test_a_large_file_is_not_read(read, tmp_path):
    with pytest.raises(OSError, match="larger than 1 MiB"):
        read("a: " + "x" * 2**20)
    with pytest.raises(OSError, match="not a regular file"):
        plain_yaml.read(tmp_path)
