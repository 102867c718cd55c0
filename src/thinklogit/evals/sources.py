"""Problems to be asked outside a benchmark, such as for pairs to train on: with the prompt and the grader of one.

    mini                                the shop's own, of its train split
    FILE, hf://datasets/.../FILE        rows with a question and an answer, as `data` reads them

Prompts and graders are those that the benchmarks use, so that a guider is trained on what it will be measured by.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from thinklogit.core.errors import OptionError, RecordError, unknown_name
from thinklogit.core.records import Problem
from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.tasks.math_hard import wanted_levels, with_level
from thinklogit.evals.tasks.maths import maths_prompt
from thinklogit.mini import world

PROMPTS: Mapping[str, Callable[[Problem], str]] = {
    "math": maths_prompt,
    "letter": lambda problem: problem.question,
    "mini": lambda problem: problem.question,
}
"""By grader, of those that need no more than a reference answer."""


class Asked(NamedTuple):
    """One problem as it is asked and graded."""

    id: str
    question: str
    prompt: str
    reference: str


class Sources(NamedTuple):
    """Where problems come from: files, or "mini"; which levels; and by whom their answers are graded."""

    places: tuple[str, ...]
    grader: str | None = None
    fields: Fields = None
    levels: str | None = None

    @property
    def graded_by(self) -> str:
        """The kind of grader. Raises OptionError."""
        grader = self.grader or ("mini" if self.places == ("mini",) else "math")
        if grader not in PROMPTS:
            raise unknown_name("grader", grader, PROMPTS)
        return grader

    def read(self) -> list[Asked]:
        """Every problem. Raises OptionError and RecordError."""
        if not self.places:
            raise OptionError("no problems given; name a .jsonl, .json, .csv or .parquet file, hf://..., or mini")
        prompt = PROMPTS[self.graded_by]
        if self.places == ("mini",):
            if self.graded_by != "mini" or self.levels is not None or self.fields is not None:
                raise OptionError("the problems of mini have one grader, no levels and no fields; leave those out")
            found = world.problems("train")
            return [Asked(problem.id, problem.question, prompt(problem), problem.id) for problem in found]
        if self.graded_by == "mini":
            raise OptionError(
                "the grader mini reads the answers to mini's problems only; use math or letter for others"
            )
        fields = FieldMap.of(self.fields)
        of_each = [self._kept(place, read_problems(place, fields=fields)) for place in self.places]
        several = len(of_each) > 1
        return [
            Asked(
                f"{number}/{problem.id}" if several else problem.id, problem.question, prompt(problem), problem.answer
            )
            for number, problems in enumerate(of_each, start=1)
            for problem in problems
        ]

    def _kept(self, place: str, problems: Sequence[Problem]) -> list[Problem]:
        """Those of the levels asked for."""
        if self.levels is None:
            return list(problems)
        wanted = wanted_levels(self.levels)
        kept = [problem for problem in map(with_level, problems) if problem.metadata["level"] in wanted]
        if not kept:
            raise RecordError(f"{place}: expected problems of level {self.levels}, found none of {len(problems)}")
        return kept


def questions_of(benchmark: str) -> list[str]:
    """What a benchmark asks, by its name, or a file of it, for holding others against it."""
    from thinklogit.evals.registry import TASKS, task_named

    if benchmark in TASKS:
        return [str(sample.input) for sample in task_named(benchmark, {}).dataset]
    return [problem.question for problem in read_problems(benchmark)]
