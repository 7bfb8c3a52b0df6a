"""The machine and its files: devices, versions, errors, progress, pictures."""
