"""Run folders -> scores per row and seed -> results.csv, the tables in experiments/README.md, one HTML page."""
