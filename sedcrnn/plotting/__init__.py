"""Figures of what networks see and predict."""
