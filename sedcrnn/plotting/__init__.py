"""Figures of what networks get and answer."""
