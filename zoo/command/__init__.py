"""Between a command line and a task: overrides, composition, help, errors in one line."""
