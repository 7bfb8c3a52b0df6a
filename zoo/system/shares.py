"""Sums of which each process of a training has its own, in a state that one of them writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zoo.system.processes import rank_and_count


def own(shares: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """This process' sums by name, of those of all processes that wrote a state.

    Where their number has changed, the first process gets the sum of all, and the others nothing:
    the total stays what it was.

    >>> own([{"loss": [1.0, 2.0]}, {"loss": [3.0, 4.0]}])
    {'loss': [4.0, 6.0]}
    """
    rank, count = rank_and_count()
    if count == len(shares):
        return {name: list(numbers) for name, numbers in shares[rank].items()}
    if rank:
        return {}
    sums: dict[str, list[float]] = {}
    for share in shares:
        for name, numbers in share.items():
            before = sums.get(name, [0.0] * len(numbers))
            sums[name] = [a + b for a, b in zip(before, numbers, strict=True)]
    return sums
