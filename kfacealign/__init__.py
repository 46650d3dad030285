"""kfacealign: facial landmark alignment in Keras 3.

Everything is imported when it is first used, so that a program which only runs a `.tflite` file needs no Keras; what there
is stands in `__init__.pyi`. A `.keras` file of this package loads by `kfacealign.load`; before
`keras.saving.load_model`, import `kfacealign.models`, which makes its classes known to Keras.
"""

import lazy_loader

from kfacealign.version import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
