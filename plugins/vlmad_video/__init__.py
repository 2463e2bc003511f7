"""Films: their frames as images.

- `vlmad_video.film`: decoding, one frame after another
"""
