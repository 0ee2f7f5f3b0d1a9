"""Run pytest in forks of a process that has imported torch already.

Reads jobs as lines of JSON, ``{"folder", "path", "arguments", "output"}``, and
answers each with the exit code of pytest. Nothing of attnlib is imported here:
a fork imports the copy that lies on its path.
"""

import gc
import json
import os
import sys

import pytest
import torch


def warm_up():
    """Have loaded what nearly every test loads, and never look through it."""
    torch.testing.assert_close(torch.ones(1), torch.ones(1))
    gc.collect()
    gc.freeze()


def run(job):
    """Become the process that runs pytest; never returns."""
    output = os.open(job["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.chdir(job["folder"])
    os.environ["PYTHONPATH"] = os.pathsep.join(job["path"])
    sys.path[:0] = job["path"]
    code = pytest.main(job["arguments"])
    sys.stdout.flush()
    os._exit(int(code))


def main():
    warm_up()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
