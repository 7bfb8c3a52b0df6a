"""Titles of numbers, as pages, tables and pictures show them."""

from __future__ import annotations


def heading(title: str, count: int | None = None, network: str = "") -> str:
    """A title with the count and the network.

    >>> heading("FID", 360, "small"), heading("CLIPScore (w = 2.5)", network="vit_b_32")
    ('FID-360 (small)', 'CLIPScore (w = 2.5, vit_b_32)')
    """
    title += "" if count is None else f"-{count}"
    if not network:
        return title
    return f"{title[:-1]}, {network})" if title.endswith(")") else f"{title} ({network})"
