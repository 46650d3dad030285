from . import checkpoints as checkpoints, codecs as codecs, conversions as conversions, data as data, deploy as deploy, detect as detect, drawing as drawing, evaluation as evaluation, geometry as geometry, layers as layers, losses as losses, metrics as metrics, models as models, photo as photo, presets as presets, schemes as schemes, streaming as streaming, tracking as tracking, training as training
from .loading import load as load
from .presets.store import from_preset as from_preset
