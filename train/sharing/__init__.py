"""Sharing a trained network: its model card, and a folder that is ready for the Hugging Face hub."""
