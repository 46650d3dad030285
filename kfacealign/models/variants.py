"""The networks of each method, and the methods that are known.

A method is known when its class is registered with Keras and its module is imported. The tables of sizes, of exports and of
the leaderboard ask `methods()`; none of them holds a list of its own.
"""

import dataclasses
from typing import Any

import keras

from kfacealign.models.aligner import FaceAligner


@dataclasses.dataclass(frozen=True, eq=False)
class Variant:
    """One network of a method: a row of the tables.

    Attributes:
        name: what the paper's table calls the network.
        settings: arguments of the model.
        scheme: name of the landmark scheme at which the published number of parameters holds.
        parameters: millions of trainable parameters as the paper prints them; "-" where it prints none.
        gflops: billions of multiply-adds as the paper prints them; "-" where it prints none.
        megabytes: size as the paper prints it, four bytes for each trainable parameter in units of 2^20 bytes; where the
            paper prints it, its number of parameters also counts the statistics of batch normalisation. Empty where the
            paper has no such column.
        note: a sentence about how the paper counts.
    """

    name: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    _: dataclasses.KW_ONLY
    scheme: str = "ibug68"
    parameters: str = "-"
    gflops: str = "-"
    megabytes: str = ""
    note: str = ""


def methods() -> dict[str, type[FaceAligner]]:
    """Name -> class of every known method, this package's first.

    This package's methods are its registered subclasses of `FaceAligner` that define `variants` themselves. In any other
    package every registered subclass is a method.
    """
    found = {}
    for kind in dict.fromkeys(keras.saving.get_custom_objects().values()):
        if not (isinstance(kind, type) and issubclass(kind, FaceAligner) and kind is not FaceAligner):
            continue
        if "variants" in vars(kind) or foreign(kind):
            found[kind.__name__] = kind
    return dict(sorted(found.items(), key=lambda item: foreign(item[1])))


def variants_of(method: type[FaceAligner]) -> tuple[Variant, ...]:
    """The networks of a method; where it names none, one network "default" that has the default arguments."""
    return method.variants or (Variant("default"),)


def foreign(method: type) -> bool:
    """Whether a class comes from another package."""
    return method.__module__.partition(".")[0] != __name__.partition(".")[0]
