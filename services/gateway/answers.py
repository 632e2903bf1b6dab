"""What each operation answers, where its route's own shape does not say it. Every route has its line here.

`openapi.py` derives the rest: the scope from the guard, parameters and bodies from the signature, and the problems that
follow from either (a body can be too large, an `agent_id` can be another's). A test asks for each of these answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from services.gateway import served
from services.gateway.bodies import BulkLine
from services.gateway.views import Accepted, BulkAnswer, Fix, Health, Readiness
from shared.contracts.commands import Confidence, ExplainedConfidence


@dataclass(frozen=True)
class Text:
    """A body that is not one JSON document; `line` is the type of each line of it."""

    media_type: str
    line: type | None = None


@dataclass(frozen=True, kw_only=True)
class Operation:
    tag: str
    # Status -> the types that its body may have, where they are not what the route's annotation says.
    answers: Mapping[int, tuple[Any, ...]] = field(default_factory=lambda: MappingProxyType({}))
    # Codes that do not follow from the route's shape.
    problems: tuple[str, ...] = ()
    # Headers of the successful answers.
    headers: tuple[str, ...] = ()
    request: Text | None = None
    # What else its description says.
    note: str = ""


TAGS = {
    "fixes": "Hand a fix in, ask what became of it, tell what became of it.",
    "confidence": "Scores for changes that are not stored.",
    "patterns": "Kinds of change, and what recurs.",
    "learnings": "What agents learned.",
    "collaborations": "Agents work a case out together, and vote.",
    "events": "What happens, as it happens.",
    "models": "The registry, training and promotion.",
    "stats": "How agents fared, and what they worked out together.",
    "operations": "For whoever runs the deployment.",
    "health": "Probes, metrics and descriptions: no key, no limit.",
}

PUBLISHED = ("bus_unavailable", "log_full")
SCORING = ("bus_unavailable", "scoring_unavailable")
PATTERNS = ("bus_unavailable", "patterns_unavailable")
NDJSON = "application/x-ndjson"

OPERATIONS: dict[str, Operation] = {
    "submit_fix": Operation(
        tag="fixes", answers={200: (Fix, Accepted), 201: (Fix,), 202: (Accepted,)}, problems=PUBLISHED,
        headers=("Location",),
    ),
    "submit_bulk": Operation(
        tag="fixes", answers={200: (Text(NDJSON, BulkAnswer),)}, request=Text(NDJSON, BulkLine)
    ),
    "list_fixes": Operation(tag="fixes", problems=("filters_not_served",), note=served.FIXES.told()),
    "get_fix": Operation(tag="fixes", problems=("not_yet_visible",)),
    "correct_fix": Operation(tag="fixes", problems=("precondition_failed", *PATTERNS)),
    "report_outcome": Operation(tag="fixes", problems=("self_report", *PUBLISHED)),
    "report_named_outcome": Operation(tag="fixes", problems=("self_report", *PUBLISHED)),
    "score": Operation(
        tag="confidence", answers={200: (Confidence, ExplainedConfidence)}, problems=SCORING
    ),
    "score_batch": Operation(tag="confidence", problems=SCORING),
    "analyze": Operation(tag="patterns", problems=PATTERNS),
    "list_patterns": Operation(tag="patterns"),
    "get_pattern": Operation(tag="patterns"),
    "get_related": Operation(tag="patterns", problems=PATTERNS),
    "create_learning": Operation(tag="learnings", problems=PATTERNS, headers=("Location",)),
    "list_learnings": Operation(tag="learnings", problems=("filters_not_served",), note=served.LEARNINGS.told()),
    "get_handbook": Operation(tag="learnings", answers={200: (Text("text/markdown; charset=utf-8"),)}),
    "list_held": Operation(tag="learnings"),
    "get_learning": Operation(tag="learnings"),
    "list_versions": Operation(tag="learnings"),
    "change_learning": Operation(
        tag="learnings", problems=("not_author", "not_active", "precondition_failed", *PATTERNS)
    ),
    "delete_learning": Operation(tag="learnings", problems=("not_author", "precondition_failed", *PATTERNS)),
    "release_learning": Operation(tag="learnings", problems=("not_held", "precondition_failed", *PATTERNS)),
    "open_collaboration": Operation(tag="collaborations", problems=("screened", *PATTERNS), headers=("Location",)),
    "list_collaborations": Operation(
        tag="collaborations", problems=("filters_not_served",), note=served.COLLABORATIONS.told()
    ),
    "get_collaboration": Operation(tag="collaborations"),
    "change_collaboration": Operation(
        tag="collaborations",
        problems=(
            "screened", "not_joined", "not_opener", "collaboration_closed", "precondition_failed", *PATTERNS,
        ),
    ),
    "join_collaboration": Operation(
        tag="collaborations", problems=("collaboration_closed", "collaboration_full", *PATTERNS)
    ),
    "propose_solution": Operation(
        tag="collaborations",
        problems=("screened", "not_joined", "collaboration_closed", "collaboration_full", *PATTERNS),
        headers=("Location",),
    ),
    "vote": Operation(
        tag="collaborations", problems=("screened", "not_joined", "own_solution", "collaboration_closed", *PATTERNS)
    ),
    "list_models": Operation(tag="models"),
    "get_model": Operation(tag="models"),
    "get_calibration": Operation(tag="models"),
    "list_promotions": Operation(tag="models"),
    "retrain": Operation(tag="models", problems=PUBLISHED, headers=("Location",)),
    "promote": Operation(tag="models", problems=PUBLISHED),
    "get_training_run": Operation(tag="models", problems=("not_yet_visible",)),
    "get_agent_stats": Operation(tag="stats"),
    "get_collaboration_stats": Operation(tag="stats"),
    "get_overview": Operation(tag="stats"),
    "events": Operation(tag="events", answers={200: (Text("text/event-stream; charset=utf-8"),)},
        problems=("bus_unavailable", "too_many_streams")),
    "read_batch": Operation(tag="operations"),
    "list_flags": Operation(tag="operations"),
    "set_flag": Operation(tag="operations", problems=("bus_unavailable",)),
    "get_operations": Operation(tag="operations", problems=("bus_unavailable",)),
    "list_dead_letters": Operation(tag="operations", problems=("bus_unavailable",)),
    "replay_dead_letter": Operation(tag="operations", problems=("bus_unavailable",)),
    "get_thresholds": Operation(tag="operations"),
    "put_thresholds": Operation(tag="operations", problems=SCORING),
    "healthz": Operation(tag="health", answers={200: (Health,)}),
    "readyz": Operation(tag="health", answers={200: (Readiness,), 503: (Readiness,)}),
    "metrics": Operation(tag="health", answers={200: (Text("text/plain; version=1.0.0; charset=utf-8"),)}),
    "openapi": Operation(tag="health", answers={200: (Text("application/vnd.oai.openapi+json"),)}),
    "asyncapi": Operation(tag="health", answers={200: (Text("application/vnd.aai.asyncapi+json"),)}),
    "docs": Operation(tag="health", answers={200: (Text("text/html; charset=utf-8"),)}),
}  # fmt: skip
