"""The datasets that this package reads: one table for `kfacealign datasets`, `--dataset` and `docs/datasets.md`."""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from kfacealign.data.aflw import SOURCE as AFLW_SOURCE, aflw
from kfacealign.data.celeba import SOURCE as CELEBA_SOURCE, celeba
from kfacealign.data.clips import Clips
from kfacealign.data.cofw import SOURCE as COFW_SOURCE, cofw
from kfacealign.data.cofw68 import SOURCE as COFW68_SOURCE, cofw68
from kfacealign.data.csv_lists import SOURCE as CSV_LISTS_SOURCE, csv_lists
from kfacealign.data.faces import Dataset
from kfacealign.data.jd106 import SOURCE as JD106_SOURCE, jd106
from kfacealign.data.lapa import SOURCE as LAPA_SOURCE, lapa
from kfacealign.data.menpo import EXPECTED as MENPO_EXPECTED, SOURCE as MENPO_SOURCE, menpo
from kfacealign.data.packs import packed
from kfacealign.data.pts import pts
from kfacealign.data.videos import talking_face, w300vw
from kfacealign.data.w300 import SOURCE as W300_SOURCE, w300
from kfacealign.data.w300lp import SOURCE as W300LP_SOURCE, w300lp
from kfacealign.data.wflw import EXPECTED as WFLW_EXPECTED, wflw
from kfacealign.data.wflw68 import wflw68


@dataclasses.dataclass(frozen=True)
class Entry:
    """A dataset and how the papers use it.

    Attributes:
        name: as in `--dataset`.
        title: what people call it.
        reader: `reader(root)`, or `reader(root, scheme=...)` where `scheme` is ""; returns a `Dataset`, or `Faces` if
            nothing is labelled.
        scheme: name of the landmark scheme; "" if the user names it.
        counts: part or subset -> published number of faces; parts are "train" and "test".
        normalizer: what errors are divided by in the papers.
        crops: for each paper (PIPNet, LOTR, HIH, subpixel, 1D heatmaps) that says so: its box and enlargement.
        protocol: how it is trained on and measured.
        layout: the files below the directory to name.
        source: where to get it, in words.
        box: what its crops are cut by here, see `Crops`.
    """

    name: str
    title: str
    reader: Callable
    scheme: str
    counts: dict
    normalizer: str
    crops: str
    protocol: str
    layout: str
    source: str
    box: str = "landmarks"

    def read(self, root, scheme=None):
        """The `Dataset` (or `Faces`) below `root`; `scheme` only where the dataset has none of its own."""
        if self.scheme:
            return self.reader(root)
        return self.reader(root, scheme=scheme or "ibug68")


def frames(reader, root):
    """The frames of annotated videos as a `Dataset` of single faces; subsets are positions of test frames."""
    read = reader(root)
    if isinstance(read, Clips):
        faces = read.faces
        return Dataset("talking-face", faces.scheme, faces[:0], faces, {}, 1.25, faces.scheme.default_normalizer)
    video = np.repeat(np.arange(len(read.test)), [len(indices) for indices in read.test.indices])
    subsets = {name: np.flatnonzero(np.isin(video, members)) for name, members in read.subsets.items()}
    parts = {"train": read.train.faces, "test": read.test.faces}
    return Dataset(read.name, read.scheme, **parts, subsets=subsets, enlarge=read.enlarge, normalizer=read.normalizer)


_PIPNET_68 = "PIPNet: landmarks' box + 10 %; across datasets + 30 %"
_LOTR = "LOTR: five points (--align five_points)"

ENTRIES = (
    Entry(
        name="300w",
        title="300W",
        reader=w300,
        scheme="ibug68",
        counts={"train": 3148, "test": 689, "common": 554, "challenging": 135},
        normalizer="inter_ocular",
        crops=_PIPNET_68,
        protocol="train on 3,148, test on common (HELEN, LFPW), challenging (IBUG) and full",
        layout="afw/ helen/trainset/ helen/testset/ lfpw/trainset/ lfpw/testset/ ibug/ (photographs with .pts)",
        source=W300_SOURCE,
    ),
    Entry(
        name="300w-private",
        title="300W private test set",
        reader=functools.partial(w300, test="private"),
        scheme="ibug68",
        counts={"test": 600, "indoor": 300, "outdoor": 300},
        normalizer="box",
        crops="subpixel: face of about 220 px in 256",
        protocol="test on 600, indoor and outdoor; the training part is 300W's where it is there",
        layout="300W/01_Indoor/ 300W/02_Outdoor/ (photographs with .pts)",
        source=W300_SOURCE,
    ),
    Entry(
        name="300w-lp",
        title="300W-LP",
        reader=w300lp,
        scheme="ibug68",
        counts={"train": 61_225},
        normalizer="inter_ocular",
        crops="subpixel: face of about 220 px in 256",
        protocol="pre-training only; no test faces",
        layout="AFW/ HELEN/ IBUG/ LFPW/ (.jpg), with _Flip beside them, landmarks/FOLDER/NAME_pts.mat",
        source=W300LP_SOURCE,
    ),
    Entry(
        name="cofw",
        title="COFW",
        reader=cofw,
        scheme="cofw29",
        counts={"train": 1345, "test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box, not enlarged",
        protocol="train on 1,345, test on 507; inter-ocular (and inter-pupil: HIH), failures beyond 10 %",
        layout="COFW_train_color.mat COFW_test_color.mat",
        source=COFW_SOURCE,
    ),
    Entry(
        name="cofw-grey",
        title="COFW, grey images",
        reader=functools.partial(cofw, color=False),
        scheme="cofw29",
        counts={"train": 1345, "test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box, not enlarged",
        protocol="as cofw",
        layout="COFW_train.mat COFW_test.mat",
        source=COFW_SOURCE,
    ),
    Entry(
        name="cofw68",
        title="COFW-68",
        reader=cofw68,
        scheme="ibug68",
        counts={"test": 507},
        normalizer="inter_ocular",
        crops="PIPNet: given box + 30 %",
        protocol="test only, of models trained on 300W",
        layout="test_annotations/N_points.mat cofw68_test_bboxes.mat COFW_test_color.mat",
        source=COFW68_SOURCE,
    ),
    Entry(
        name="aflw",
        title="AFLW-19",
        reader=aflw,
        scheme="aflw19",
        counts={"train": 20_000, "test": 4_386, "frontal": 1_314},
        normalizer="image",
        crops="PIPNet: given box, not enlarged",
        protocol="train on 20,000, test on full and frontal, by the side of the crop",
        layout="AFLWinfo_release.mat data/flickr/{0,2,3}/*.jpg",
        source=AFLW_SOURCE,
    ),
    Entry(
        name="wflw",
        title="WFLW",
        reader=wflw,
        scheme="wflw98",
        counts=WFLW_EXPECTED,
        normalizer="inter_ocular",
        crops="PIPNet: given box + 20 %",
        protocol="train on 7,500, test on 2,500 and six subsets; failures beyond 10 %, area below 10 %",
        layout="WFLW_images/ WFLW_annotations/list_98pt_rect_attr_train_test/ WFLW_annotations/list_98pt_test/",
        source="WFLW comes from its project page ('Look at Boundary', CVPR 2018): the images and the annotations, unpacked here.",
    ),
    Entry(
        name="wflw68",
        title="WFLW-68",
        reader=wflw68,
        scheme="ibug68",
        counts=WFLW_EXPECTED,
        normalizer="inter_ocular",
        crops="PIPNet: given box, top lowered by 20 % of its height, + 20 %",
        protocol="test of models trained on 300W; 68 points converted from 98",
        layout="as wflw",
        source="WFLW's files; the conversion is made here.",
    ),
    Entry(
        name="menpo",
        title="Menpo 2D, semi-frontal",
        reader=menpo,
        scheme="ibug68",
        counts=MENPO_EXPECTED["semifrontal"],
        normalizer="diagonal",
        crops=_PIPNET_68.partition(";")[0],
        protocol="train and test on the track",
        layout="train/ test/ (photographs with .pts of 68 or 39 points)",
        source=MENPO_SOURCE,
    ),
    Entry(
        name="menpo-profile",
        title="Menpo 2D, profile",
        reader=functools.partial(menpo, track="profile"),
        scheme="menpo39",
        counts=MENPO_EXPECTED["profile"],
        normalizer="diagonal",
        crops=_PIPNET_68.partition(";")[0],
        protocol="train and test on the track",
        layout="as menpo",
        source=MENPO_SOURCE,
    ),
    Entry(
        name="jd106",
        title="JD-landmark",
        reader=jd106,
        scheme="jd106",
        counts={"train": 11_393, "test": 2_000},
        normalizer="box",
        crops=_LOTR,
        protocol="train on 11,393, test on 2,000; failures beyond 8 %, area below 8 %",
        layout="Training_data/{AFW,HELEN,IBUG,LFPW}/{picture,landmark}/ Test_data/{picture,landmark}/",
        source=JD106_SOURCE,
    ),
    Entry(
        name="lapa",
        title="LaPa-106",
        reader=lapa,
        scheme="jd106",
        counts={"train": 18_176, "test": 2_000},
        normalizer="box",
        crops="none of the five",
        protocol="train on 18,176, validate and test on 2,000 each",
        layout="{train,val,test}/{images,landmarks}/",
        source=LAPA_SOURCE,
    ),
    Entry(
        name="celeba",
        title="CelebA",
        reader=celeba,
        scheme="",
        counts={"train": 202_599},
        normalizer="",
        crops="PIPNet: detected box + 20 %",
        protocol="unlabelled faces of self-training (--unlabelled-dataset celeba)",
        layout="Img/img_celeba/*.jpg Anno/list_bbox_celeba.txt",
        source=CELEBA_SOURCE,
        box="file",
    ),
    Entry(
        name="300vw",
        title="300VW",
        reader=functools.partial(frames, functools.partial(w300vw, every=5)),
        scheme="ibug68",
        counts={},
        normalizer="inter_ocular",
        crops="PIPNet: detected box + 10 %; 1D heatmaps: given box",
        protocol="50 videos to train, 31, 19 and 14 to test in three categories; here every 5th frame as single faces",
        layout="ID/vid.avi ID/annot/000001.pts",
        source="300VW comes from iBUG, Imperial College London, on request: 300VW_Dataset_2015_12_14, unpacked here.",
    ),
    Entry(
        name="talking-face",
        title="Talking Face",
        reader=functools.partial(frames, talking_face),
        scheme="ibug68",
        counts={"test": 5000},
        normalizer="inter_ocular",
        crops="1D heatmaps: given box",
        protocol="test of models trained on 300VW, by seven common points",
        layout="franck_00000.jpg franck_00000.pts, anywhere below, points in the order of ibug68",
        source="The Talking Face Video comes from the FGNET project's page.",
    ),
    Entry(
        name="csv",
        title="CSV lists (HRNet)",
        reader=csv_lists,
        scheme="",
        counts={},
        normalizer="the scheme's",
        crops="200 * scale pixels around the given centre",
        protocol="that of the dataset",
        layout="NAME_train.csv NAME_test.csv (or NAME_valid.csv) NAME_test_SUBSET.csv images/",
        source=CSV_LISTS_SOURCE,
    ),
    Entry(
        name="pts",
        title="any folder with .pts files",
        reader=pts,
        scheme="",
        counts={},
        normalizer="the scheme's",
        crops="landmarks' box",
        protocol="train/ and test/, or a share of the faces is held out",
        layout="NAME.jpg NAME.pts, anywhere below",
        source="Your own, or kfacealign synthetic pts DIR.",
    ),
    Entry(
        name="packed",
        title="a packed dataset",
        reader=packed,
        scheme="any",
        counts={},
        normalizer="the dataset's",
        crops="cut when it was packed",
        protocol="that of the dataset",
        layout="the file itself",
        source="kfacealign datasets pack NAME DIR FILE.h5 writes it.",
    ),
)
CATALOGUE = {entry.name: entry for entry in ENTRIES}
# Datasets with labels, that models are trained or measured on.
LABELLED = tuple(entry.name for entry in ENTRIES if entry.name != "celeba")


def get(name):
    """The entry of this name.

    Raises:
        ValueError: there is none; the message lists them.
    """
    if name not in CATALOGUE:
        raise ValueError(f"no dataset {name!r}; there are {', '.join(CATALOGUE)}")
    return CATALOGUE[name]
