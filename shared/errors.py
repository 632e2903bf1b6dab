"""Errors that decide what happens to a message or a command."""

from typing import NoReturn

from shared.contracts.commands import Problem


class PermanentError(Exception):
    """This message can never succeed: it goes to DEAD at once, with this sentence as the reason."""


class CommandRefused(Exception):  # noqa: N818 - an answer, not a failure
    """The command is understood and declined; `problem` is what the caller reads."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def words_of(error: BaseException) -> str:
    """What it says, or where it says nothing what it is, such as `TimeoutError`."""
    return str(error) or type(error).__name__


def refuse(status: int, code: str, detail: str, field: str | None = None) -> NoReturn:
    raise CommandRefused(Problem(status=status, code=code, detail=detail, field=field))
