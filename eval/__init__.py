"""The evaluation harness: images to features to metrics to results; ``zoo`` never imports it."""
