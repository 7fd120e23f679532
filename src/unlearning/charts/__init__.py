"""The figures that a person looks at, as PNG files and as SVG for the page."""
