"""At a line: images that keep coming, a judgement of each, and where judgements go.

- `vlmad_line.judgements`: what is said of an image, or of a source that has stopped
- `vlmad_line.station`: what judges images, whatever happens to them
- `vlmad_line.line_parts`: parts of several views
- `vlmad_line.ledger`: what was said, on disk until every sink has it
- `vlmad_line.line`: these three together, for whoever has images
- `vlmad_line.endpoints`: what plugins can bring: sources that keep coming, sinks
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad.hookspecs import hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register


@hookimpl
def register_commands(register: Register) -> None:
    """Register ``vlmad watch``."""
    register("watch", "vlmad_line.cli:watch", "Judge images as they come, and tell machines.")


@hookimpl
def register_sources(register: Register) -> None:
    """Register cameras."""
    for scheme in ("rtsp", "rtsps", "http", "https", "v4l2"):
        register(scheme, "vlmad_line.camera:CAMERA", "The frames of a camera, for vlmad watch.")


@hookimpl
def register_sinks(register: Register) -> None:
    """Register what ``--to`` takes."""
    posted = "Each judgement as JSON in a POST to a URL."
    published = "Each judgement as JSON on a topic of an MQTT broker, QoS 1."
    rows = "Run folders of files, with their maps, for review, calibrate and drift."
    register("folder", "vlmad_line._run_sink:to_run_folders", rows)
    register("csv", "vlmad_line._table_sink:to_table", "A line for each judgement in a table.")
    register("http", "vlmad_line._webhook:to_webhook", posted)
    register("https", "vlmad_line._webhook:to_webhook", posted)
    register("mqtt", "vlmad_line._mqtt:to_broker", published)
    register("mqtts", "vlmad_line._mqtt:to_broker", published)
