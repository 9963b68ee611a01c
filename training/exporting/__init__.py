"""An adapter merged into its base as a plain model folder, and how far the two agree."""
