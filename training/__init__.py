"""Recipes, bases and adapters, the QLoRA fine-tune, and the export of what it made."""
