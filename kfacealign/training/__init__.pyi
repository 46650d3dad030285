from .checkpoint import EpochCheckpoint as EpochCheckpoint, load_state as load_state
from .clips import run_clips as run_clips
from .domain_adversarial import ReversalSchedule as ReversalSchedule, run_domain_adversarial as run_domain_adversarial
from .loop import OPTIMIZERS as OPTIMIZERS, adam as adam, run as run, step_decay as step_decay
from .self_training import self_train as self_train
from .settings import LOSSES as LOSSES, main as main, parse_settings as parse_settings
from .siamese import Siamese as Siamese
