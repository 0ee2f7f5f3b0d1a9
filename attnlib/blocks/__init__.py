"""The blocks, one file a paper: projections, norms and residuals around the functions."""
