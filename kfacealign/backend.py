"""Keras, imported without the notices that its backends print when they start.

Whatever in this package may be the first to need Keras takes it from here.
"""

from kfacealign.quiet import quiet

with quiet():
    import keras
    from keras import ops

__all__ = ["keras", "ops"]
