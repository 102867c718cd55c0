"""The mini trio's world: a shop (thinklogit.mini.world).

Problems are made by the package itself, from train-split counterparts of which the mini members were trained; dev is
for choosing settings, report for published figures. Graded exactly, from the last "Answer: ..." in the text.
"""

from collections.abc import Sequence
from pathlib import Path

from inspect_ai import Task, task

from thinklogit.core.errors import OptionError, RecordError, unknown_name
from thinklogit.core.records import Problem, parse_json_line, read_lines
from thinklogit.evals.scoring import graded
from thinklogit.evals.tasks.benchmark import benchmark
from thinklogit.mini import world

SPLITS = ("dev", "report")
VERSION = 3


@task
def mini(
    split: str = "dev", n: int | None = 200, seed: int = 0, kind: str | None = None, opening: str | None = None
) -> Task:
    """The first `n` problems of a split in an order drawn from `seed`; n=null for all.

    `kind` keeps one kind of problem, search or recall. With an `opening` every answer is made to begin with the
    problem said again, as all do, and then these words: what a sceptic tries in place of guidance. A .jsonl file of
    `id` and `opening` gives each problem the beginning of its answer.
    """
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    problems = world.problems(split, n, seed, kind)
    opened = _opened(problems, opening)

    about = {"split": split, "n": n, "seed": seed, "kind": kind, "opening": opening}
    return benchmark(
        problems,
        prompt=lambda problem: problem.question,
        scorer=graded("mini"),
        version=VERSION,
        data=f"thinklogit.mini.world, split {split}",
        reported=("kind", "level"),
        target=lambda problem: problem.id,  # what is asked: it is all that its grader needs
        opening=lambda problem: opened[problem.id],
        about={name: value for name, value in about.items() if value is not None},
    )


def _opened(problems: Sequence[Problem], opening: str | None) -> dict[str, str]:
    """How the answer to each problem is made to begin; "" where it is left to the model."""
    if opening is None:
        return {problem.id: "" for problem in problems}
    if not opening.endswith(".jsonl"):
        return {problem.id: world.subject_of(problem.id).restated + opening for problem in problems}
    if not Path(opening).is_file():
        raise OptionError(f"{opening}: no such file of openings; give a .jsonl file, or words")
    rows = [parse_json_line(line, where) for where, line in read_lines(Path(opening))]
    found = {row["id"]: row["opening"] for row in rows if isinstance(row.get("opening"), str) and "id" in row}
    for problem in problems:
        if problem.id not in found:
            raise RecordError(
                f"{opening}: expected an opening for every problem, found none for {problem.id!r}; add it"
            )
    return found
