"""Expert iteration: a member's own samples, rewarded by the world's exact grader, become the next documents it learns.

Source: expert iteration as in STaR, arXiv 2203.14465, section 3, without its hints.
"""

from collections.abc import Iterator, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

import torch

from thinklogit.core.records import Problem
from thinklogit.mini.documents import Document
from thinklogit.mini.tokenizer import ASSISTANT, END, USER
from thinklogit.mini.world import grade

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

SAMPLED_TOGETHER = 128
MAX_NEW_TOKENS = 200


def rewarded(
    member: "PreTrainedModel", tokenizer: "PreTrainedTokenizerFast", problems: Sequence[Problem], seed: int
) -> list[Document]:
    """One sampled answer to each problem at temperature 1, of which those that ended and are right are returned."""
    kept = []
    for start in range(0, len(problems), SAMPLED_TOGETHER):
        some = problems[start : start + SAMPLED_TOGETHER]
        torch.manual_seed(seed * 1000 + start)
        kept += [
            Document(problem.question, text.removesuffix(END))
            for problem, text in zip(some, _sampled(member, tokenizer, some), strict=True)
            if text.endswith(END) and grade(problem, text).correct
        ]
    return kept


def _sampled(member: Any, tokenizer: "PreTrainedTokenizerFast", problems: Sequence[Problem]) -> list[str]:
    asked = tokenizer(
        [f"{USER}{problem.question}{ASSISTANT}" for problem in problems], padding=True, return_tensors="pt"
    )
    ids = member.generate(**asked, max_new_tokens=MAX_NEW_TOKENS, do_sample=True, temperature=1.0, top_k=0)
    answers = tokenizer.batch_decode(ids[:, asked["input_ids"].shape[1] :])
    return [answer.replace(tokenizer.pad_token, "") for answer in answers]


def again_and_again(documents: Sequence[Document], seed: int) -> Iterator[Document]:
    """The documents without end, in a new order each time."""
    draw, order = Random(seed), list(documents)
    while True:
        draw.shuffle(order)
        yield from order
