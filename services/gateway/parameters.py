"""Parameters of an operation, as OpenAPI describes them, from the signature of its route."""

from typing import Annotated, Any, get_args

import msgspec
from litestar.params import HeaderParameter, ParameterKwarg, PathParameter, QueryParameter
from litestar.typing import FieldDefinition
from msgspec import Meta

from services.gateway.glossary import term

PLACES: dict[type[ParameterKwarg], str] = {QueryParameter: "query", HeaderParameter: "header", PathParameter: "path"}
BOUNDS = ("gt", "ge", "lt", "le", "min_length", "max_length", "pattern")

# Read by the edge, for every route that answers with a tag.
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "format": "entity-tags"},
    "description": term("header", "If-None-Match").meaning,
    "example": term("header", "If-None-Match").example,
}


def from_signature(field: FieldDefinition) -> dict[str, Any] | None:
    """None for what is no parameter."""
    known = field.kwarg_definition
    if not isinstance(known, ParameterKwarg) or type(known) not in PLACES:
        return None
    place = PLACES[type(known)]
    name = known.name or field.name
    schema = _schema(field.annotation, known)
    if field.has_default and field.default is not None:
        schema["default"] = field.default
    required = place == "path"
    return {"name": name, "in": place, "required": required, "schema": schema, **_explained(place, name, known)}


def _schema(annotation: Any, known: ParameterKwarg) -> dict[str, Any]:
    meta = {bound: value for bound in BOUNDS if (value := getattr(known, bound)) is not None}
    bare = without_none(annotation)
    made = msgspec.json.schema(Annotated[bare, Meta(**meta)] if meta else bare)
    return made | ({"format": known.format} if known.format else {})


def without_none(annotation: Any) -> Any:
    """`T` of `T | None`; anything else as it is."""
    parts = get_args(annotation)
    kept = [part for part in parts if part is not type(None)]
    return kept[0] if len(kept) == 1 and len(parts) == 2 else annotation


def _explained(place: str, name: str, known: ParameterKwarg) -> dict[str, Any]:
    """The parameter's own words where it has some, else the glossary's."""
    if known.description is not None:
        return {"description": known.description}
    meaning, shown = term(place, name)
    return {"description": meaning} | ({} if shown is None else {"example": shown})
