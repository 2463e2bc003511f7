"""The sections of a report; each module makes one, but for the first and the last three.

    facts.py          what stands at the top
    summary.py        averages and differences
    detectors.py      what they are made of, and which there are not
    categories.py     every category by itself
    groups.py         groups of objects
    contrast.py       faint and striking defects
    defect_sizes.py   small and large ones
    defect_types.py   types of them
    few_shot.py       what references add
    windows.py        what each window size does
    published.py      published figures beside one's own
    curves.py         curves and histograms
    failures.py       the worst false alarms and misses
    classed.py        what contrast and size have in common
    choosing.py       which detectors are drawn
    entries.py        metrics as entries of a table

Each says what would fill it where the results hold nothing for it.
"""
