"""Time and memory of every form of every block, as ratios of one run.

``python -m benchmarks --help`` says how to run it; ``attnlib.measured``
describes the file that it writes. ``subjects`` says what is measured,
``timing`` and ``peak`` how, ``report`` writes the file and draws it.
"""
