"""Bundled models: found by name, checked by their checksums, described by a card each."""

from kfacealign.presets.store import DEFAULT, card, chosen, from_preset, names, path

__all__ = ["DEFAULT", "card", "chosen", "from_preset", "names", "path"]
