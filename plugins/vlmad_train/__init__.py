"""Training of what parts can learn, on frozen features."""
