"""``python -m vlmad``: the command ``vlmad`` as it is installed; the core has none of its own."""

from importlib.metadata import distribution

if __name__ == "__main__":
    distribution("vlmad").entry_points.select(group="console_scripts")["vlmad"].load()()
