"""What images, masks and maps show, read once for all sections.

    cells.py      which cells are looked at
    colours.py    how far apart colours look
    defects.py    the contrast and the size of a defect
    classes.py    classes of such a quantity
    looks.py      a cell: its accuracy by class of defect, and its curves
    study.py      all cells
    averages.py   of a class over categories
    cards.py      pictures of an image
    drivers.py    what drove its score

Nothing here knows how it will be shown, but for the cards.
"""
