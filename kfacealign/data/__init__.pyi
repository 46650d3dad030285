from . import catalogue as catalogue, five_points as five_points, frames as frames, images as images, motion as motion, packing as packing, readers as readers, rendered as rendered, unlabelled as unlabelled
from .batches import FaceBatches as FaceBatches, pipeline as pipeline
from .catalogue import load_dataset as load_dataset, load_unlabelled as load_unlabelled
from .clip_batches import ClipBatches as ClipBatches, ClipCrops as ClipCrops, clip_pipeline as clip_pipeline
from .clips import Clips as Clips, ClipsDataset as ClipsDataset, windows as windows
from .crops import Crops as Crops
from .faces import Dataset as Dataset, Face as Face, Faces as Faces
from .motion import moving_stills as moving_stills, occluded as occluded
from .packing import pack as pack
from .readers.aflw import aflw as aflw
from .readers.celeba import celeba as celeba
from .readers.cofw import cofw as cofw
from .readers.cofw68 import cofw68 as cofw68
from .readers.csv_lists import csv_lists as csv_lists
from .readers.jd106 import jd106 as jd106
from .readers.lapa import lapa as lapa
from .readers.menpo import menpo as menpo
from .readers.packed import packed as packed
from .readers.pts import pts as pts
from .readers.clip_folders import frame_folders as frame_folders, ytf68_clips as ytf68_clips
from .readers.talking_face import talking_face as talking_face
from .readers.w300vw import w300vw as w300vw
from .readers.w300 import w300 as w300
from .readers.w300lp import w300lp as w300lp
from .readers.wflw import wflw as wflw
from .readers.wflw68 import wflw68 as wflw68
from .rendered.synthetic import SyntheticFaces as SyntheticFaces
from .rendered.synthetic_disk import write_clips as write_clips, write_pts as write_pts, write_wflw as write_wflw
from .unlabelled import ignore_labels as ignore_labels, image_folder as image_folder, mixed as mixed
from .views import RandomView as RandomView
