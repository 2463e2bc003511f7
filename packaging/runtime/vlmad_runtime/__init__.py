"""What runs detectors that vlmad exported, on a machine without torch."""
