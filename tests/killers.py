"""Write ``killers.json``: for each planted bug a test that finds it.

    python tests/killers.py [words of labels]

A run of the suite tries that test first and all others only where it passes:
the file saves time and changes no verdict. Bugs that no test finds are named.
"""

import json
import os
import re
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import test_mutants

FILE = Path(__file__).with_name("killers.json")


def killer(mutant):
    """Return the label and the test that fails, or None."""
    with tempfile.TemporaryDirectory() as folder:
        killed, text = test_mutants.hunt(Path(folder), mutant)
    found = re.search(r"^FAILED tests/(.+?)(?: - |$)", text, re.MULTILINE)
    return test_mutants.label(mutant), found and killed and found.group(1)


def main(words):
    mutants = [
        mutant
        for mutant in test_mutants.MUTANTS
        if all(word in test_mutants.label(mutant) for word in words)
    ]
    every = {test_mutants.label(m) for m in test_mutants.MUTANTS}
    killers = {k: v for k, v in test_mutants.KILLERS.items() if k in every}
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, test in pool.map(killer, mutants):
            print(f"{name}: {test or 'SURVIVED'}", flush=True)
            killers.pop(name, None)
            killers |= {name: test} if test else {}
    FILE.write_text(json.dumps(killers, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
