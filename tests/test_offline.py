"""The tests reach nobody: what tests/conftest.py sets up, tried out."""

from __future__ import annotations

import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

FAR = "192.0.2.1"  # an address that is nobody's: RFC 5737
TRIES: dict[str, Callable[[], object]] = {
    "connect": lambda: socket.socket().connect((FAR, 80)),
    "connect_ex": lambda: socket.socket().connect_ex((FAR, 80)),
    "sendto": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"", (FAR, 53)),
    "name": lambda: socket.getaddrinfo("example.org", 80),
    "IPv6": lambda: socket.socket(socket.AF_INET6).connect(("2001:db8::1", 80)),
    "url": lambda: urllib.request.urlopen("https://example.org", timeout=5),
}


@pytest.fixture
def attempts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Attempts are written here, and not held against the test at hand."""
    path = tmp_path / "attempts"
    monkeypatch.setenv("ZOO_TESTS_ATTEMPTS", str(path))
    return path


@pytest.mark.parametrize("name", TRIES)
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_nobody_outside_is_reached(name: str, attempts: Path) -> None:
    with pytest.raises(OSError, match="the tests have no network"):
        TRIES[name]()
    assert attempts.read_text().split() == [
        {"name": "example.org", "url": "example.org", "IPv6": "2001:db8::1"}.get(name, FAR)
    ]


def test_nor_by_a_python_that_a_test_starts(attempts: Path) -> None:
    code = "import urllib.request; urllib.request.urlopen('https://example.org', timeout=5)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "the tests have no network: 'example.org' was asked for" in done.stderr
    assert attempts.read_text() == "example.org\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_this_machine_is_reached(host: str, attempts: Path) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection((host, server.getsockname()[1]), timeout=5) as ours,
        server.accept()[0] as theirs,
    ):
        ours.sendall(b"x")
        assert theirs.recv(1) == b"x"
    assert not attempts.exists()


def test_an_attempt_that_is_got_over_fails_its_test_all_the_same(tmp_path: Path) -> None:
    conftest = Path(__file__).parent / "conftest.py"
    (tmp_path / "conftest.py").write_text(conftest.read_text())
    (tmp_path / "offline").symlink_to(conftest.parent / "offline")
    (tmp_path / "test_quiet.py").write_text(
        "import contextlib, socket\n"
        "def test_quiet():\n"
        "    with contextlib.suppress(OSError):\n"
        "        socket.getaddrinfo('example.org', 80)\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert "this test asked the network for example.org" in done.stdout
    assert done.returncode == 1
