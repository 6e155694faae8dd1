"""The example project: the four scenes on one page."""
