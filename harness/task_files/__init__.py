"""Users' own lm-eval task files: read without running anything, checked, and handed to lm-eval as configurations."""
