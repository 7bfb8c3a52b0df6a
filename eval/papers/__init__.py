"""Published tables, and whether results reproduce them."""
