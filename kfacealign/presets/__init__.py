"""Bundled models: found by name, checked by their checksums, described by a card each."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
