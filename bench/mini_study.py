"""Everything that is claimed of the mini trio, measured through `thinklogit eval`, compared and put into tables.

    python bench/mini_study.py --split dev              to choose settings
    python bench/mini_study.py --split report --record  once a release: the card's figures
    python bench/mini_study.py --split report --record --members DIR --claims
                                                        the claims again, with members trained from another seed

Members alone, guidance over alpha and warm-up, and what a sceptic asks for: a forced opening, guidance on the first
tokens only, no base, plain averaging, the target trained itself. Can be killed at any moment and started again.
"""

import argparse
import json
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mini_claims import BEST, PUBLISHED, report, samples
from rich.console import Console
from rich.progress import track

from thinklogit.mini.training import STEPS, WARMUP_TOKENS
from thinklogit.models.places import MINI

ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
WARMUPS = (0, 2, 4, 8, WARMUP_TOKENS, 16, 32)
DECODING = {"greedy": {"temperature": 0.0}, "T=0.6": {"temperature": 0.6, "top_p": 0.95}}
OPENINGS = ("Let me think. ", "Let me think. 1")
FIRST_TOKENS = (20, 40, 60)
MAX_NEW_TOKENS = 240
BATCH = 256
PARTS = {"dev": ("claims", "grid", "choice"), "report": ("claims", "grid")}
"""What is measured on each split; the choice between ways of leaving out the base is dev's."""
PROBLEMS = {"dev": None, "report": 1100}


@dataclass(frozen=True)
class Cell:
    """One way of answering; `after` names the cell whose answers' beginnings it goes on from."""

    name: str
    trio: str = "mini"
    mode: str = "guided"
    sampling: dict[str, Any] = field(default_factory=dict)
    opening: str | None = None
    after: str | None = None
    first_tokens: int = 0
    part: str = "claims"


def cells() -> Iterator[Cell]:
    """Everything that is measured, in the order of the tables."""
    yield Cell("target", mode="target")
    yield Cell("guider", mode="guider")
    yield Cell("rewarded guider", "rewarded", "guider")
    yield Cell("base", mode="base")
    yield Cell("other target", "other", "target")
    for alpha in ALPHAS:
        for warmup in WARMUPS:
            sampling = {"alpha": alpha, "warmup_tokens": warmup}
            claimed = (alpha, warmup) in ((1.0, 0), (1.0, WARMUP_TOKENS), (1.0, 16), (0.75, WARMUP_TOKENS))
            part = "claims" if claimed else "grid"
            yield Cell(f"guided, alpha {alpha:g}, warm-up {warmup}", sampling=sampling, part=part)
    yield Cell("rewarded guider guides", "rewarded", sampling={"alpha": 1.0, "warmup_tokens": WARMUP_TOKENS})
    for opening in OPENINGS:
        yield Cell(f"target, opening {opening!r}", mode="target", opening=opening)
    for tokens in FIRST_TOKENS:
        name = f"guided on the first {tokens} tokens only"
        yield Cell(name, mode="target", after="guided, alpha 1, warm-up 0", first_tokens=tokens)
    for alpha in ALPHAS:
        for warmup in (0, WARMUP_TOKENS):
            sampling = {"alpha": alpha, "warmup_tokens": warmup}
            name = f"no base, alpha {alpha:g}, warm-up {warmup}"
            claimed = any(name == without for _, without in BEST.values())
            yield Cell(name, "baseless", sampling=sampling, part="claims" if claimed else "choice")
    yield Cell("target and guider averaged", "baseless", sampling={"alpha": 1.0, "warmup_tokens": 0, "flatter": 2.0})
    yield Cell("target trained itself", "tuned", "target")


def prepared_trios(members: Path, folder: Path) -> dict[str, str]:
    """Trios of the members, put together in several ways; "baseless" has a base without an opinion."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from thinklogit.mini.tokenizer import build
    from thinklogit.models.config import MemberRef
    from thinklogit.models.trios import compose

    def member(name: str) -> MemberRef:
        return MemberRef(str((members / name).resolve()), dtype="float32")

    uniform = folder / "uniform"
    if not uniform.is_dir():
        config = AutoConfig.from_pretrained(members / "base")
        config.num_hidden_layers, config.hidden_size, config.intermediate_size = 1, 8, 8
        config.num_attention_heads = config.num_key_value_heads = 1
        config.head_dim = 8
        silent = AutoModelForCausalLM.from_config(config)
        silent.get_input_embeddings().weight.data.zero_()  # tied: every logit is 0
        silent.save_pretrained(uniform)
        build().save_pretrained(uniform)
    target, guider, base, other = map(member, ("target", "guider", "base", "target_other"))
    made = {
        "mini": (target, guider, base),
        "rewarded": (target, member("guider_rewarded"), base),
        "baseless": (target, guider, MemberRef(str(uniform))),
        "tuned": (member("target_tuned"), guider, base),
        "other": (other, other, other),
    }
    for name, trio in made.items():
        compose(*trio, folder / name, warmup_tokens=WARMUP_TOKENS)
    return {name: str(folder / name) for name in made}


def measure(cell: Cell, decoding: str, split: str, n: int | None, runs: Path, trio: str) -> Path:
    """Answer what a cell lacks, through what `thinklogit eval` is made of. Returns the folder of its logs."""
    from thinklogit.evals.registry import task_named
    from thinklogit.evals.runs import Shard, evaluate
    from thinklogit.evals.systems import of_trio

    sampling: dict[str, Any] = {
        "max_new_tokens": MAX_NEW_TOKENS,
        "speculate": "off",
        **DECODING[decoding],
        **cell.sampling,
    }
    sampling["temperature"] *= sampling.pop("flatter", 1.0)
    opening = cell.opening
    if cell.after:
        begun = runs / decoding / cell.after / "guided"
        opening = str(_beginnings(begun, cell.first_tokens, runs / decoding / f"{cell.name}.jsonl"))
    run = runs / decoding / cell.name
    system = of_trio(trio, cell.mode, sampling, batch_size=BATCH, chat=None)
    task = task_named("mini", {"split": split, "n": n, "opening": opening})
    evaluate([task], system, run, n=1, shard=Shard(), on_sample=lambda tokens: None)
    return run / cell.mode


def _beginnings(logs: Path, tokens: int, file: Path) -> Path:
    """A file of the first tokens of every answer in the logs, for others to go on from."""
    from thinklogit.mini.tokenizer import build

    tokenizer = build()
    with file.open("w", encoding="utf-8") as lines:
        for sample in samples(logs):
            ids = tokenizer(sample.answer, add_special_tokens=False)["input_ids"][:tokens]
            lines.write(json.dumps({"id": sample.problem_id, "opening": tokenizer.decode(ids)}) + "\n")
    return file


def main() -> None:
    options = _options()
    runs = options.runs / options.members.name / options.split
    runs.mkdir(parents=True, exist_ok=True)
    trios = prepared_trios(options.members, runs / "trios")
    parts = ("claims",) if options.claims else PARTS[options.split]
    chosen = [cell for cell in cells() if cell.part in parts]
    n = options.n or PROBLEMS[options.split]
    folders: dict[tuple[str, str], Path] = {}
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for later in (False, True):  # what goes on from other cells' answers waits for these
            asked = {
                pool.submit(measure, cell, decoding, options.split, n, runs, trios[cell.trio]): (
                    decoding,
                    cell.name,
                )
                for decoding in DECODING
                for cell in chosen
                if bool(cell.after) == later
            }
            done = track(as_completed(asked), "measuring", len(asked), console=Console(stderr=True))
            folders |= {asked[future]: future.result() for future in done}
    answered = {decoding: {cell.name: folders[decoding, cell.name] for cell in chosen} for decoding in DECODING}
    report(answered, options.split, options.members, options.record)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "report"), default="dev")
    parser.add_argument("--n", type=int, default=None, help="problems [default: all of dev, 1,100 of report]")
    parser.add_argument("--members", type=Path, default=MINI, help="what `mini train` wrote [default: as shipped]")
    parser.add_argument("--claims", action="store_true", help=f"only what is compared with {PUBLISHED!r}")
    parser.add_argument("--runs", type=Path, default=Path("runs/mini-study"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="keep the figures under bench/results")
    options = parser.parse_args()
    missing = [name for name in STEPS if not (options.members / name).is_dir()]
    if missing:
        parser.error(
            f"expected in {options.members} what `thinklogit mini train` writes; found no {', '.join(missing)}"
        )
    return options


if __name__ == "__main__":
    main()
