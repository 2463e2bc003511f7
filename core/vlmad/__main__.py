"""``python -m vlmad`` is ``vlmad``."""

from vlmad.cli import main

if __name__ == "__main__":
    main()
