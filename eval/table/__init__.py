"""Results side by side, where they may be compared."""
