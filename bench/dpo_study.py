"""What ThinkLogit-DPO is worth on the mini trio: pairs, trainings and fused evaluation, from nothing.

    python bench/dpo_study.py --part short             the recipe beside its baselines: `make dpo-mini`
    python bench/dpo_study.py                          every variant, on dev: `make dpo-study`
    python bench/dpo_study.py --part seeds --split report --record     once a release: what is claimed

Everything goes through `thinklogit pairs`, `train`, `compose` and what `eval` is made of; avg@8 and pass@8 at
temperature 0.6. Can be killed at any moment and started again.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

RECIPE = Path(__file__).parents[1] / "recipes" / "mini.yaml"
RESULTS = Path(__file__).parent / "results"
N = 8
DRAWN = {"temperature": 0.6, "top_p": 0.95, "max_new_tokens": 240, "alpha": 1.0, "speculate": "off"}
BATCH = 256
PROBLEMS = {"dev": {"search": 150, "recall": None}, "report": {"search": 300, "recall": None}}
BASELINE, RECIPE_NAME = "ThinkLogit", "ThinkLogit-DPO"
ON_POLICY = "target_over_guided"


@dataclass(frozen=True)
class Variant:
    """One way to make pairs and train on them: options of `pairs` and `train` over the recipe's."""

    name: str
    pairs: Mapping[str, str] = field(default_factory=dict)
    train: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = ("all",)


def variants() -> Iterator[Variant]:
    """Every training, in the order of the table."""
    yield Variant(RECIPE_NAME, parts=("short", "seeds", "ablations", "all"))
    for seed in ("1", "2"):
        yield Variant(f"{RECIPE_NAME}, seed {seed}", train={"seed": seed}, parts=("seeds", "ablations", "all"))
    ablations = {
        "kind i only": {"kinds": "target_over_guider", "mix": "1", "cut-tokens": "2"},
        "kind ii only": {"kinds": "guider_over_target", "mix": "1", "cut-tokens": "0"},
        "guider over guider": {"kinds": "guider_over_guider", "mix": "1", "cut-tokens": "0", "min-gap": "-1"},
        "full sequences": {"cut-tokens": "0"},
        "both kinds cut": {"cut-tokens": "2"},
        "luck not left out": {"min-gap": "-1"},
    }
    for name, pairs in ablations.items():
        as_many_steps = {"num-train-epochs": "75"} if name == "kind i only" else {}  # of 32 pairs
        yield Variant(name, pairs, as_many_steps, ("ablations", "all"))
    yield Variant("SFT on the chosen", train={"method": "sft"}, parts=("ablations", "all"))
    yield Variant("no loss of the chosen", train={"sft-weight": "0"}, parts=("ablations", "all"))
    yield Variant("full sequences, DPO alone", {"cut-tokens": "0"}, {"sft-weight": "0"}, ("ablations", "all"))
    kinds = {"kinds": f"{ON_POLICY},guider_over_target"}
    yield Variant("guidance's own mistakes", kinds)
    for beta in ("0.03", "0.3", "1"):
        yield Variant(f"beta {beta}", train={"beta": beta})
    for count in ("75", "150", "300", "1200"):
        epochs = str(round(4 * 600 / int(count)))  # as many steps for each
        yield Variant(f"{count} pairs", {"pairs": count}, {"num-train-epochs": epochs})


@dataclass(frozen=True)
class Cell:
    """One way of answering."""

    name: str
    trio: str
    mode: str = "guided"
    warmup: int = 0


def cells(chosen: Sequence[Variant], trios: Mapping[str, str], part: str) -> Iterator[Cell]:
    """Everything that is measured, in the order of the table."""
    yield Cell("target", "mini", "target")
    yield Cell("guider", "mini", "guider")
    for warmup in (0, 12):
        yield Cell(f"{BASELINE}, warm-up {warmup}", "mini", warmup=warmup)
    if part == "all":
        yield Cell("RFT guider", trios["rewarded"], "guider")
        for warmup in (0, 12):
            yield Cell(f"{BASELINE}, RFT guider, warm-up {warmup}", trios["rewarded"], warmup=warmup)
    for variant in chosen:
        yield Cell(f"{variant.name}, warm-up 0", trios[variant.name])
        if variant.name == RECIPE_NAME or (RECIPE_NAME in variant.name and part == "all"):
            yield Cell(f"{variant.name}, warm-up 12", trios[variant.name], warmup=12)
    yield Cell(f"{RECIPE_NAME}: its guider alone", trios[RECIPE_NAME], "guider")


def run(*arguments: str) -> None:
    """One command of ours, as typed."""
    done = subprocess.run([sys.executable, "-m", "thinklogit", *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr.strip())


def flags(options: Mapping[str, str]) -> list[str]:
    """Options as typed."""
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def sample(folder: Path, kinds: str) -> None:
    """Every answer that the variants need, by two processes."""
    shares = ",".join("1" for _ in kinds.split(","))
    choice = flags({"kinds": kinds, "mix": shares, "cut-tokens": "0"})
    command = ["pairs", "--config", str(RECIPE), *choice, "-o", str(folder)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda shard: run(*command, "--shard", shard), ("1/2", "2/2")))


def prepared(variant: Variant, samples: Path, folder: Path) -> str:
    """The trio of a variant: its pairs, made of the answers there are; its adapter; both put beside the base."""
    name = variant.name.replace(" ", "-").replace(",", "")
    pairs, adapter, trio = (folder / name / part for part in ("pairs", "adapter", "trio"))
    pairs.mkdir(parents=True, exist_ok=True)
    if not (pairs / "samples").exists():
        (pairs / "samples").symlink_to(samples.resolve() / "samples")
    run("pairs", "--config", str(RECIPE), "-o", str(pairs), *flags(variant.pairs))
    run("train", "--config", str(RECIPE), "--pairs", str(pairs), "-o", str(adapter), *flags(variant.train))
    compose(trio, "--guider", "mini/guider", "--guider-adapter", str(adapter))
    return str(trio)


def compose(trio: Path, *guider: str) -> None:
    """A trio with another guider."""
    members = ["--target", "mini/target", *guider, "--base", "mini/base"]
    types = flags({f"{role}-dtype": "float32" for role in ("target", "guider", "base")})
    run("compose", *members, *types, "--warmup-tokens", "12", "-o", str(trio))


def measure(cell: Cell, split: str, runs: Path) -> Path:
    """Answer what a cell lacks, through what `thinklogit eval` is made of. Returns the folder of its logs."""
    from thinklogit.evals.registry import task_named
    from thinklogit.evals.runs import Shard, evaluate
    from thinklogit.evals.systems import of_trio

    sampling = DRAWN | {"warmup_tokens": cell.warmup}
    place = runs / cell.name
    system = of_trio(cell.trio, cell.mode, sampling, batch_size=BATCH, chat=None)
    for kind, n in PROBLEMS[split].items():
        task = task_named("mini", {"split": split, "kind": kind, "n": n})
        evaluate([task], system, place / kind, n=N, shard=Shard(), on_sample=lambda tokens: None)
    return place


def measurements(name: str, place: Path, mode: str) -> list[Any]:
    """What a cell came to, one for each kind of problem."""
    from dataclasses import replace

    from thinklogit.evals.logs import read_measurements

    return [
        replace(each, task=kind, system=name)
        for kind in PROBLEMS["dev"]
        for each in read_measurements([place / kind / mode])
    ]


def report(measured: Mapping[str, list[Any]], split: str, record: bool) -> None:
    """Print a row a cell with its difference from plain guidance; with `record`, keep the figures as JSON."""
    from thinklogit.evals.metrics import measure as metrics_of
    from thinklogit.report.comparison import compare

    rows = []
    for name, of_kinds in measured.items():
        for each in of_kinds:
            found = metrics_of(each, ks=[1, N])
            told = {"system": name, "kind": each.task, "problems": found.problems, "n": found.n}
            for metric, mean in (("avg", found.accuracy), ("pass", found.pass_at[N]), ("tokens", found.new_tokens)):
                assert mean is not None
                told[metric] = [mean.value, *(mean.interval or ())]
            warmup = name.rsplit(" ", 1)[-1]
            plain = f"{BASELINE}, warm-up {warmup}"
            if plain in measured and name != plain and "warm-up" in name:
                other = next(other for other in measured[plain] if other.task == each.task)
                effect = compare(each, other, resamples=3000).accuracy
                told |= {"minus": plain, "points": 100 * effect.difference, "p": effect.p}
                told["interval"] = [100 * bound for bound in effect.interval]
            rows.append(told)
    print_rows(rows)
    if record:
        file = RESULTS / f"dpo_study-{split}.json"
        file.write_text(json.dumps({"split": split, "date": str(date.today()), "rows": rows}, indent=1) + "\n")
        print(f"kept in {file}")


def print_rows(rows: Sequence[Mapping[str, Any]]) -> None:
    """As a table of Markdown."""
    print("| who answers | kind | avg@8 | pass@8 | tokens | minus plain guidance |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        avg, passed = ("{:.1f} [{:.1f}, {:.1f}]".format(*(100 * part for part in row[m])) for m in ("avg", "pass"))
        minus = "{:+.1f} [{:+.1f}, {:+.1f}]".format(row["points"], *row["interval"]) if "points" in row else ""
        print(f"| {row['system']} | {row['kind']} | {avg} | {passed} | {row['tokens'][0]:.0f} | {minus} |")
    counts = {row["kind"]: row["problems"] for row in rows}
    print(f"\n{', '.join(f'{n} problems of {kind}' for kind, n in counts.items())}, {N} answers each.")


def main() -> None:
    options = _options()
    folder = options.runs
    chosen = [variant for variant in variants() if options.part in variant.parts]
    kinds = ["target_over_guider"] + ([ON_POLICY] if options.part == "all" else [])
    with Console(stderr=True).status("answers of target and guider ..."):
        sample(folder / "samples", ",".join(kinds))
    with ThreadPoolExecutor(options.processes) as pool:
        made = pool.map(lambda variant: prepared(variant, folder / "samples", folder / "trained"), chosen)
        progress = track(made, "training", len(chosen), console=Console(stderr=True))
        trios = dict(zip([variant.name for variant in chosen], progress, strict=True))
    compose(folder / "rewarded", "--guider", "mini/guider_rewarded")
    trios["rewarded"] = str(folder / "rewarded")
    asked = list(cells(chosen, trios, options.part))
    # A process a cell: engines of trios that are done would stay in memory.
    with ProcessPoolExecutor(options.processes, get_context("spawn"), max_tasks_per_child=1) as pool:
        futures = [pool.submit(measure, cell, options.split, folder / options.split) for cell in asked]
        done = [each.result() for each in track(futures, "measuring", console=Console(stderr=True))]
    found = zip(asked, done, strict=True)
    report(
        {cell.name: measurements(cell.name, place, cell.mode) for cell, place in found}, options.split, options.record
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=tuple(PROBLEMS), default="dev")
    parser.add_argument("--part", choices=("short", "seeds", "ablations", "all"), default="all")
    parser.add_argument("--runs", type=Path, default=Path("runs/dpo-study"))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--record", action="store_true", help="keep the figures under bench/results")
    return parser.parse_args()


if __name__ == "__main__":
    main()
