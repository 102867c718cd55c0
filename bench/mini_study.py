"""Everything that is claimed of the mini trio, measured through `thinklogit eval`, compared and put into tables.

    python bench/mini_study.py --split dev              to choose settings
    python bench/mini_study.py --split report --record  once a release: the card's figures

Members alone, guidance over alpha and warm-up, and what a sceptic asks for: a forced opening, guidance on the first
tokens only, no base, plain averaging, the target trained itself. Can be killed at any moment and started again.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from thinklogit.evals.outcomes import Measurement
from thinklogit.models.places import MINI

ALPHAS = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
WARMUPS = (0, 2, 4, 8, 16, 32)
DECODING = {"greedy": {"temperature": 0.0}, "T=0.6": {"temperature": 0.6, "top_p": 0.95}}
OPENINGS = ("Let me think. ", "Let me think. 1")
FIRST_TOKENS = (20, 40)
MAX_NEW_TOKENS = 240
BATCH = 128
PUBLISHED = "guided, alpha 1, warm-up 16"
"""Alpha 1 as published; the warm-up scaled to this world, chosen on dev."""
RESULTS = Path(__file__).parent / "results"


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


def cells() -> Iterator[Cell]:
    """Everything that is measured, in the order of the tables."""
    yield Cell("target", mode="target")
    yield Cell("guider", mode="guider")
    yield Cell("rewarded guider", "rewarded", "guider")
    yield Cell("base", mode="base")
    yield Cell("other target", "other", "target")
    for alpha in ALPHAS:
        for warmup in WARMUPS:
            yield Cell(f"guided, alpha {alpha:g}, warm-up {warmup}", sampling={"alpha": alpha, "warmup_tokens": warmup})
    yield Cell("rewarded guider guides, alpha 1, warm-up 16", "rewarded", sampling={"alpha": 1.0, "warmup_tokens": 16})
    for opening in OPENINGS:
        yield Cell(f"target, opening {opening!r}", mode="target", opening=opening)
    for tokens in FIRST_TOKENS:
        name = f"guided on the first {tokens} tokens only"
        yield Cell(name, mode="target", after="guided, alpha 1, warm-up 0", first_tokens=tokens)
    for alpha in ALPHAS:
        for warmup in (0, 16):
            sampling = {"alpha": alpha, "warmup_tokens": warmup}
            yield Cell(f"no base, alpha {alpha:g}, warm-up {warmup}", "baseless", sampling=sampling)
    yield Cell("target and guider averaged", "baseless", sampling={"alpha": 1.0, "warmup_tokens": 0, "flatter": 2.0})
    yield Cell("target trained itself", "tuned", "target")


def prepared_trios(folder: Path) -> dict[str, str]:
    """Trio folders of the package's members put together otherwise; "baseless" has a base without an opinion."""
    from transformers import AutoConfig, AutoModelForCausalLM

    from thinklogit.mini.tokenizer import build
    from thinklogit.models.config import MemberRef
    from thinklogit.models.trios import compose

    def member(name: str) -> MemberRef:
        return MemberRef(f"mini/{name}", dtype="float32")

    uniform = folder / "uniform"
    if not uniform.is_dir():
        config = AutoConfig.from_pretrained(MINI / "base")
        config.num_hidden_layers, config.hidden_size, config.intermediate_size = 1, 8, 8
        config.num_attention_heads = config.num_key_value_heads = 1
        config.head_dim = 8
        silent = AutoModelForCausalLM.from_config(config)
        silent.get_input_embeddings().weight.data.zero_()  # tied: every logit is 0
        silent.save_pretrained(uniform)
        build().save_pretrained(uniform)
    other = member("target_other")
    made = {
        "rewarded": (member("target"), member("guider_rewarded"), member("base")),
        "baseless": (member("target"), member("guider"), MemberRef(str(uniform))),
        "tuned": (member("target_tuned"), member("guider"), member("base")),
        "other": (other, other, other),
    }
    for name, members in made.items():
        compose(*members, folder / name, warmup_tokens=16)
    return {"mini": "mini", **{name: str(folder / name) for name in made}}


def measure(cell: Cell, decoding: str, split: str, n: int | None, runs: Path, trio: str) -> Path:
    """Answer what a cell lacks, through what `thinklogit eval` is made of. Returns the folder of its logs."""
    from thinklogit.evals.registry import task_named
    from thinklogit.evals.runs import Shard, evaluate
    from thinklogit.evals.systems import of_trio

    sampling: dict[str, Any] = {"max_new_tokens": MAX_NEW_TOKENS, **DECODING[decoding], **cell.sampling}
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
    from thinklogit.evals.logs import current, read_log
    from thinklogit.mini.tokenizer import build

    tokenizer = build()
    with file.open("w", encoding="utf-8") as lines:
        for log in current(logs):
            for sample in read_log(Path(log.location), header_only=False).samples or []:
                ids = tokenizer(sample.output.completion, add_special_tokens=False)["input_ids"][:tokens]
                lines.write(json.dumps({"id": sample.id, "opening": tokenizer.decode(ids)}) + "\n")
    return file


def main() -> None:
    options = _options()
    runs = options.runs / options.split
    runs.mkdir(parents=True, exist_ok=True)
    trios = prepared_trios(runs / "trios")
    work = [(cell, decoding) for cell in cells() for decoding in DECODING]
    folders = {}
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        for later in (False, True):  # what goes on from other cells' answers waits for these
            asked = {
                pool.submit(measure, cell, decoding, options.split, options.n, runs, trios[cell.trio]): (
                    cell.name,
                    decoding,
                )
                for cell, decoding in work
                if bool(cell.after) == later
            }
            done = track(as_completed(asked), "measuring", len(asked), console=Console(stderr=True))
            folders |= {asked[future]: future.result() for future in done}
    report(folders, options)


def report(folders: dict[tuple[str, str], Path], options: argparse.Namespace) -> None:
    """Tables by decoding, then what is claimed as paired comparisons; with --record, as JSON too."""
    from thinklogit.evals.logs import read_measurements
    from thinklogit.report.comparison import compare
    from thinklogit.report.formats import json_text, markdown
    from thinklogit.report.sentences import verdicts
    from thinklogit.report.table import tabulate

    recorded: dict[str, Any] = {"split": options.split, "date": str(date.today())}
    for decoding in DECODING:
        by_name = {
            cell.name: by_kind(replace(read_measurements([folders[cell.name, decoding]])[0], system=cell.name))
            for cell in cells()
        }
        table = tabulate([each for kinds in by_name.values() for each in kinds], published=False)
        print(f"## {decoding}\n\n{markdown(table)}\n")
        recorded[decoding] = {"table": json.loads(json_text(table)), "comparisons": []}
        for other in [name for name in by_name if name != PUBLISHED]:
            for ours, theirs in zip(by_name[PUBLISHED], by_name[other], strict=True):
                compared = compare(ours, theirs)
                recorded[decoding]["comparisons"].append(
                    {
                        "kind": ours.task,
                        "against": other,
                        "points": 100 * compared.accuracy.difference,
                        "interval": [100 * bound for bound in compared.accuracy.interval or ()],
                        "p": compared.accuracy.p,
                    }
                )
                if not other.startswith(("guided, alpha", "no base, alpha")) or other == "guided, alpha 1, warm-up 0":
                    print(f"- {ours.task}: {verdicts(compared)[0]}")
        print()
    if options.record:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"mini_study-{options.split}-{date.today()}.json").write_text(json.dumps(recorded, indent=1) + "\n")


def by_kind(measurement: Measurement) -> Sequence[Measurement]:
    """The problems to search and those to recall, as two tasks."""
    recalled = {outcome for outcome in measurement.outcomes if outcome.problem_id.startswith("item ")}
    return [
        replace(measurement, task="search", outcomes=tuple(o for o in measurement.outcomes if o not in recalled)),
        replace(measurement, task="recall", outcomes=tuple(o for o in measurement.outcomes if o in recalled)),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "report"), default="dev")
    parser.add_argument("--n", type=int, default=None, help="problems [default: all]")
    parser.add_argument("--runs", type=Path, default=Path("runs/mini-study"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="keep the figures under bench/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
