"""What all benchmarks share: problems become the samples of an inspect task that asks once and grades."""

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from inspect_ai import Task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser
from inspect_ai.scorer import Scorer

from thinklogit.core.records import Problem
from thinklogit.evals.asking import ask


def benchmark(
    problems: Sequence[Problem],
    *,
    prompt: Callable[[Problem], str],
    scorer: Scorer,
    version: int,
    data: str,
    reported: Sequence[str] = (),
    target: Callable[[Problem], str] = lambda problem: problem.answer,
    opening: Callable[[Problem], str] = lambda problem: "",
    about: Mapping[str, Any] | None = None,
) -> Task:
    """The task that asks these problems, read from `data`.

    A sample's input is the whole prompt as text; whether it goes through a chat template is the model's matter. Of the
    metadata it keeps what is `reported`. The task's says where the problems are from, and what else is told `about`
    them; two runs with one `data_digest` asked the same and expected the same. An `opening` is the beginning of the
    answer, put into the model's mouth.
    """
    samples = [
        Sample(
            id=problem.id,
            input=_input(prompt(problem), opening(problem)),
            target=target(problem),
            metadata={name: problem.metadata[name] for name in reported if name in problem.metadata},
        )
        for problem in problems
    ]
    asked = [(problem.id, prompt(problem), problem.answer, *filter(None, [opening(problem)])) for problem in problems]
    digest = sha256(repr(asked).encode())
    return Task(
        dataset=MemoryDataset(samples),
        solver=ask(),
        scorer=scorer,
        version=version,
        metadata={"data": data, "data_digest": digest.hexdigest()[:16], "problems": len(samples), **(about or {})},
    )


def _input(prompt: str, opening: str) -> str | list[ChatMessage]:
    return [ChatMessageUser(content=prompt), ChatMessageAssistant(content=opening)] if opening else prompt
