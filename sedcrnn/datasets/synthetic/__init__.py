"""Seed -> ten invented scenes with audio and video -> media files and lists in the layout of TAU 2021."""

from sedcrnn.datasets.synthetic.corpus import Synthetic

__all__ = ["Synthetic"]
