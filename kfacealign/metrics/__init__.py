"""Errors of landmarks, how they are distributed, and how much tracked landmarks tremble."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
