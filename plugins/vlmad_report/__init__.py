"""Show what a bench or a grid gave: one page with analyses, figures and failures.

cli.py               the command ``vlmad report``
_result_source.py    the folder of results
_report_page.py      which sections there are, and what stands at the top
_summary.py          averages, differences, every category
_group_section.py    groups of objects
_setting_sections.py references and window sizes
_published_section.py  published figures beside one's own
_image_study.py      what images, masks and maps show, looked at once; with _defects.py
_defect_sections.py  contrast, size and types of defects
_curve_section.py    curves and histograms, drawn by _svg_panels.py
_failure_section.py  false alarms and misses; with _image_cards.py and _score_drivers.py
_report_blocks.py    what a page consists of: tables, charts, panels, cards
_report_text.py      numbers and names as a report writes them
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
