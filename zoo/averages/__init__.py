"""Averages of the trained weights: their lengths, snapshots of them, any length rebuilt."""
