"""Datasets, crops, batches, random views and the embedded synthetic faces."""

from kfacealign.data.crops import Crops
from kfacealign.data.faces import Dataset
from kfacealign.data.faces import Face
from kfacealign.data.faces import Faces
from kfacealign.data.pipeline import FaceBatches
from kfacealign.data.pipeline import pipeline
from kfacealign.data.pts import pts
from kfacealign.data.views import RandomView
from kfacealign.data.wflw import wflw

__all__ = ["Crops", "Dataset", "Face", "FaceBatches", "Faces", "RandomView", "pipeline", "pts", "wflw"]
