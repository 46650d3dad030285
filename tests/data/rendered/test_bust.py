"""Necks and clothes: where they are laid, and how much they differ."""

import dataclasses

import numpy as np
import pytest

from kfacealign.data.rendered import bust, face3d, sampling, synthetic
from kfacealign.data.rendered.look import BALD, SCARF
from kfacealign.data.rendered.render import Drawing, View

FACE = face3d.Face()
GREEN = (0, 255, 0)


def look(seed, **changes):
    plain = {"hair_style": BALD, "beard": 0.0, "ambient": 0.9, "diffuse": 0.1, "skin": (200.0, 150.0, 120.0), "seed": seed}
    return dataclasses.replace(sampling.sample_look(np.random.default_rng(0)), **{**plain, **changes})


def seed_of(kind):
    """The first seed whose person wears this."""
    return next(seed for seed in range(500) if bust.Bust(FACE, look(seed), 12.0).kind == kind)


def brightness_below_the_chin(seed):
    """Brightness of the neck's middle right below the chin, over that of the bare skin."""
    painted = bust.Bust(FACE, look(seed), 40.0)
    column, row = ((np.array((0.0, FACE.chin_y + 0.08)) - (bust.LEFT, bust.TOP)) * 40).astype(int)
    return painted.image[row - 1 : row + 2, column - 3 : column + 4].mean() / np.mean(look(seed).skin)


def test_a_painted_point_lies_where_the_corners_say():
    """A square around (0.5, 2.0), on a painting turned by a quarter, twice as large: the middle is worked out by hand."""
    painted = bust.Bust(FACE, look(0), 10.0)
    height, width = painted.shape
    assert (height, width) == (35, 53)
    painted.image[:], painted.mask[:] = 0, 255
    painted.image[13:17, 29:33] = 255  # x 29..33 px, y 13..17 px of the painting: the middle is (31, 15)
    image = np.zeros((160, 160, 3), np.uint8)
    # The painting's (0, 0) at (100, 20), its x axis down the image, its y axis to the left: (31, 15) -> (100 - 30, 20 + 62).
    painted.lay_on(image, np.array([(100, 20), (100, 20 + 2 * width), (100 - 2 * height, 20)], float))
    rows, columns = np.nonzero(image[..., 0] > 127)
    assert columns.mean() + 0.5 == pytest.approx(70, abs=0.1)
    assert rows.mean() + 0.5 == pytest.approx(82, abs=0.1)


def test_only_what_an_image_shows_is_painted():
    """Ten pixels a unit; the image ends 26 px right of the whole bust's left side and 17 px below its top, and 3 px are added."""
    corners = np.array([(0, 0), (52, 0), (0, 34)], float)
    part, own = bust.shown(corners, (17, 26))
    np.testing.assert_allclose(part, (bust.LEFT, bust.TOP, bust.LEFT + 2.9, bust.TOP + 2.0))
    np.testing.assert_allclose(own, [(0, 0), (29, 0), (0, 20)])
    part, own = bust.shown(corners - (40, 20), (17, 26))  # 12 px of the right and 14 px of the bottom are left
    np.testing.assert_allclose(part, (bust.RIGHT - 1.5, bust.BOTTOM - 1.7, bust.RIGHT, bust.BOTTOM))
    np.testing.assert_allclose(own, [(-3, -3), (12, -3), (-3, 14)])
    assert bust.shown(corners + (0, 40), (17, 26)) is None
    # Turned by a quarter, its x axis goes down the image and its y axis to the left.
    part, own = bust.shown(np.array([(20, 0), (20, 52), (-14, 0)], float), (26, 17))
    np.testing.assert_allclose(part, (bust.LEFT, bust.TOP, bust.LEFT + 2.9, bust.TOP + 2.3))
    np.testing.assert_allclose(own, [(20, 0), (20, 29), (-3, 0)])


@pytest.mark.parametrize("turn", [0, 20, 130])
def test_a_part_of_a_bust_is_laid_like_the_whole(turn):
    """Bare shoulders, which have no random pattern, differ by less than half of what a shift of two pixels makes."""
    seed, (width, height) = seed_of(bust.BARE), (140, 120)
    sine, cosine = np.sin(np.radians(turn)), np.cos(np.radians(turn))
    across = 60 * (bust.RIGHT - bust.LEFT) * np.array((cosine, sine))
    down = 60 * (bust.BOTTOM - bust.TOP) * np.array((-sine, cosine))
    origin = np.array((70, 60)) - 0.5 * across - 0.4 * down
    corners = np.array([origin, origin + across, origin + down])
    images = np.full((2, height, width, 3), GREEN, np.uint8)
    whole = bust.Bust(FACE, look(seed), 60.0)
    whole.lay_on(images[0], corners)
    part, own = bust.shown(corners, (height, width))
    painted = bust.Bust(FACE, look(seed), 60.0, part)
    painted.lay_on(images[1], own)
    assert painted.image.size < 0.75 * whole.image.size
    assert 0.3 < (images[1] != GREEN).any(-1).mean() < 0.95
    one, other = images.astype(int)
    for axis in (0, 1):
        assert np.abs(one - other).mean() < 0.5 * np.abs(one - np.roll(one, 2, axis)).mean()


@pytest.mark.parametrize("part", [(bust.LEFT, bust.TOP, bust.RIGHT, bust.TOP + 1e-4), (0.0, 1.5, 1e-4, 1.5 + 1e-4)])
def test_a_sliver_of_a_bust_is_laid(part):
    for seed in range(12):
        image = np.full((40, 40, 3), GREEN, np.uint8)
        bust.Bust(FACE, look(seed), 24.0, part).lay_on(image, np.array([(-5.0, 39.9), (45.0, 39.9), (-5.0, 40.0)]))
        assert (image[:36] == GREEN).all()


@pytest.mark.parametrize("roll, below", [(0, (0, 1)), (180, (0, -1)), (90, (-1, 0))])
def test_the_neck_follows_a_head_that_lies(roll, below):
    """A clockwise quarter turn brings the chin to the left."""
    view = synthetic.placed(FACE, View(0.0, 0.0, np.radians(roll)), {"x": 0.0, "y": 0.0, "share": 0.4}, 240)
    image = np.full((240, 240, 3), GREEN, np.uint8)
    Drawing(image, FACE, view, look(3)).draw()
    chin = view.project(FACE.lift(np.array([(0.0, FACE.chin_y - 0.02)])))[0][0]
    away = 0.12 * view.scale
    x, y = (chin + away * np.array(below)).astype(int)
    assert tuple(image[y, x]) != GREEN
    x, y = (chin - 3.5 * view.scale * np.array(below)).clip(0, 239).astype(int)
    assert tuple(image[y, x]) == GREEN  # beyond the crown there is no neck


def test_necks_are_as_bright_as_the_face_and_in_deep_shadow():
    ratios = [brightness_below_the_chin(seed) for seed in range(60)]
    assert min(ratios) < 0.55 and max(ratios) > 0.85


def test_bare_shoulders_are_skin_and_a_jacket_is_not():
    bare, jacket = (bust.Bust(FACE, look(seed_of(kind)), 30.0) for kind in (bust.BARE, bust.JACKET))
    row = int((FACE.chin_y + 1.3 - bust.TOP) * 30)
    red, _, blue = np.moveaxis(bare.image[row].astype(int), -1, 0)
    assert (red - blue)[60:100].min() > 10
    suit = jacket.image[row, :20].astype(int)
    assert np.abs(suit[:, 0] - suit[:, 2]).mean() < 0.5 * (red - blue)[:20].mean()


def test_every_kind_of_clothes_is_worn_as_often_as_its_share():
    kinds = np.bincount([bust.Bust(FACE, look(seed), 10.0).kind for seed in range(400)], minlength=len(bust.SHARES)) / 400
    np.testing.assert_allclose(kinds, bust.SHARES, atol=0.07)


def test_a_scarf_covers_the_neck():
    cloth = (20.0, 40.0, 220.0)
    for seed in range(5):
        painted = bust.Bust(FACE, look(seed, hair_style=SCARF, cloth=cloth), 30.0)
        row, column = int((FACE.chin_y + 0.1 - bust.TOP) * 30), painted.shape[1] // 2
        red, _, blue = painted.image[row, column].astype(int)
        assert blue > 1.5 * red
