"""Kinds of figures, and names in them.

    bars.py        bars with intervals, beside names
    lines.py       lines over a few settings
    dots.py        dots in panels
    lettering.py   names that differ, in fonts that have their letters
    naming.py      names on one line

They draw with the colours in force, which `rendering.drawing` sets.
"""
