"""Metrics of an image and its reconstruction."""
