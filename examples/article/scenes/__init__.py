"""The four scenes: their views, the page that talks to them, and the playback behind the fourth."""
