"""Reports of a model's errors, their pictures, protocols of benchmarks, and comparison of runs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
