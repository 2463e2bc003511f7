"""vlmad: a plugin-based registry of visual anomaly detectors built on vision-language models.

>>> from vlmad import load_detector
>>> detector = load_detector("winclip")
>>> [result] = detector.predict("examples/samples/cloth/test/good/000.png", class_name="cloth")
>>> result.map.ndim
2

The names that ``__init__.pyi`` lists are public, and so are the modules without an underscore.
Importing the package imports none of them, and no torch, until a name is asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
