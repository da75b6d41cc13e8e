"""Published weights of frame encoders: files as people have them -> one checked file that says what it holds."""
