"""Sweeps: every job of a Hydra multirun in processes of its own."""
