"""Tables between markers of any Markdown file, and the README.md of an adapter."""
