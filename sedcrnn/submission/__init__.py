"""What DCASE 2021 Task 1B wants of a system: a table of its predictions of the evaluation set, in the official form."""
