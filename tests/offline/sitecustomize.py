"""Nothing but this machine can be reached, in the tests' process and in every Python it starts.

``tests/conftest.py`` puts this folder on PYTHONPATH; Python runs a ``sitecustomize`` by itself.
Who tries all the same gets an OSError, as without a network, and where ZOO_TESTS_ATTEMPTS names a
file the attempt is written there: a try that is caught by the code at hand fails its test as well.
"""

import functools
import ipaddress
import os
import socket

_LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost", socket.gethostname()}


def is_local(host):
    """Whether a host, as text, bytes or None, is this machine."""
    if isinstance(host, bytes):
        host = host.decode()
    if host is None or host.lower() in _LOCAL_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def refuse(host):
    """Writes the attempt down and raises."""
    if path := os.environ.get("ZOO_TESTS_ATTEMPTS"):
        with open(path, "a") as file:
            file.write(f"{host}\n")
    raise OSError(f"the tests have no network: {host!r} was asked for")


def guarded(original):
    """The method of a socket whose last argument is an address, for addresses of this machine."""

    @functools.wraps(original)
    def method(self, *args):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not is_local(args[-1][0]):
            refuse(args[-1][0])
        return original(self, *args)

    return method


def block():
    """Puts guards before everything in ``socket`` that leaves the machine; once is enough."""
    if getattr(socket, "zoo_tests_blocked", False):
        return
    socket.zoo_tests_blocked = True

    for name in ("connect", "connect_ex", "sendto"):
        setattr(socket.socket, name, guarded(getattr(socket.socket, name)))
    look_up = socket.getaddrinfo

    def getaddrinfo(host, *args, **kwargs):
        if not is_local(host):
            refuse(host)
        return look_up(host, *args, **kwargs)

    socket.getaddrinfo = getaddrinfo


if "ZOO_TESTS_ATTEMPTS" in os.environ:
    block()
