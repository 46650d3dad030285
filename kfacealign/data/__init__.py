"""Datasets, crops, batches, random views and the embedded synthetic faces."""

from kfacealign.data.aflw import aflw
from kfacealign.data.celeba import celeba
from kfacealign.data.clips import ClipBatches, ClipCrops, Clips, ClipsDataset, clip_pipeline, windows
from kfacealign.data.cofw import cofw
from kfacealign.data.cofw68 import cofw68
from kfacealign.data.conversions import convert
from kfacealign.data.crops import Crops
from kfacealign.data.csv_lists import csv_lists
from kfacealign.data.faces import Dataset, Face, Faces
from kfacealign.data.jd106 import jd106
from kfacealign.data.lapa import lapa
from kfacealign.data.menpo import menpo
from kfacealign.data.motion import moving_stills, occluded
from kfacealign.data.packs import pack, packed
from kfacealign.data.pipeline import FaceBatches, pipeline
from kfacealign.data.pts import pts
from kfacealign.data.synthetic import SyntheticFaces
from kfacealign.data.synthetic_disk import write_clips, write_pts, write_wflw
from kfacealign.data.unlabelled import ignore_labels, image_folder, mixed
from kfacealign.data.videos import frame_folders, talking_face, w300vw, ytf68_clips
from kfacealign.data.views import RandomView
from kfacealign.data.w300 import w300
from kfacealign.data.w300lp import w300lp
from kfacealign.data.wflw import wflw
from kfacealign.data.wflw68 import wflw68

__all__ = [
    "ClipBatches",
    "ClipCrops",
    "Clips",
    "ClipsDataset",
    "Crops",
    "Dataset",
    "Face",
    "FaceBatches",
    "Faces",
    "RandomView",
    "SyntheticFaces",
    "aflw",
    "celeba",
    "clip_pipeline",
    "cofw",
    "cofw68",
    "convert",
    "csv_lists",
    "frame_folders",
    "ignore_labels",
    "image_folder",
    "jd106",
    "lapa",
    "menpo",
    "mixed",
    "moving_stills",
    "occluded",
    "pack",
    "packed",
    "pipeline",
    "pts",
    "talking_face",
    "w300",
    "w300lp",
    "w300vw",
    "wflw",
    "wflw68",
    "windows",
    "write_clips",
    "write_pts",
    "write_wflw",
    "ytf68_clips",
]
