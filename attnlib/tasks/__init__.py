"""Two small tasks on which every block can be trained beside a local network.

``lookup`` asks for what no local network can know; ``denoise`` takes the noise
out of photographs, where a local network is good already. One network,
``Network``, has a place for a block; ``train`` is the same for all.
``load_results`` returns what ``python -m benchmarks.task`` found.
"""

from attnlib.tasks import denoise, lookup
from attnlib.tasks.network import LOCAL, Network, train
from attnlib.tasks.results import load_results

__all__ = ["LOCAL", "Network", "denoise", "load_results", "lookup", "train"]
