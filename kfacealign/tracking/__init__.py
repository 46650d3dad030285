"""Videos: faces that are followed from frame to frame, each under an id of its own."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
