"""The old name of the backend for uWSGI."""
