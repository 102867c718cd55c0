r"""GPQA-diamond: 198 graduate questions with four choices (Rein et al., arXiv 2311.12022).

Source: Idavidrein/gpqa, gpqa_diamond.csv (Record ID, Question, Correct Answer, Incorrect Answer 1 to 3, ...); gated:
accept its licence and set HF_TOKEN. The right answer stands first in every row, so the choices are shuffled, each
problem's from the seed and its id: the same order for every system and every completion.
Prompt: the instruction is the authors', https://github.com/yunx-z/think-logit/blob/295c76cc7f322efdd40490b0e4b5f85964f9a0b0/eval/gsm/run_eval.py#L64
and the form of the choices that of their worked example,
https://github.com/yunx-z/think-logit/blob/735d4ccb7468459b777eda1ec5555aaa170859a7/long_cot_prompt_gpqa.txt#L9
Extraction: the last boxed letter after the thinking, else "the answer is", else a letter alone on a line.
"""

from dataclasses import replace
from random import Random

from inspect_ai import Task, task

from thinklogit.core.errors import RecordError
from thinklogit.core.records import Problem
from thinklogit.core.seeds import derive_seed
from thinklogit.evals.data import FieldMap, Fields, read_problems
from thinklogit.evals.scoring import graded
from thinklogit.evals.tasks.benchmark import benchmark

DATA = "hf://datasets/Idavidrein/gpqa@633f5ee89ab8ad4522a9f850766b73f62147ffdd/gpqa_diamond.csv"
VERSION = 1
INSTRUCTION = (
    "Solve the following problem. You must choose only one option from A to D. "
    r"Your final answer should be a single letter from A to D, in the form \boxed{answer}, at the end of your response."
)
CLOSING = r"Please write your final answer in the form of \boxed{A}, \boxed{B}, \boxed{C}, or \boxed{D}"
LETTERS = "ABCD"
WRONG = ("Incorrect Answer 1", "Incorrect Answer 2", "Incorrect Answer 3")


@task
def gpqa_diamond(data: str = DATA, data_fields: Fields = None, seed: int = 0) -> Task:
    """The benchmark, from the hub or from a file of `data`; `seed` orders the choices."""
    fields = FieldMap.of(data_fields, question="Question", answer="Correct Answer")
    return benchmark(
        [lettered(problem, seed) for problem in read_problems(data, fields=fields)],
        prompt=gpqa_prompt,
        scorer=graded("letter"),
        version=VERSION,
        data=data,
        reported=("Subdomain", "High-level domain", "choices"),
        about={"seed": seed},
    )


def lettered(problem: Problem, seed: int) -> Problem:
    """The problem with its choices in a drawn order, and the letter of the right one as its answer."""
    wrong = [str(problem.metadata.get(name) or "").strip() for name in WRONG]
    if not all(wrong):
        raise RecordError(f"problem {problem.id}: expected text in {', '.join(WRONG)}; found {wrong}; mend this row")
    order = [0, 1, 2, 3]
    Random(derive_seed(seed, problem.id)).shuffle(order)
    choices = [[problem.answer, *wrong][place] for place in order]
    return replace(problem, answer=LETTERS[order.index(0)], metadata={**problem.metadata, "choices": choices})


def gpqa_prompt(problem: Problem) -> str:
    """Task instruction, blank line, question, lettered choices, what to write."""
    choices = (f"({letter}) {choice}" for letter, choice in zip(LETTERS, problem.metadata["choices"], strict=True))
    listed = "\n".join(("Answer Choices:", *choices))
    return f"{INSTRUCTION}\n\nQuestion: {problem.question}\n{listed}\n\n{CLOSING}"
