"""docs/evaluation.md has two writers: each replaces what it wrote before, and nothing of the other's."""

from pathlib import Path

from benchmarks import evaluate_memory
from services.trainer import offline


def test_either_part_can_be_written_first_and_again(tmp_path: Path) -> None:
    out = tmp_path / "evaluation.md"
    confidence = "# Evaluation of confidence\n\n## Gain\n\nfirst\n"

    offline.put_part(out, confidence)
    evaluate_memory.put_part(out, {"Categories": "0.7", "Related changes": "0.8"})
    once = out.read_text()
    evaluate_memory.put_part(out, {"Categories": "0.7", "Related changes": "0.8"})
    offline.put_part(out, confidence)

    assert out.read_text() == once
    assert once.startswith(confidence)
    assert once.count("## Categories") == once.count("## Related changes") == 1


def test_a_part_that_is_written_anew_leaves_the_other_as_it_is(tmp_path: Path) -> None:
    out = tmp_path / "evaluation.md"
    evaluate_memory.put_part(out, {"Categories": "old"})
    offline.put_part(out, "# Evaluation of confidence\n\nnew\n")
    evaluate_memory.put_part(out, {"Categories": "newer"})

    written = out.read_text()
    assert "old" not in written
    assert written.index("new\n") < written.index("newer")
