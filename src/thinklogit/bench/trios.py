"""What is measured: the mini trio, also at the cost of a large one; on a GPU random weights of published shapes too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

from thinklogit.mini.inflation import Size, inflated
from thinklogit.mini.world import problems
from thinklogit.models.composite import Guider, ThinkLogitForCausalLM
from thinklogit.models.packing import pack, weight_bytes
from thinklogit.models.trios import load

SIZES = Size(hidden=2048, layers=8, feed_forward=14848), Size(hidden=1024, layers=3, feed_forward=3584)
"""The target's and the small members'. 21 to 1 in parameters, as 32B to 1.5B is; few wide layers, for a large model's
layer is streamed longer than launched."""
QUICK_SIZES = Size(hidden=2048, layers=4, feed_forward=14848), Size(hidden=1024, layers=3, feed_forward=1792)
"""Half as large; the small members' launches then weigh more than in a real trio."""
QUESTIONS = 32
LONG_ENOUGH = 4
"""The least level of the problems asked: their guided answers are longer than what is measured."""
QWEN_1_5B = {"hidden_size": 1536, "num_hidden_layers": 28, "intermediate_size": 8960, "num_attention_heads": 12}
QWEN_7B = {"hidden_size": 3584, "num_hidden_layers": 28, "intermediate_size": 18944, "num_attention_heads": 28}
QWEN_32B = {"hidden_size": 5120, "num_hidden_layers": 64, "intermediate_size": 27648, "num_attention_heads": 40}
KEY_VALUE_HEADS = {1536: 2, 3584: 4, 5120: 8}
QWEN_VOCABULARY = 152_064


@dataclass(frozen=True)
class Prepared:
    """A trio, and prompts for it."""

    name: str
    model: ThinkLogitForCausalLM
    prompts: list[list[int]]

    def prompt(self, number: int) -> list[int]:
        """The prompts in turn, again and again."""
        return self.prompts[number % len(self.prompts)]

    @cached_property
    def bytes_by_member(self) -> dict[str, int]:
        """Bytes of weights that a step of each member streams."""
        return {name: streamed_bytes(self.model.member(name)) for name in self.model.config.member_refs}


def trios(quick: bool = False) -> Iterator[Callable[[], Prepared]]:
    """What there is to measure on this machine; each is made when called, and large."""
    yield mini
    yield lambda: inflated_mini(*(QUICK_SIZES if quick else SIZES))
    if torch.cuda.is_available():
        yield lambda: random_trio("7B + 2 x 1.5B, random weights", QWEN_7B)
        yield lambda: random_trio("32B + 2 x 1.5B, random weights", QWEN_32B)


def mini() -> Prepared:
    """The mini trio as it is shipped: bound by launching its small layers."""
    model, tokenizer = load("mini")
    return Prepared("mini", model.to(_device()), _questions(tokenizer))


def inflated_mini(target: Size, small: Size) -> Prepared:
    """The mini trio's answers at the cost of larger members, in bfloat16 where this machine has it."""
    # On a CPU without it nine rows of bfloat16 cost eight times what one does: nobody would decode so.
    has_bfloat16 = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
    dtype = torch.bfloat16 if has_bfloat16 else torch.float32
    model, tokenizer = load("mini")
    pair, sizes = model.guiders[0], {"guider": small, "base": small}
    guider, base = (inflated(getattr(pair, name), size, dtype).to(_device()) for name, size in sizes.items())
    trio = ThinkLogitForCausalLM.from_members(
        inflated(model.target, target, dtype).to(_device()),
        [Guider(guider, base, model.config.guider_refs[0].alpha)],
        warmup_tokens=model.config.warmup_tokens,
    )
    weights = trio.target.num_parameters()
    pack(trio)
    name = f"mini, inflated to {weights / 1e6:.0f}M, {str(dtype).removeprefix('torch.')}"
    return Prepared(name, trio, _questions(tokenizer))


def random_trio(name: str, shape: dict[str, Any], small: dict[str, Any] = QWEN_1_5B) -> Prepared:
    """Members of Qwen2's shapes that say nothing: drafts hardly ever stand, so only what a step costs can be seen."""

    def member(shape: dict[str, Any], seed: int) -> Any:
        torch.manual_seed(seed)
        config = Qwen2Config(
            vocab_size=QWEN_VOCABULARY,
            num_key_value_heads=KEY_VALUE_HEADS.get(shape["hidden_size"], 2),
            tie_word_embeddings=shape is small,
            max_position_embeddings=4096,
            **shape,
        )
        with torch.device(_device()):
            return AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()

    guider = Guider(member(small, 1), member(small, 2), 1.0)
    trio = ThinkLogitForCausalLM.from_members(member(shape, 0), [guider], warmup_tokens=0)
    torch.manual_seed(0)
    return Prepared(name, trio, torch.randint(QWEN_VOCABULARY, (QUESTIONS, 64)).tolist())


def streamed_bytes(model: Any) -> int:
    """What one step at small batch reads: every weight but the embedding's other rows, unless it is the head too."""
    embedding, head = model.get_input_embeddings().weight, model.get_output_embeddings()
    tied = getattr(head, "weight", None) is embedding
    return weight_bytes(model) - (0 if tied else embedding.nbytes)


def _questions(tokenizer: Any) -> list[list[int]]:
    asked = [each for each in problems("dev", kind="search") if each.metadata["level"] >= LONG_ENOUGH][:QUESTIONS]
    chats = [[{"role": "user", "content": each.question}] for each in asked]
    return [tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"] for chat in chats]


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
