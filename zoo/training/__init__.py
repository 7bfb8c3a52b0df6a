"""The pieces of one training run, from a composed config."""
