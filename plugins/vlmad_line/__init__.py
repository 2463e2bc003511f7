"""At a line: images that keep coming, a judgement of each, and where judgements go.

- `vlmad_line.judgements`: what is said of an image
- `vlmad_line.station`: what judges images, whatever happens to them
- `vlmad_line.endpoints`: what plugins can bring: sources that keep coming, sinks
"""
