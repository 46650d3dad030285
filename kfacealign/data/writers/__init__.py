"""One file for each format that labels are written in, and what copies the photographs beside them."""
