"""Least privilege as a table: every operation that needs a key, by the one scope that lets it through."""

from shared.keys import Scope

NEEDS: dict[Scope, set[str]] = {
    "read": {
        "GET /v1/events",
        "GET /v1/fixes",
        "GET /v1/fixes/{fix_id}",
        "GET /v1/learnings",
        "GET /v1/learnings/{learning_id}",
        "GET /v1/models",
        "GET /v1/models/{version}",
        "GET /v1/models/{version}/calibration",
        "GET /v1/models/{version}/promotions",
        "GET /v1/patterns",
        "GET /v1/patterns/{pattern_id}",
        "GET /v1/training-runs/{run_id}",
        "POST /v1/confidence",
        "POST /v1/confidence/batch",
        "POST /v1/patterns/analyze",
    },
    "submit": {"POST /v1/fixes", "POST /v1/learnings"},
    "report": {"PATCH /v1/fixes/{fix_id}", "POST /v1/fixes/{fix_id}/outcome", "POST /v1/outcomes"},
    "vote": set(),
    "operate": {
        "GET /v1/dead-letters",
        "GET /v1/flags",
        "GET /v1/operations",
        "GET /v1/thresholds",
        "POST /v1/dead-letters/{letter_id}/replay",
        "POST /v1/fixes/bulk",
        "POST /v1/models/retrain",
        "POST /v1/models/{version}/promote",
        "PUT /v1/flags/{name}",
        "PUT /v1/thresholds",
    },
}
