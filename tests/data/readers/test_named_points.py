"""Which scheme the names of points tell, and in which order the points are then."""

import pytest

from kfacealign import schemes
from kfacealign.data.readers.named_points import natural, scheme_of

AFLW19 = schemes.get("aflw19")
FIVE = ["left_eye", "right_eye", "nose", "left_mouth", "right_mouth"]


def test_names_of_a_scheme_in_any_order():
    names = list(AFLW19.point_names[::-1])
    scheme, order = scheme_of("here", names)
    assert scheme == AFLW19 and [names[place] for place in order] == list(AFLW19.point_names)
    scheme, order = scheme_of("here", names, scheme="aflw19")
    assert scheme == AFLW19 and order.tolist() == list(range(18, -1, -1))


def test_numbers_tell_the_scheme_by_how_many_they_are():
    for names in ([str(n) for n in range(68)], [f"p{n}" for n in range(1, 69)], [f"kp-{n:02d}" for n in range(68)]):
        scheme, order = scheme_of("here", names)
        assert scheme.name == "ibug68" and order.tolist() == list(range(68))
    with pytest.raises(ValueError, match="here: faces of 5 points without names, aflw19 has 19: no scheme has so many"):
        scheme_of("here", list("12345"), scheme="aflw19")


def test_a_scheme_that_is_given_counts_where_it_has_as_many_points():
    names = [f"{n}th thing" for n in range(19)]
    assert scheme_of("here", names, scheme="aflw19")[0] == AFLW19
    with pytest.warns(UserWarning, match="here: which points change places in a mirror .* 19 of 19 points"):
        assert scheme_of("here", names, scheme="ibug68")[0].num_points == 19


def test_a_scheme_of_other_names():
    scheme, order = scheme_of("here", FIVE, lines=[(0, 1), (3, 4), (2, 2)])
    assert scheme.point_names == tuple(FIVE) and scheme.mirror == (1, 0, 2, 4, 3) and order.tolist() == [0, 1, 2, 3, 4]
    assert scheme.regions == {"eyes": (0, 1), "nose": (2,), "mouth": (3, 4)}
    assert [contour.points for contour in scheme.contours] == [(0, 1), (3, 4)] and scheme.default_normalizer == "box"
    schemes.Scheme.from_config(scheme.get_config())  # a model file can hold it
    told, _ = scheme_of("here", ["a", "b"], mirror=[1, 0])
    assert told.mirror == (1, 0)
    with pytest.raises(ValueError, match=r"here: .* mirror is no permutation"):
        scheme_of("here", ["a", "b"], mirror=[0, 0])


@pytest.mark.parametrize(
    "names, message",
    [
        ([], "0 points"),
        (["a", "b", "a"], "two points are called 'a'"),
        (["a" * 101, "b"], "expected 1 to 100 printable"),
        (["a\n", "b"], "printable"),
        (["", "b"], "printable"),
        ([f"x{n}y" for n in range(5000)], "5,000 points in a face"),
    ],
)
def test_names_that_are_refused(names, message):
    with pytest.raises(ValueError, match=f"here: .*{message}"):
        scheme_of("here", names)


def test_numbers_in_names_count_as_numbers():
    assert sorted(["p10", "p9", "p1", "a"], key=natural) == ["a", "p1", "p9", "p10"]
    assert sorted(["10", "9", "01"], key=natural) == ["01", "9", "10"]
