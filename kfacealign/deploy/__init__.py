"""Exporting aligners, running what was exported, measuring it, and making it small.

exporting/      what writes SavedModels, TFLite and ONNX files and OpenVINO models
runtime/        what runs them; it needs neither Keras nor TensorFlow for a `.tflite`, `.onnx` or `.xml` file
measure/        parity, inspection, benchmark, error by layer
compression/    quantisation-aware training and pruning through tf-keras twins
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
