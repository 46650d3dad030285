"""Faces that are drawn, with exact landmarks."""
