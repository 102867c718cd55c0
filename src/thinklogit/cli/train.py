"""`thinklogit train`: a guider learns from preference pairs when to follow the target and when to correct it."""

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from thinklogit.cli.config_file import merged
from thinklogit.cli.options import quiet
from thinklogit.core.errors import OptionError, OutputError, TrioError

if TYPE_CHECKING:
    from thinklogit.models.members import Member
    from thinklogit.train.examples import TokenizedPair
    from thinklogit.train.settings import TrainSettings

SECTION = "train"
"""Of a config file."""


@Parameter(name="*", group="Training")
@dataclass(frozen=True)
class TrainingOptions:
    """How.

    Args:
        method: dpo, or sft: on the chosen answers alone [default: dpo].
        beta: DPO's: how dearly the guider pays for leaving its reference [default: 0.1].
        sft_weight: Weight of the chosen answer's own loss beside DPO's [default: 0].
        learning_rate: At its highest [default: 1e-5].
        lr_scheduler_type: As transformers names them [default: cosine].
        warmup_ratio: Share of the steps over which the rate rises [default: 0.1].
        num_train_epochs: How many times each pair is read [default: 1].
        max_steps: End after so many optimizer steps [default: all epochs].
        per_device_train_batch_size: Pairs a step on each device [default: 1].
        gradient_accumulation_steps: Steps whose gradients are added up [default: 16].
        max_length: Tokens of prompt and answer at most; longer pairs are refused, none is cut [default: 8192].
        lora_r: Rank of the adapter [default: 64].
        lora_alpha: Its scale [default: twice the rank].
        lora_dropout: Share of the adapter's inputs left out [default: 0].
        target_modules: Layers that are adapted: all-linear, or names with commas between [default: all-linear].
        dtype: Of the guider's weights [default: bfloat16 on a GPU, else float32].
        gradient_checkpointing: Compute activations twice instead of keeping them.
        save_steps: Optimizer steps between checkpoints [default: 50].
        logging_steps: Optimizer steps between lines of metrics [default: 1].
        seed: Of the adapter's first weights and the order of pairs [default: 0].
    """

    method: Literal["dpo", "sft"] | None = None
    beta: float | None = None
    sft_weight: float | None = None
    learning_rate: float | None = None
    lr_scheduler_type: str | None = None
    warmup_ratio: float | None = None
    num_train_epochs: float | None = None
    max_steps: int | None = None
    per_device_train_batch_size: int | None = None
    gradient_accumulation_steps: int | None = None
    max_length: int | None = None
    lora_r: int | None = None
    lora_alpha: int | None = None
    lora_dropout: float | None = None
    target_modules: str | None = None
    dtype: Literal["bfloat16", "float32"] | None = None
    gradient_checkpointing: bool | None = None
    save_steps: int | None = None
    logging_steps: int | None = None
    seed: int | None = None


AS_GIVEN = TrainingOptions()


def train(
    *,
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    trio: str | None = None,
    pairs: Path | None = None,
    config: Path | None = None,
    dry_run: bool = False,
    json: bool = False,
    training: TrainingOptions = AS_GIVEN,
) -> None:
    """Train an adapter for the guider on preference pairs, with TRL's DPO and PEFT's LoRA.

    The same command continues a training that was cut short. On several GPUs: accelerate launch, or torchrun, with
    -m thinklogit train ...; FSDP and DeepSpeed as accelerate's own config says.

    Args:
        output: The folder of the adapter, its metrics and checkpoints.
        trio: The trio whose guider is trained: a folder, a hub id, or "mini" [default: mini].
        pairs: What thinklogit pairs made.
        config: YAML with these options by name under train; options given win.
        dry_run: Say what would be trained, and how large it is; load no weight.
        json: Print the outcome as one JSON object.
        training: How.
    """
    from thinklogit.train.dataset import is_writable

    given = merged(config, SECTION, training, trio=trio, pairs=None if pairs is None else str(pairs))
    settings = _settings(given)
    if not is_writable(output):
        raise OutputError(f"{output}: not a folder that you can write to; use another -o")
    name = given["trio"] or "mini"
    guider = _guider(name)
    if given["pairs"] is None and not dry_run:
        raise OptionError("no pairs given; make some with `thinklogit pairs -o DIR`, then add --pairs DIR")
    told = _size(guider, settings)
    tokenized = None if given["pairs"] is None else _tokenized(Path(given["pairs"]), guider, settings)
    if dry_run:
        print("\n".join([told, *([] if tokenized is None else [_steps(tokenized, settings)])]))
        return
    assert tokenized is not None
    from thinklogit.train import running

    if running.is_done(output):
        about = {"guider": guider.place, "pairs": running.fingerprint(tokenized), **settings.as_dict()}
        running.check_unchanged(output, about)
        if running.is_first():
            print(
                f"thinklogit: {output} is trained already; remove it, or use another -o, to train anew", file=sys.stderr
            )
        return
    if running.is_first():
        print(f"thinklogit: {told}; {_steps(tokenized, settings)}", file=sys.stderr)
    try:
        with _bar() as on_step:
            trained = running.train(
                running.Guider(guider.place, guider.where), guider.tokenizer, tokenized, settings, output, on_step
            )
    except KeyboardInterrupt:
        checkpoint = running.last_checkpoint(output)
        kept = f"{checkpoint} is kept" if checkpoint else f"no checkpoint yet, as --save-steps is {settings.save_steps}"
        raise KeyboardInterrupt(f"interrupted: {kept}; repeat the command to continue") from None
    if trained is not None:
        _tell(trained, guider, output, json)


def _settings(given: Mapping[str, Any]) -> "TrainSettings":
    from thinklogit.train.settings import TrainSettings

    names = {field.name for field in fields(TrainSettings)}
    return TrainSettings(**{name: value for name, value in given.items() if name in names and value is not None})


def _guider(trio: str) -> "Member":
    """The trio's guider, without its weights. Raises TrioError and OptionError."""
    from thinklogit.models.loading import read_config
    from thinklogit.models.members import read_members
    from thinklogit.models.places import find_trio

    with quiet(f"reading {trio}"):
        root = find_trio(trio)
        members = read_members(read_config(root).member_refs, root)
    guiders = [member for member in members.values() if member.role.startswith("guider")]
    if len(guiders) > 1:
        raise OptionError(f"{trio} has {len(guiders)} guiders; compose a trio of the one that is to be trained")
    [guider] = guiders
    if guider.ref.adapter is not None:
        raise TrioError(f"the guider of {trio} wears an adapter already; merge it first, with `thinklogit merge`")
    if not guider.end_ids or guider.tokenizer is None:
        raise TrioError(f"the guider at {guider.place} names no end token, or has no tokenizer; mend its files")
    return guider


def _size(guider: "Member", settings: "TrainSettings") -> str:
    from thinklogit.train.lora import count_parameters

    with quiet("counting the adapter's parameters"):
        count = count_parameters(guider.config, settings)
    layers = settings.target_modules.replace("all-linear", "all linear layers")
    return f"LoRA of rank {settings.lora_r} on {layers}: {count:,} parameters"


def _tokenized(pairs: Path, guider: "Member", settings: "TrainSettings") -> list["TokenizedPair"]:
    from thinklogit.train.dataset import read
    from thinklogit.train.examples import tokenized

    return tokenized(read(pairs), guider.tokenizer, guider.end_ids[0], settings.max_length)


def _steps(pairs: Sequence["TokenizedPair"], settings: "TrainSettings") -> str:
    from thinklogit.train.running import steps_of

    longest = max(len(pair.prompt_ids) + max(len(pair.chosen_ids), len(pair.rejected_ids)) for pair in pairs)
    return f"{len(pairs)} pairs, the longest of {longest} tokens: {steps_of(pairs, settings)} steps on one device"


def _tell(trained: Any, guider: "Member", output: Path, json: bool) -> None:
    import json as json_format

    if json:
        told = {"adapter": str(output), "parameters": trained.parameters, "steps": trained.steps}
        print(json_format.dumps(told | {"metrics": dict(trained.metrics)}))
        return
    margin = trained.metrics.get("rewards/margins")
    of_margin = "" if margin is None else f", margin of rewards {margin:.2f} at the end"
    print(f"trained {output} in {trained.steps} steps{of_margin}; now guide with it, beside the same base:")
    print(f"thinklogit compose ... --guider {quote(guider.place)} --guider-adapter {quote(str(output))} -o TRIO")


@contextmanager
def _bar() -> Generator[Callable[[int, int, Mapping[str, float]], None]]:
    """A bar on a terminal; elsewhere a line at each tenth."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps {task.fields[told]} left:"), TimeRemainingColumn())
    shown = 0
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None, told="")

        def on_step(step: int, total: int, metrics: Mapping[str, float]) -> None:
            nonlocal shown
            told = _short(metrics)
            first = ", ".join(told.split(", ")[: 1 if console.width < 80 else 2 if console.width < 100 else None])
            progress.update(task, completed=step, total=total, told=first)
            if not console.is_terminal and 10 * step // total > shown:
                shown = 10 * step // total
                print(f"thinklogit: step {step} of {total}; {told}", file=sys.stderr, flush=True)

        yield on_step


def _short(metrics: Mapping[str, float]) -> str:
    names = {"loss": "loss", "rewards/margins": "margin", "logps/chosen": "chosen", "logps/rejected": "rejected"}
    return ", ".join(f"{short} {metrics[name]:.3g}" for name, short in names.items() if name in metrics)
