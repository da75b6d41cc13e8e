"""Run folders and checkpoints: what a training leaves on disk, and files that are whole or absent."""
