"""What a report is made of: folders of results, checked, and taken together as one document.

    labelled.py   a run of ``vlmad run`` with the labels of a data set, as if a bench had made it
    moved.py      a bench with the images of a data set that lies elsewhere now
    shape.py      what a bench's document must look like
    source.py     one folder: its document, and what its cells were computed from
    pool.py       several folders, so that one name means one thing
    joining.py    their document, computed anew

The analyses see one `Pool` and one kind of `Results`, whatever they come from.
"""
