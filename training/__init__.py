"""Recipes, model loading and quantisation, and the QLoRA fine-tune."""
