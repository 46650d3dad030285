"""kfacealign: facial landmark alignment in Keras 3."""

from kfacealign.quiet import quiet

with quiet():  # notices that backends print when they start
    import keras  # noqa: F401

from kfacealign import codecs, data, deploy, evaluation, layers, losses, models, presets, schemes, training
from kfacealign.presets import from_preset

__version__ = "0.1.0"

__all__ = [
    "__version__",
    "codecs",
    "data",
    "deploy",
    "evaluation",
    "from_preset",
    "layers",
    "losses",
    "models",
    "presets",
    "schemes",
    "training",
]
