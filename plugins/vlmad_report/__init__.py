"""Show what a bench or a grid gave: one page with analyses, figures and failures.

cli.py               the command ``vlmad report``
_report_page.py      from a folder to a page: its sections and what stands at the top
_result_source.py    the folder of results
*_section.py, *_sections.py    the sections
_image_study.py      what images, masks and maps show, looked at once; with _defects.py
_report_blocks.py    what a page consists of, beside vlmad_evaluation's tables
_metric_charts.py    bars of metrics
_report_html.py      the page as HTML, by templates/
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad report`."""
    register("report", "vlmad_report.cli:report", "Show what a bench or a grid gave: one page.")
