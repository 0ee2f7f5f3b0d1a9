"""Programs that use attnlib, each run by ``python -m``; none is imported."""
