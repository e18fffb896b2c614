//! Reports: SVG plots, the self-contained HTML page, CSV and Markdown.
