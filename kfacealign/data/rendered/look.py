"""What a rendered face looks like: its colours, its light and what it wears."""

import dataclasses
from collections.abc import Sequence

Color = tuple[float, float, float]  # RGB, 0..255

BALD, SHORT, LONG, RECEDING, CURLY, TIED, CAP, SCARF = range(8)  # styles of hair


@dataclasses.dataclass(frozen=True, kw_only=True)
class Look:
    """Colours and extras of a face."""

    skin: Color
    hair: Color
    iris: Color
    lips: Color
    hair_style: int  # one of the styles above
    fringe: float  # y down to which hair hangs over the forehead; FOREHEAD for none
    brow_strength: float
    beard: float
    make_up: float
    shadow: Color
    light: tuple[float, float, float]  # direction to the light, of unit length, in camera coordinates
    ambient: float
    diffuse: float
    glasses: int  # 0 none, 1 frames, 2 sunglasses
    glasses_color: Color
    hairline: float = -0.95  # y of the hair's edge above the middle of the forehead
    cloth: Color = (90.0, 90.0, 90.0)  # of a cap, a scarf, a mask and clothes
    fill: tuple[float, float, float] = (0.0, 0.0, 1.0)  # direction to a second light
    fill_color: Color = (0.0, 0.0, 0.0)  # its strength in red, green and blue, 0 to 1
    tint: Color = (1.0, 1.0, 1.0)  # colour of the first light
    shine: float = 0.35  # how much light the skin mirrors
    texture: float = 1.0  # strength of pores and blotches
    blush: float = 0.2
    freckles: int = 0
    age: float = 0.0  # depth of wrinkles, 0 to 1
    stubble: bool = False  # a beard that is only a shadow
    mask: bool = False  # a cloth mask over mouth and nose
    seed: int = 0  # of what has no name of its own: strands, spots, pores


def mixed(first: Sequence[float], second: Sequence[float], share: float) -> Color:
    """`first` with a `share` of `second`."""
    (a, b, c), (d, e, f) = first, second
    return a + (d - a) * share, b + (e - b) * share, c + (f - c) * share
