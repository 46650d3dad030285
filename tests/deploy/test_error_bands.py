"""How errors grow with the turn of a head: what is read from rows, what is refused, what a user is told."""

import pytest

from kfacealign.deploy import error_bands


def band(of, start, end, error):
    return {"of": of, "from": start, "to": end, "error": error}


def test_bands_are_the_rows_of_an_angle_that_were_measured():
    rows = [
        {"group": "all", "faces": 9, "nme": 2.0, "box": 1.0},
        {"group": "yaw 0 to 15 degrees", "of": "yaw", "from": 0, "to": 15, "faces": 9, "nme": 2.0, "box": 1.234},
        {"group": "yaw 15 to 30 degrees", "of": "yaw", "from": 15, "to": 30, "faces": 0, "nme": None, "box": None},
    ]
    assert error_bands.bands(rows) == [band("yaw", 0, 15, 1.23)]


def test_the_reach_ends_before_the_first_band_of_twice_the_error():
    value = [band("yaw", 30, 45, 2.01), band("yaw", 0, 15, 1.0), band("yaw", 15, 30, 2.0), band("yaw", 45, 60, 1.5)]
    assert error_bands.is_bands(value)
    assert error_bands.reach(value, "yaw") == 30
    assert error_bands.reach(value, "roll") is None
    assert error_bands.sentences(value) == [
        "Do not use beyond 30 degrees of yaw: from there the error is 2.01 % of the box, with heads that look ahead it is 1.00 %."
    ]


def test_what_was_not_measured_is_told_unless_there_is_nothing_beyond():
    value = [band("yaw", 0, 90, 1.0), band("pitch", 0, 25, 1.0), band("roll", 0, 180, 1.0)]
    assert error_bands.sentences(value) == ["Beyond 25 degrees of pitch nothing was measured."]


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        [1],
        [band("skin", 0, 15, 1.0)],
        [band("yaw", 15, 15, 1.0)],
        [band("yaw", 0, 200, 1.0)],
        [band("yaw", 0, 15, "1")],
        [band("yaw", 0, 15, float("nan"))],
        [band("yaw", False, 15, 1.0)],
        [{"of": "yaw", "from": 0, "to": 15}],
        [band("yaw", 0, 15, 1.0)] * 101,
    ],
)
def test_what_are_no_bands(value):
    assert not error_bands.is_bands(value)
