"""Tests marked ``alone`` have the machine, and two threads."""

import pytest
import torch


@pytest.fixture(autouse=True)
def threads_of_the_machine(request):
    """Two threads for a test that runs alone; one, as set, for the others."""
    before = torch.get_num_threads()
    if request.node.get_closest_marker("alone"):
        torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)
