"""The mini trio's world: equations ax+by=c in positive whole numbers (thinklogit.mini.world).

Source: computed. dev chooses settings; report is read once for each published figure; training has seen neither.
Prompt: the question alone, as the mini members were trained on. Extraction: the last "Answer: x=., y=." after which
any solution in positive whole numbers is right.
"""

from inspect_ai import Task, task

from thinklogit.core.errors import unknown_name
from thinklogit.evals.scoring import graded
from thinklogit.evals.tasks.benchmark import benchmark
from thinklogit.mini import world

SPLITS = ("dev", "report")
VERSION = 1


@task
def mini(split: str = "dev", n: int | None = 200, seed: int = 0) -> Task:
    """The first `n` problems of a split in an order drawn from `seed`; n=null for all."""
    if split not in SPLITS:
        raise unknown_name("split", split, SPLITS)
    return benchmark(
        world.problems(split, n, seed),
        prompt=lambda problem: problem.question,
        scorer=graded("mini"),
        version=VERSION,
        data=f"thinklogit.mini.world, split {split}",
        target=lambda problem: problem.id,  # the equation itself: it is all that its grader needs
        about={"split": split, "n": n, "seed": seed},
    )
