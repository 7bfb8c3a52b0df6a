"""Published tables, and whether a result reproduces one."""
