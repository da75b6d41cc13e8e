"""Predictions, scores and the tables made of them."""
