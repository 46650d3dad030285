"""One file for each dataset: its reader, and what the catalogue says of it."""
