from .store import DEFAULT as DEFAULT, card as card, chosen as chosen, from_preset as from_preset, names as names, path as path
