"""Seed -> ten invented scenes with sound and picture -> media files and lists in the layout of TAU 2021.

Read in this order: scenes (what each scene is made of), sound with layers and waves, picture with looks and drawing,
corpus (what is written, and when a set on disk is complete).
"""

from sedcrnn.datasets.synthetic.corpus import Synthetic

__all__ = ["Synthetic"]
