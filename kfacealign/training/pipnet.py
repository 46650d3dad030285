"""What the supervised recipes of PIPNet share: one network and one schedule for all four datasets (Jin et al., Sec. 4.1.2)."""

from kfacealign import data
from kfacealign.models import PIPNet
from kfacealign.training.run import run
from kfacealign.training.settings import load_dataset, parse_settings

WIDTH = {"paper": 1.0, "quick": 0.5}
# Few epochs cannot overfit: gentler views let a quick run get further.
VIEWS = {"paper": {}, "quick": {"translation": 8 / 256, "rotation": 10.0, "occlusion_probability": 0.1, "blur_probability": 0.0}}


def run_pipnet(description, paper, quick, enlarge, argv=None):
    """Trains PIPNet as a recipe's command line says.

    Args:
        description, paper, quick, argv: see `kfacealign.training.parse_settings`; of the groups of flags there are "backbone" and "begin".
        enlarge: side of the crops over the landmark box's longer side.

    Returns:
        The trained model and its report, see `kfacealign.training.run`.
    """
    settings = parse_settings(description, ("pipnet",), paper, quick, argv, groups=("backbone", "begin"))
    faces = load_dataset(settings)

    def build():
        return PIPNet(
            faces.scheme,
            backbone=settings.backbone,
            backbone_weights=settings.backbone_weights,
            stride=settings.stride,
            neighbors=settings.neighbors,
            input_size=settings.input_size,
            backbone_width=WIDTH[settings.preset],
            enlarge=enlarge,
        )

    views = data.RandomView.paper(faces.scheme, **VIEWS[settings.preset])
    return run(build, faces, views, settings)
