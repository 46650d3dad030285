"""The run that recipes call, and what goes beyond it: self-training, domain-adversarial and Siamese training."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
