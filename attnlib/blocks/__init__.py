"""Blocks, one file a paper: projections, norms, residuals around functions."""
