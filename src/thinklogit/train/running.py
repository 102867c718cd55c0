"""One training: begun, or gone on with after a kill, to an adapter in a folder.

adapter_config.json, adapter_model.safetensors      once it is done, for PEFT
training.json                                       every setting, and which pairs it read
metrics.jsonl, tensorboard/                         chosen and rejected apart
checkpoints/checkpoint-N/                           to go on from; the last two
rows/                                               while it trains: what is read, and the reference's log-probabilities
"""

import json
import os
import shutil
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import sha256
from math import ceil, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from thinklogit.core.errors import OutputError, RecordError, RunChangedError, TrioError, room_or_place
from thinklogit.train.examples import TokenizedPair, answered
from thinklogit.train.settings import TrainSettings

if TYPE_CHECKING:
    from thinklogit.train.trainers import OnStep

ADAPTER = "adapter_model.safetensors"
KEPT = ("README.md", "adapter_config.json", ADAPTER)
TRAINING = "training.json"
LAST_WRITTEN = "trainer_state.json"
"""A checkpoint that a kill left half written lacks it: transformers writes it after all else."""
FULL_BELOW_BYTES = 1 << 20


class Guider(NamedTuple):
    """What is trained: where its checkpoint is, with revision and subfolder if it has any."""

    place: str
    where: Mapping[str, Any]


class Trained(NamedTuple):
    """What a training came to: the parameters it trained, its steps, and the last line of metrics."""

    parameters: int
    steps: int
    metrics: Mapping[str, float]


def train(
    guider: Guider,
    tokenizer: Any,
    pairs: Sequence[TokenizedPair],
    settings: TrainSettings,
    folder: Path,
    on_step: "OnStep",
) -> Trained | None:
    """Train an adapter of a guider on pairs, or finish one that was cut short; None on all devices but the first.

    Raises:
        RunChangedError: the folder holds a training with other settings or of other pairs.
        OutputError: a full disk; the last checkpoint is kept.
        TrioError: the guider cannot be loaded.
    """
    about = {"guider": guider.place, "pairs": fingerprint(pairs), **settings.as_dict()}
    check_unchanged(folder, about)
    _silence()
    from thinklogit.train.trainers import trainer_of

    checkpoint = last_checkpoint(folder)
    with _full_disk_told(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if is_first():
            _write_json(folder / TRAINING, about)
        if checkpoint is None or not _is_last(checkpoint):
            trainer = trainer_of(_loaded(guider, settings), tokenizer, pairs, settings, folder, on_step)
            trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        return _kept(folder) if is_first() else None


def is_first() -> bool:
    """Whether this is the process that writes and tells: of several that a launcher started, one for each device."""
    return os.environ.get("RANK", "0") == "0"


def fingerprint(pairs: Sequence[TokenizedPair]) -> str:
    """What tells one set of pairs from another."""
    return sha256(repr([tuple(pair) for pair in pairs]).encode()).hexdigest()[:16]


def is_done(folder: Path) -> bool:
    """Whether the adapter is there."""
    return (folder / ADAPTER).is_file()


def check_unchanged(folder: Path, about: Mapping[str, Any]) -> None:
    """Refuse to go on with another training. Raises RecordError, and RunChangedError, which tells the differences.

    One that ended before its first checkpoint, such as of a setting that cannot work, left nothing to go on with.
    """
    if not (folder / TRAINING).is_file() or not (is_done(folder) or last_checkpoint(folder)):
        return
    try:
        was = dict(json.loads((folder / TRAINING).read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise RecordError(f"{folder / TRAINING}: cannot be read; use another -o, or restore that file") from None
    changes = [f"{name} {was.get(name)}, now {about.get(name)}" for name in about if was.get(name) != about.get(name)]
    if changes:
        remedy = "use another -o, or the same settings and pairs"
        raise RunChangedError(f"{folder} was trained with {'; '.join(changes)}; {remedy}")


def last_checkpoint(folder: Path) -> Path | None:
    """The last checkpoint that is whole; half-written ones are removed."""
    found = (folder / "checkpoints").glob("checkpoint-*")
    for checkpoint in sorted(found, key=lambda each: int(each.name.rsplit("-", 1)[1]), reverse=True):
        try:
            json.loads((checkpoint / LAST_WRITTEN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint, ignore_errors=True)
        else:
            return checkpoint
    return None


def steps_of(pairs: Sequence[TokenizedPair], settings: TrainSettings, devices: int = 1) -> int:
    """The optimizer steps of a training."""
    if settings.max_steps > 0:
        return settings.max_steps
    rows = len(answered(pairs)) if settings.method == "sft" else len(pairs)
    batches = ceil(rows / (settings.per_device_train_batch_size * devices))
    return ceil(ceil(batches / settings.gradient_accumulation_steps) * settings.num_train_epochs)


def _loaded(guider: Guider, settings: TrainSettings) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    dtype = settings.dtype or ("bfloat16" if torch.cuda.is_available() else "float32")
    try:
        return AutoModelForCausalLM.from_pretrained(guider.place, dtype=dtype, **guider.where)
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise TrioError(f"the guider at {guider.place!r} could not be loaded: {reason}") from None


def _silence() -> None:
    """Bars and notices of libraries, for whoever called shows how far it is."""
    import warnings

    import datasets
    from transformers.utils import logging

    os.environ["TQDM_DISABLE"] = "1"  # as TRL asks it
    datasets.disable_progress_bars()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")


@contextmanager
def _full_disk_told(folder: Path) -> Generator[None]:
    """Errors of torch and safetensors too: they raise their own where a disk is full; TensorBoard in its own thread."""
    before = threading.excepthook
    threading.excepthook = lambda told: None if isinstance(told.exc_value, OSError) else before(told)
    try:
        yield
    except TrioError:
        raise
    except Exception as error:
        there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
        if not isinstance(error, OSError) and shutil.disk_usage(there).free > FULL_BELOW_BYTES:
            raise
        reason = getattr(error, "strerror", None) or "no space left on the disk"
        told = f"the last checkpoint is kept; {room_or_place(error, 'repeat the command to continue')}"
        raise OutputError(f"{folder}: {reason}; {told}") from None
    finally:
        threading.excepthook = before


def _is_last(checkpoint: Path) -> bool:
    """Whether all steps were done at it. Gone on with, transformers would do one more before it looks."""
    state = json.loads((checkpoint / LAST_WRITTEN).read_text(encoding="utf-8"))
    return state["global_step"] >= state["max_steps"]


def _kept(folder: Path) -> Trained:
    """The last checkpoint's adapter, in the folder; its weights come last, for they say that it is done."""
    from safetensors import safe_open

    checkpoint = last_checkpoint(folder)
    assert checkpoint is not None
    for name in KEPT:
        partial = folder / f".{name}.partial"
        shutil.copyfile(checkpoint / name, partial)
        partial.replace(folder / name)
    with safe_open(folder / ADAPTER, "pt") as weights:
        parameters = sum(prod(weights.get_slice(name).get_shape()) for name in weights.keys())  # noqa: SIM118
    shutil.rmtree(folder / "rows", ignore_errors=True)
    state = json.loads((checkpoint / LAST_WRITTEN).read_text(encoding="utf-8"))
    told = [line for line in state["log_history"] if "loss" in line]
    return Trained(parameters, state["global_step"], told[-1] if told else {})


def _write_json(file: Path, values: Mapping[str, Any]) -> None:
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    partial.replace(file)
