"""Pairs as token ids: what the trainers read, exactly as a guider reads and writes when it decodes.

A prompt and a response are tokenized apart, as the one is given and the other generated. An end token follows a
response that ended, and none a response that was cut: there nothing ends.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from thinklogit.core.errors import ContextError

TEXTS = ("prompt", "chosen", "rejected")


class TokenizedPair(NamedTuple):
    """The ids of one pair."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


def tokenized(rows: Iterable[Mapping[str, Any]], tokenizer: Any, end_id: int, max_length: int) -> list[TokenizedPair]:
    """All pairs of a data set.

    Args:
        rows: with prompt (all of it, special tokens too), chosen, rejected, and whether each of the two was cut.
        tokenizer: the guider's.
        end_id: the token that ends its answers.
        max_length: tokens of a prompt with either response at most.

    Raises:
        ContextError: a pair that is longer, with the length that all would need.
    """
    pairs = [_tokenized(row, tokenizer, end_id) for row in rows]
    lengths = [len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) for pair in pairs]
    over = sum(length > max_length for length in lengths)
    if over:
        raise ContextError(
            f"{over} of {len(pairs)} pairs are longer than max_length {max_length}, and none is cut silently; use "
            f"--max-length {max(lengths)}, or make the pairs with --max-tokens or --cut-tokens"
        )
    return pairs


def _tokenized(row: Mapping[str, Any], tokenizer: Any, end_id: int) -> TokenizedPair:
    prompt, *responses = (tokenizer(row[name], add_special_tokens=False)["input_ids"] for name in TEXTS)
    ended = (ids if row[f"{side}_cut"] else [*ids, end_id] for side, ids in zip(TEXTS[1:], responses, strict=True))
    return TokenizedPair(prompt, *ended)


def answered(pairs: Iterable[TokenizedPair]) -> list[dict[str, list[int]]]:
    """For SFT: every chosen answer once, with what of it is to be learned."""
    different = dict.fromkeys((tuple(pair.prompt_ids), tuple(pair.chosen_ids)) for pair in pairs)
    return [
        {"input_ids": [*prompt, *chosen], "completion_mask": [0] * len(prompt) + [1] * len(chosen)}
        for prompt, chosen in different
    ]
