"""Write docs/memory.md: what the doctor works out of published shapes. With --check fail when it has gone stale."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from transformers import AutoConfig, GenerationConfig

from thinklogit.models.config import MemberRef
from thinklogit.models.doctor.findings import listed
from thinklogit.models.doctor.memory import Parameters, cache_bytes, parameters, tensor_parallel_sizes, weight_bytes
from thinklogit.models.members import Member

PAGE = Path(__file__).with_name("memory.md")
GIB, KIB = 1 << 30, 1 << 10
ROW_TOKENS = 8192
ROWS = 32
UTILIZATION = 0.9
SMALL_SHAPE: dict[str, Any] = {
    "model_type": "qwen2",
    "hidden_size": 1536,
    "num_hidden_layers": 28,
    "num_attention_heads": 12,
    "num_key_value_heads": 2,
    "intermediate_size": 8960,
    "vocab_size": 151_936,
}
SHAPES: dict[str, dict[str, Any]] = {
    "Qwen2.5-32B": {
        "model_type": "qwen2",
        "hidden_size": 5120,
        "num_hidden_layers": 64,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "intermediate_size": 27_648,
        "vocab_size": 152_064,
        "tie_word_embeddings": False,
    },
    "Llama-3.3-70B": {
        "model_type": "llama",
        "hidden_size": 8192,
        "num_hidden_layers": 80,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28_672,
        "vocab_size": 128_256,
        "tie_word_embeddings": False,
    },
    # The distilled model has a head of its own, its ancestor uses the embedding.
    "R1-Distill-Qwen-1.5B": {**SMALL_SHAPE, "tie_word_embeddings": False},
    "Qwen2.5-Math-1.5B": {**SMALL_SHAPE, "tie_word_embeddings": True},
}
TARGETS = ("Qwen2.5-32B", "Llama-3.3-70B")
SMALL = ("R1-Distill-Qwen-1.5B", "Qwen2.5-Math-1.5B")
QUANTIZATIONS: dict[str, dict[str, Any] | None] = {
    "bfloat16": None,
    "8 bits": {"quant_method": "fp8"},
    "4 bits": {"quant_method": "awq", "bits": 4},
}
GPU_BYTES = {"80 GB": 79 * GIB, "141 GB": 139 * GIB}
"""What their drivers leave of an H100 and an H200."""
MACHINES = (("80 GB", 1), ("80 GB", 2), ("80 GB", 4), ("141 GB", 1))

Rows = Iterator[Sequence[str]]


def member(name: str, quantization: dict[str, Any] | None = None) -> Member:
    """One of the published shapes as the doctor sees a member whose weights are elsewhere."""
    config = AutoConfig.for_model(**SHAPES[name])
    ref = MemberRef(name, dtype="bfloat16", quantization_config=quantization)
    return Member(name, name, ref, name, {}, config, GenerationConfig(), None)


class Trio(NamedTuple):
    """A target with guider and base."""

    name: str
    members: tuple[Member, ...]

    @classmethod
    def of(cls, target: str, quantization: str) -> "Trio":
        """The target of this name, in so many bits, with the two small members."""
        return cls(quantization, (member(target, QUANTIZATIONS[quantization]), *map(member, SMALL)))

    @property
    def weight_bytes(self) -> int:
        """Of all members."""
        return sum(weights(each) for each in self.members)

    @property
    def splits(self) -> list[int]:
        """Over how many GPUs all members can be split."""
        return tensor_parallel_sizes(each.text_config for each in self.members)

    def row_bytes(self, gpus: int) -> int:
        """Keys and values of one row, on each of so many GPUs."""
        return sum(keys_and_values(each, ROW_TOKENS, gpus) for each in self.members)


@cache
def counted(name: str) -> Parameters:
    found = parameters(member(name), None)
    assert found is not None
    return found


def weights(each: Member) -> int:
    found = weight_bytes(each, counted(each.name), None)
    assert found is not None
    return found


def keys_and_values(each: Member, tokens: int, gpus: int = 1) -> int:
    return cache_bytes(each.text_config, tokens, 1, each.dtype.itemsize, gpus)


def gib(count_bytes: float) -> str:
    return f"{count_bytes / GIB:,.1f}"


def table(headings: Sequence[str], rows: Rows) -> str:
    lines = [headings, ["---", *["---:"] * (len(headings) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def members_rows() -> Rows:
    for name in SHAPES:
        quantized = [gib(weights(member(name, each))) for each in QUANTIZATIONS.values()]
        each = member(name)
        config = each.text_config
        splits = ", ".join(str(split) for split in tensor_parallel_sizes([config]) if split <= 8)
        heads = f"{config.num_attention_heads} / {config.num_key_value_heads}"
        yield name, f"{counted(name).total / 1e9:.2f}B", *quantized, f"{keys_and_values(each, 1) // KIB}", heads, splits


def together_rows(target: str) -> Rows:
    for quantization in QUANTIZATIONS:
        trio = Trio.of(target, quantization)
        one_row = trio.row_bytes(1)
        yield (
            trio.name,
            gib(trio.weight_bytes),
            f"{one_row // ROW_TOKENS // KIB}",
            gib(one_row),
            gib(ROWS * one_row),
            gib(trio.weight_bytes + one_row),
            gib(trio.weight_bytes + ROWS * one_row),
        )


def machine_rows(target: str) -> Rows:
    trios = [Trio.of(target, quantization) for quantization in QUANTIZATIONS]
    for kind, gpus in MACHINES:
        fits = [fit(trio, GPU_BYTES[kind], gpus) for trio in trios]
        yield f"{gpus} x {kind}", *(cell for each in fits for cell in each)


def fit(trio: Trio, gpu_bytes: int, gpus: int) -> tuple[str, str]:
    """Weights and what is left, on each GPU; how many rows that holds."""
    assert gpus in trio.splits
    each = trio.weight_bytes / gpus
    left = UTILIZATION * gpu_bytes - each
    if left < 0:
        return f"{gib(each)}, none left", "-"
    return f"{gib(each)}, {gib(left)} left", f"{int(left // trio.row_bytes(gpus))}"


def page() -> str:
    of_trios = "\n\n".join(
        f"### {target} + 2 x 1.5B\n\n"
        + table(
            ("target in", "weights", "KiB a token", "1 row", f"{ROWS} rows", "all, 1 row", f"all, {ROWS} rows"),
            together_rows(target),
        )
        + "\n\n"
        + table(("GPUs", *(word for name in QUANTIZATIONS for word in (name, "rows"))), machine_rows(target))
        for target in TARGETS
    )
    guider = member(SMALL[0])
    [splits] = {tuple(Trio.of(target, "bfloat16").splits) for target in TARGETS}
    return TEXT.format(
        members=table(
            ("member", "parameters", *QUANTIZATIONS, "KiB a token", "heads / key-value", "tensor parallel"),
            members_rows(),
        ),
        trios=of_trios,
        row_tokens=f"{ROW_TOKENS:,}",
        utilization=UTILIZATION,
        gpus=" and ".join(f"{each // GIB} GiB of a GPU sold as {kind}" for kind, each in GPU_BYTES.items()),
        splits=listed([str(each) for each in splits[1:]]),
        drafter_gib=gib(weights(guider)),
        drafter_kib=keys_and_values(guider, 1) // KIB,
    )


TEXT = """# Memory

Made by `make format` from published shapes, with the functions of `thinklogit doctor`; `make check` fails when it is
stale. **Worked out, not measured**: nothing here was run on a GPU. For a trio of your own there is
`thinklogit doctor --trio TRIO --batch 32`, which needs configs and tokenizers, no weights.

Sizes in GiB. A row is a text of {row_tokens} tokens, prompt and completion together, as the paper's are; mind that
Qwen2.5-Math-1.5B was made for 4,096. Keys and values are in bfloat16. Quantization leaves embeddings and head in
bfloat16; the scales of a checkpoint in 4 bits, some 4% of it, are not counted.

## Members

{members}

## Trios

Guider and base stay in bfloat16. In the second table of each: weights on each GPU under tensor parallelism, what vLLM
leaves there for keys and values at `--gpu-memory-utilization {utilization}`, and how many rows that holds.
Taken as usable: {gpus}.
Activations and CUDA graphs come out of it too, were not measured, and take some GiB: where less than about 4 is left,
the server may not start.

{trios}

Llama-3.3-70B with members of Qwen crosses tokenizers: guider and base then run beside vLLM, see serving.md.

Tensor parallelism goes to {splits} GPUs: it must divide the heads of every member, and a 1.5B has 12. Beyond 2 GPUs
their 2 key-value heads are held twice. Eight GPUs hold two replicas of four. With `--speculate`, vLLM loads the guider
once more to draft: another {drafter_gib} GiB and {drafter_kib} KiB a token, which are not in the tables.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page differs")
    fresh = page()
    if not parser.parse_args().check:
        PAGE.write_text(fresh)
    elif not PAGE.exists() or PAGE.read_text() != fresh:
        sys.exit("docs/memory.md is stale: run `make format`")


if __name__ == "__main__":
    main()
