"""Datasets, crops, batches, random views and the embedded synthetic faces."""

from kfacealign.data.crops import Crops
from kfacealign.data.faces import Dataset, Face, Faces
from kfacealign.data.pipeline import FaceBatches, pipeline
from kfacealign.data.pts import pts
from kfacealign.data.synthetic import SyntheticFaces
from kfacealign.data.synthetic_disk import write_clips, write_pts, write_wflw
from kfacealign.data.unlabelled import ignore_labels, image_folder, mixed
from kfacealign.data.views import RandomView
from kfacealign.data.wflw import wflw

__all__ = [
    "Crops",
    "Dataset",
    "Face",
    "FaceBatches",
    "Faces",
    "RandomView",
    "SyntheticFaces",
    "ignore_labels",
    "image_folder",
    "mixed",
    "pipeline",
    "pts",
    "wflw",
    "write_clips",
    "write_pts",
    "write_wflw",
]
