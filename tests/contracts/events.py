"""Every event there is, by subject."""

from shared.contracts import fixes, knowledge, models
from shared.contracts.envelope import Event

EVENTS: dict[str, type[Event]] = {
    cls.SUBJECT: cls
    for module in (fixes, knowledge, models)
    for cls in vars(module).values()
    if isinstance(cls, type) and issubclass(cls, Event) and cls is not Event
}
