"""The command ``vlmad bench``: detectors over the categories of a data set, measured.

    command.py      the command line
    asking.py       what the command line asks, in one wording for benches and grids
    plan.py         which cells there are: detector, category, shots, seed
    folder.py       the folder that a bench writes, and what it is a bench of
    detectors.py    the detectors, which share a backbone where they can
    running.py      all cells, and the files at the end
    cells.py        the cells of a category, and keeping what came of each
    scoring.py      scoring them side by side, so that each image is encoded once
    measuring.py    from the scores and maps of a cell to metrics and replicates
    results.py      a cell's metrics on disk
    samples.py      the test images with their labels, beside the scores
    reading.py      a whole folder, read back
    timing.py       time per image and peak memory
    averages.py     over seeds, then over categories
    pairs.py        every detector against the first
    published.py    published figures (published.toml), where recipe and data set are theirs
    document.py     all of it as one table of plain values: bench.json
    tables.py       its figures as rows of Markdown and CSV
    page.py         the document as Markdown: tables, and what remarks.py says below them
    terminal.py     the document as people see it while they wait

A cell is a run folder (`vlmad_run`) with its metrics beside. It is finished when
``metrics.json`` is there, which is written last.
"""
