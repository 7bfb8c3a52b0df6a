"""A table as files: CSV, Markdown, LaTeX, an HTML page, pictures, W&B."""
