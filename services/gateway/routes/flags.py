"""`/v1/flags`: what operators may switch while everything runs."""

from typing import Any

from litestar import Request, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from services.gateway.bodies import FlagBody
from services.gateway.filters import Name
from services.gateway.guards import caller, requires
from services.gateway.problems import not_found
from services.gateway.runtime import Runtime
from services.gateway.views import FlagView, Page
from shared.flags import FLAGS, Flag, Flags, Setting

BY_NAME: dict[str, Flag] = {flag.name: flag for flag in FLAGS}


def view(flags: Flags, flag: Flag) -> FlagView:
    chosen = flags.chosen(flag.name)
    return FlagView(
        name=flag.name,
        on=flags.on(flag.name),
        default=flag.default,
        does=flag.does,
        changed_by=chosen.setting.by if chosen else None,
        changed_at=chosen.at if chosen else None,
    )


@get("/v1/flags", guards=[requires("operate")])
async def list_flags(runtime: NamedDependency[Runtime]) -> Page[FlagView]:
    """Every flag, as this gateway knows it."""
    return Page(items=[view(runtime.flags, flag) for flag in FLAGS])


@put("/v1/flags/{name:str}", guards=[requires("operate")])
async def set_flag(
    request: Request[Any, Any, Any],
    name: Name,
    data: JSONBody[FlagBody],
    runtime: NamedDependency[Runtime],
) -> FlagView:
    """Holds at once here, and within milliseconds in every replica of every service."""
    if name not in BY_NAME:
        raise not_found("flag")
    flag = BY_NAME[name]
    await runtime.set_flag(flag.name, Setting(data.on, caller(request).name))
    return view(runtime.flags, flag)
