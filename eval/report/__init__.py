"""Reports of a comparison: CSV, Markdown, LaTeX, an HTML page, pictures, W&B."""
