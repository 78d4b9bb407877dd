"""Where accepted events wait."""
