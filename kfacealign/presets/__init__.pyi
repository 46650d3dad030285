from .store import DEFAULT as DEFAULT
from .store import card as card
from .store import chosen as chosen
from .store import from_preset as from_preset
from .store import names as names
from .store import path as path
