import numpy as np
import pytest

from kfacealign.data.faces import Faces
from kfacealign.data.people import guessed, held_out, who


def faces(names, images=None):
    points = np.tile(np.float32([[10, 10], [30, 12], [20, 25]]), (len(names), 23, 1))[:, :68]
    return Faces("ibug68", images or [f"{name}.jpg" for name in names], points, names=names)


def test_the_first_group_of_the_pattern_names_the_person():
    four = faces(["anna_1", "anna_2", "set/bob_1", "carl_b_9"])
    assert who(four, r"([a-z_]+)_\d") == ["anna", "anna", "bob", "carl_b"]
    assert who(four, r"[a-z]+(?=_)") == ["anna", "anna", "bob", "carl"], "all that matches, where there is no group"


def test_without_a_pattern_the_faces_of_one_photograph_stay_together():
    assert who(faces(["0", "1", "2"], images=["a.jpg", "b.jpg", "a.jpg"])) == ["a.jpg", "b.jpg", "a.jpg"]


def test_what_the_pattern_does_not_find_is_named():
    with pytest.raises(ValueError, match=r"finds nobody in the name 'x7'"):
        who(faces(["anna_1", "x7"]), r"([a-z]+)_")
    with pytest.raises(ValueError, match=r"finds nobody in the name '_1'"):
        who(faces(["_1"]), r"([a-z]*)_")
    with pytest.raises(ValueError, match=r"'\(' is no regular expression"):
        who(faces(["anna_1"]), "(")


def test_names_without_the_number_at_their_end_are_people():
    names = ["f/Ann_Lee_03.jpg", "Ann_Lee_4", "x.y_7.png", "a.b_3", "012", "f/012.jpg", "bob", "bob.jpeg", "carl-9"]
    assert guessed(names) == ["f/Ann_Lee", "Ann_Lee", "x.y", "a.b", "012", "f/012.jpg", "bob", "bob.jpeg", "carl"]


@pytest.mark.parametrize("seed", range(5))
def test_whole_people_are_held_out_as_far_as_they_fit(seed):
    people = list("aaabbbc")
    # One face of seven: c alone has so few.
    assert held_out(people, 1 / 7, seed=seed).tolist() == [False] * 6 + [True]
    # Three of seven: a, or b, or c and then neither.
    assert "".join(np.array(people)[held_out(people, 3 / 7, seed=seed)]) in ("aaa", "bbb", "c")
    # One of seven, and nobody has so few: the smaller one.
    assert "".join(np.array(list("aaabbbb"))[held_out(list("aaabbbb"), 0.1, seed=seed)]) == "aaa"


def test_the_split_is_that_of_the_seed():
    people = [str(number) for number in range(20)]
    splits = [held_out(people, 0.15, seed=seed) for seed in range(6)]
    assert [split.sum() for split in splits] == [3] * 6
    assert len({split.tobytes() for split in splits}) > 1
    assert (held_out(people, 0.15, seed=3) == splits[3]).all()
    # By hand: the first three of the permutation of the people in the order of their names.
    names = np.array(sorted(people))
    assert {people[place] for place in np.flatnonzero(splits[0])} == set(names[np.random.default_rng(0).permutation(20)[:3]])


def test_somebody_is_on_either_side():
    assert held_out(["a", "b"], 0.01).sum() == held_out(["a", "b"], 0.99).sum() == 1
    for few in ([], ["a"], ["a", "a"]):
        with pytest.raises(ValueError, match="cannot be split"):
            held_out(few, 0.5)
    for share in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="above 0 and below 1"):
            held_out(["a", "b"], share)
