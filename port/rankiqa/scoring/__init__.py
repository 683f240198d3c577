"""Scores of images by a trained network."""
