"""The side-by-side benchmark: `make bench-peers`, or `python -m peers` in `benches/`."""
