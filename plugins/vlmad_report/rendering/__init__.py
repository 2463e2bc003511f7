"""A page as files.

    colours.py    of figures, on light and on dark ground
    drawing.py    figures, for wide and for narrow pages
    vector.py     what they are drawn on: SVG that lies in the page
    encoded.py    pictures as the bytes of files
    html.py       a page as one file that loads nothing; templates/ has its markup and style
    markdown.py   the same page with its pictures beside it

Nothing here knows of anomaly detection.
"""
