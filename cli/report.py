"""What an import has to tell at its end."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from uuid import UUID

from cli.bodies import BulkLine
from cli.bulk import LineAnswer
from cli.client import sentence

REASONS_SHOWN = 5


@dataclass
class Report:
    """Counts by what was said."""

    answers: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    agents: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)

    # The latest fix that was new; when it is scored, all of them are, as imports are scored in their order.
    last_accepted: UUID | None = None

    def note_fix(self, fix: BulkLine) -> None:
        self.outcomes[fix.outcome.kind if fix.outcome else "not known yet"] += 1
        self.agents[fix.agent_id] += 1

    def note_answer(self, answer: LineAnswer) -> None:
        self.answers[answer.status] += 1
        if answer.status == "accepted":
            self.last_accepted = answer.id
        if answer.status == "rejected":
            self.refusals[sentence(answer.problem or {})] += 1

    @property
    def all_refused(self) -> bool:
        return self.answers.total() > 0 and self.answers["rejected"] == self.answers.total()

    def lines(self) -> Iterator[str]:
        """For people, in the order of their interest."""
        counted = {"fixes": self.answers, "outcomes": self.outcomes, "agents": self.agents, "left out": self.left_out}
        for title, counter in counted.items():
            if +counter:
                yield f"{title:>9}: " + ", ".join(f"{count:,} {name}" for name, count in (+counter).most_common())
        for reason, count in self.refusals.most_common(REASONS_SHOWN):
            yield f"  refused: {count:,} × {reason}"
