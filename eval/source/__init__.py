"""Where images come from, a batch at a time, and where they are exported to."""
