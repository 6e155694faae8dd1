"""The backend of every server."""
