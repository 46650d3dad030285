"""JSON and XML of strangers: what is read, and what is refused."""

import pytest

from kfacealign.data.readers import documents
from kfacealign.data.readers.documents import entry, numbers, read_json, read_xml

XML = '<?xml version="1.0"?>\n<set>\n  <item name="ä &amp; b"><part/>\n<part x="1">two</part></item>\n  <item/>\n</set>\n'


def test_elements_have_lines_texts_and_children(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(XML, encoding="utf-8")
    first, second = read_xml(path, "set", ("item",))
    assert (first.attributes, first.line, second.line) == ({"name": "ä & b"}, 3, 5)
    assert [(part.line, part.attributes, part.text) for part in first.all("part")] == [(3, {}, ""), (4, {"x": "1"}, "two")]
    assert second.children == [] and first.text_of("part") == "" and first.text_of("absent") == ""


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "iso-8859-1"])
def test_encodings_that_the_file_tells(tmp_path, encoding):
    named = encoding.removesuffix("-sig")
    (tmp_path / "a.xml").write_bytes(XML.replace("?>", f' encoding="{named}"?>', 1).encode(encoding))
    assert next(read_xml(tmp_path / "a.xml", "set", ("item",))).attributes["name"] == "ä & b"


BOMB = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 10))


@pytest.mark.parametrize(
    "content, line, message",
    [
        (f'<!DOCTYPE set [<!ENTITY a0 "ha">{BOMB}]>\n<set>&a9;</set>', 1, "declares a document type"),
        ('<!DOCTYPE set SYSTEM "file:///etc/passwd">\n<set/>', 1, "declares a document type"),
        ('<?xml version="1.0"?>\n<!DOCTYPE set [<!ENTITY f SYSTEM "file:///etc/passwd">]><set>&f;</set>', 2, "document type"),
        ("<set>\n&undefined;</set>", 2, "not XML, or damaged"),
        ("<set>\n<item></set>", 2, "not XML, or damaged"),
        ("<html>\n</html>", 1, "the outermost element is <html>, expected <set>"),
        ("", 1, "not XML, or damaged"),
        ("<set>" + "\n<item>" * 40, 33, "more than 32 elements inside of each other"),
        ('<?xml version="1.0" encoding="klingon"?><set/>', 1, "not XML, or"),
    ],
)
def test_xml_that_is_refused(tmp_path, content, line, message):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(ValueError, match=rf"a\.xml:{line}: .*{message}"):
        list(read_xml(tmp_path / "a.xml", "set", ("item",)))


def test_a_picture_has_a_limit_and_a_file_none(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "MOST", 10)
    (tmp_path / "many.xml").write_text(f"<set>{'<item><part/></item>' * 100}</set>")
    assert len(list(read_xml(tmp_path / "many.xml", "set", ("item",)))) == 100
    (tmp_path / "one.xml").write_text(f"<set><item>{'<part/>' * 10}</item></set>")
    with pytest.raises(ValueError, match=r"one\.xml:1: more than 10 elements in one <item>"):
        list(read_xml(tmp_path / "one.xml", "set", ("item",)))
    monkeypatch.setattr(documents, "LONGEST", 10)
    (tmp_path / "long.xml").write_text(f"<set><item>{'x' * 11}</item></set>")
    with pytest.raises(ValueError, match=r"long\.xml:1: more than 10 characters in <item>"):
        list(read_xml(tmp_path / "long.xml", "set", ("item",)))
    monkeypatch.setattr(documents, "LIMIT", 100)
    with pytest.raises(OSError, match="larger than"):
        list(read_xml(tmp_path / "many.xml", "set", ("item",)))


@pytest.mark.parametrize(
    "content, message",
    [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": NaN}', "NaN is no number"),
        (b"[1e999]", None),
        (b"[" + b"9" * 5000 + b"]", "no JSON"),
        (b"{\n\n]", "a.json:3: no JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"", "no JSON"),
    ],
)
def test_json_that_is_refused(tmp_path, content, message):
    (tmp_path / "a.json").write_bytes(content)
    if message is None:
        with pytest.raises(ValueError, match="here: these holds Infinity, expected no number beyond 1,000,000"):
            numbers("here", read_json(tmp_path / "a.json"), what="these")
        return
    with pytest.raises(ValueError, match=message) as caught:
        read_json(tmp_path / "a.json")
    assert "a.json" in str(caught.value)


def test_json_with_a_byte_order_mark(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa4"}')
    assert read_json(tmp_path / "a.json") == {"a": "ä"}


def test_values_of_json():
    content = {"number": 2.5, "whole": 3, "flag": True, "nothing": None, "text": "x" * 100}
    assert entry("here", content, "whole", int) == 3 and entry("here", content, "number", (int, float)) == 2.5
    assert entry("here", content, "nothing", list, default=[]) == [] == entry("here", content, "absent", list, default=[])
    for key, kind, message in (
        ("flag", int, "flag is true, expected a whole number"),
        ("absent", str, "absent is absent, expected a text"),
        ("text", (int, list), "text is 'x{60}...', expected a whole number or a list"),
    ):
        with pytest.raises(ValueError, match=f"here: {message}"):
            entry("here", content, key, kind)
    with pytest.raises(ValueError, match="here: a list, expected an object with 'a'"):
        entry("here", [], "a", int)
    assert numbers("here", [1, 2.5], what="these", count=2).tolist() == [1, 2.5]
    for wrong, message in (
        ([1, "2"], "these holds '2', expected numbers"),
        ([True, 1], "these holds true, expected numbers"),
        ([1], "these is 1 values, expected 2 numbers"),
        (7, "these is 7, expected 2 numbers"),
        ([1, 10**400], "these holds 1000*"),
    ):
        with pytest.raises(ValueError, match=f"here: {message}"):
            numbers("here", wrong, what="these", count=2)
