"""Judging of generated answers by a model: rubrics as files, blinded prompts, and strict parsing of the replies."""
