"""Charts and pictures: curves as SVG within the page, a sweep as PNG."""
