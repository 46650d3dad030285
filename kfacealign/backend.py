"""Keras, imported without the notices that its backends print when they start.

Every module that may be the first to need Keras imports it from here.
"""

from kfacealign.quiet import quiet

with quiet():
    import keras
    from keras import ops

__all__ = ["keras", "ops"]
