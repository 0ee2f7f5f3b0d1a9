"""Makes a Python start as if only Colab's usual packages were there.

Python imports a module of this name first. ``ROOM_BLOCKED`` names what cannot
be imported, ``ROOM_REPOSITORY`` a folder that must not be found; no socket
reaches another machine.
"""

import os
import socket
import sys

REPOSITORY = os.environ["ROOM_REPOSITORY"]
LOCAL = {"", "0.0.0.0", "127.0.0.1", "::1", "localhost", None}


# Not to be imported, not to be found.
for name in os.environ["ROOM_BLOCKED"].split(","):
    sys.modules[name] = None

# An editable installation finds the repository in its own way.
sys.meta_path[:] = [
    finder
    for finder in sys.meta_path
    if not getattr(finder, "__module__", "").startswith("__editable__")
]
sys.path[:] = [
    folder
    for folder in sys.path
    if not os.path.realpath(folder).startswith(os.path.realpath(REPOSITORY))
    or folder in (os.path.dirname(__file__), os.environ["ROOM_WHEEL"])
    or "site-packages" in folder
]


def local_only(function):
    """Return ``function`` for addresses of this machine alone."""

    def connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise OSError(f"no network here: {address}")
        return function(self, address)

    return connect


def look_up(host, *arguments, real=socket.getaddrinfo, **options):
    """Look up this machine alone."""
    name = host.decode() if isinstance(host, bytes) else host
    if name not in LOCAL:
        raise OSError(f"no network here: {name}")
    return real(host, *arguments, **options)


socket.socket.connect = local_only(socket.socket.connect)
socket.socket.connect_ex = local_only(socket.socket.connect_ex)
socket.getaddrinfo = look_up
