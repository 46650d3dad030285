from .face_tracker import FaceTracker as FaceTracker
from .multi_face_tracker import MultiFaceTracker as MultiFaceTracker
from .one_euro import OneEuro as OneEuro
from .track import Track as Track
