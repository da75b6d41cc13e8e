"""Run folders -> scores per row and seed -> results.csv, the table in experiments/README.md, one HTML page.

collection       run folders, as they are: finished, evaluated, or what they lack
calibration      probabilities -> temperature, Brier score, calibration error
scoring          a run's predictions -> its scores per window and per clip, before and after temperature scaling
rows_file, rows  rows.yaml and scored runs -> tables of rows, each with its seeds
comparison       two rows -> difference with its interval, McNemar's test, Holm's correction
score_grids, network_grids, provenance
                 tables -> grids of text (grids) and sentences, the same for every output
outputs          results.csv and the README's table
figures, page    the HTML page
"""
