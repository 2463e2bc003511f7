"""The command ``vlmad grid``: every legal combination of parts, each image encoded once for all.

    axes.py           what the command line lets vary
    combinations.py   from axes to detectors, and why some combinations cannot be
    estimate.py       the plan: passes, texts, time and disk
    table.py          one table of all combinations
    terminal.py       plan and table as people see them while they wait
    command.py        the command

A grid is a bench whose detectors are combinations: cells, metrics and files are the bench's.
"""
