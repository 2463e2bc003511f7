"""The products of the sample images, one module each.

A product has `DEFECTS`, the names of what can go wrong with it, and `draw`, which returns an
image (h, w, 3) of linear shades from 0 to 1, or (h, w, 1) as a camera without colours sees it, and
a mask (h, w) of the pixels that a defect changed.
"""
