"""Extractors: images to features, the same for an image whatever batch it comes in."""
