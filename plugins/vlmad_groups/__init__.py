"""Several views of one part: one verdict from those of its images.

- `vlmad_groups.combining`: p-values of views as one, whatever they have to do with each other
- `vlmad_groups.part_rows`: what is said of a part
- `vlmad_groups.collecting`: parts whose views come one after another
"""
