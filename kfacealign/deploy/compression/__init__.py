"""Quantisation-aware training and pruning, through twins in tf-keras."""
