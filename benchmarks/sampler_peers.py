"""Every sampler against its peer in diffusers, float32: largest difference over largest value.

    python benchmarks/sampler_peers.py

The same start, noise and nonlinear denoiser; natively, where the peer is right, and through
``DiffusersScheduler``, where it asks the network at the timesteps it walks. Writes
benchmarks/sampler_peers.csv.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from pathlib import Path

from _table import write

_peers = Path(__file__).parents[1] / "tests/zoo/sampler/peers.py"
_spec = importlib.util.spec_from_file_location("peers", _peers)
assert _spec is not None and _spec.loader is not None
peers = importlib.util.module_from_spec(_spec)
sys.modules["peers"] = peers
_spec.loader.exec_module(peers)


def main() -> None:
    """Runs every pair."""
    import diffusers

    rows = []
    for name, peer in peers.PEERS.items():
        native = adapted = ""
        if peer.ours is not None:
            native = peers.difference(peers.native(peer), peers.theirs(peer, True))
        if not peer.rounds:
            adapted = peers.difference(peers.adapted(peer), peers.theirs(peer, False))
        rows.append(
            {
                "sampler": name,
                "scheduler": peer.scheduler,
                "native": native,
                "adapter": adapted,
                "diffusers": diffusers.__version__,
            }
        )
    write(__file__, rows)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
