"""Face detectors: from an image to the boxes of its faces.

A detector has one method, `detect(image)`, which returns `Detections`. Whatever the detector itself calls a face, the boxes
of its `Detections` are landmarks' boxes, brows to chin and ear to ear, because crops are made of these.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
