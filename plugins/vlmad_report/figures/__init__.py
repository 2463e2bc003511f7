"""Kinds of figures, and names in them.

    bars.py        bars with intervals, beside names
    lines.py       lines over a few settings
    dots.py        dots in panels
    lettering.py   names that differ, in fonts that have their letters

They draw with the colours in force and as wide as the figure size in force lets them, both of
which `rendering.drawing` sets.
"""
