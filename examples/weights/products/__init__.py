"""Products drawn by code, good and with defects, for training a detector.

Nothing here is a photograph or anyone else's picture. `products.drawing.draw_set` is the entrance;
`python examples/weights/products/sheet.py` shows what is drawn.
"""
