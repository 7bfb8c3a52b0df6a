"""Numbers of which each process of a training has its own, in a state that one of them writes."""

from __future__ import annotations

from collections.abc import Sequence


def gather(numbers: Sequence[float]) -> list[list[float]]:
    """The numbers of all processes, in the order of their ranks; all of them call it together."""
    from torch import distributed

    if not (distributed.is_available() and distributed.is_initialized()):
        return [list(numbers)]
    shares: list[list[float]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(shares, list(numbers))
    return shares


def own(shares: Sequence[Sequence[float]]) -> list[float]:
    """This process' numbers out of those gathered; of another number of processes, their sum.

    The sum goes to the first process, the others get zeros: the total stays what it was.

    >>> own([[1.0, 2.0], [3.0, 4.0]])
    [4.0, 6.0]
    """
    from torch import distributed

    active = distributed.is_available() and distributed.is_initialized()
    rank, world = (distributed.get_rank(), distributed.get_world_size()) if active else (0, 1)
    if world == len(shares):
        return list(shares[rank])
    sums = [sum(numbers) for numbers in zip(*shares, strict=True)]
    return sums if rank == 0 else [0.0] * len(sums)
