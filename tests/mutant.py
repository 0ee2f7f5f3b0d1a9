"""What a planted bug is."""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One bug: what it is, the file, the text that it replaces, the new text.

    The text stands once in the file.
    """

    name: str
    file: str
    old: str
    new: str
