"""What DCASE 2021 Task 1B wants of a system: output.csv with its predictions and meta.yaml that describes it."""
