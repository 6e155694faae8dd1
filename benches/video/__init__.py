"""The benchmark of video: `make bench-video`, or `python -m video` in `benches/`."""
