"""Write the JSON Schema of each document that vlmad writes for others to read.

python docs/schemas.py
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path

FOLDER = Path(__file__).parent / "schemas"
DOCUMENTS = {
    "row": "vlmad_run.rows:ScoreRow",
    "part-judgement": "vlmad_line.judgements:PartJudgement",
    "part": "vlmad_groups.part_rows:PartRow",
    "manifest": "vlmad_run.manifest:Manifest",
    "fitted": "vlmad_run.fitted:FittedDetector",
    "threshold": "vlmad_run.thresholds:Threshold",
    "learned": "vlmad_documents.learned_file:LearnedFile",
    "training": "vlmad_train.history:TrainingHistory",
    "training-drawings": "vlmad_train.visible_drawings:VisibleDrawings",
    "training-curve": "vlmad_train.category_curve:CategoryCurve",
    "learned-description": "vlmad_anomalyclip._nearest_words:LearnedDescription",
    "threshold-evidence": "vlmad_calibration.calibration:Evidence",
    "bench": "vlmad_evaluation.result_documents:BenchDocument",
    "grid": "vlmad_evaluation.result_documents:GridDocument",
    "choice": "vlmad_evaluation.choice_document:ChoiceDocument",
    "samples": "vlmad_evaluation.result_documents:SamplesDocument",
    "explanation": "vlmad_explain.explanations:ExplanationFile",
    "review": "vlmad_review.review_document:ReviewDocument",
    "synthesis": "vlmad_synthesis._synthetic_folder:SyntheticFolder",
    "learned-review": "vlmad_review.review_document:LearnedReview",
    "dataset": "vlmad_datasets.description:DatasetDescription",
    "conformance": "vlmad_conformance.conformance_document:Conformance",
    "health": "vlmad_doctor.health:Health",
    "drift": "vlmad_drift.drift_documents:DriftReport",
    "serve-drift": "vlmad_drift.drift_documents:StationDriftReport",
    "stored-drift": "vlmad_drift.stored_drift:StoredDrift",
    "drift-state": "vlmad_drift.drift_documents:DriftState",
    "exported": "vlmad_export.exported:ExportedDetector",
    "speed": "vlmad_speed.encoding_ways:SpeedReport",
    "events": "vlmad_video.film_events:FilmEvents",
    "film": "vlmad_video.film_frames:FilmRecord",
    "serve-scores": "vlmad_serve.answers:ScoreAnswer",
    "serve-products": "vlmad_serve.answers:ProductList",
    "serve-product-change": "vlmad_serve.answers:ProductChange",
    "serve-history": "vlmad_serve.answers:History",
    "serve-health": "vlmad_serve.answers:StationHealth",
    "serve-problem": "vlmad_serve.answers:RequestProblem",
    "serve-product-scores": "vlmad_serve.answers:ProductScores",
    "serve-review": "vlmad_serve.answers:ReviewState",
    "serve-rows": "vlmad_serve.answers:KnownRows",
    "serve-truth": "vlmad_serve.answers:SaidTruth",
    "serve-paused": "vlmad_serve.answers:PausedStation",
    "judgement": "vlmad_line.judgements:Judgement",
    "alarm": "vlmad_line.judgements:Alarm",
}
"""By the name of the schema's file: ``module:Class``."""


def schema_of(place: str) -> str:
    """Return a document's JSON Schema."""
    module, _, name = place.partition(":")
    model = getattr(importlib.import_module(module), name)
    return json.dumps(model.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, place in DOCUMENTS.items():
        (FOLDER / f"{name}.json").write_text(schema_of(place), encoding="utf-8")
