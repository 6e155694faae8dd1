"""A project as ``startproject`` makes it."""
