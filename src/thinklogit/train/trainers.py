"""TRL's trainers on pairs that are tokenized already, and what they tell while they train."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import PreTrainedModel, PrinterCallback, TrainerCallback
from transformers.integrations import TensorBoardCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from thinklogit.train.examples import TokenizedPair, answered
from thinklogit.train.lora import lora_config
from thinklogit.train.settings import TrainSettings

METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"
BOARD = "tensorboard"
ROWS = "rows"
SAME_NAME = (
    "learning_rate",
    "lr_scheduler_type",
    "num_train_epochs",
    "max_steps",
    "per_device_train_batch_size",
    "gradient_accumulation_steps",
    "save_steps",
    "logging_steps",
    "seed",
)
OnStep = Callable[[int, int, Mapping[str, float]], None]
"""Called with the step, how many there are, and the last metrics."""


class PairTrainer(DPOTrainer):
    """TRL's, on ids as they are: its own preparation appends an end token to every response, also to one cut short."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def trainer_of(
    model: PreTrainedModel,
    tokenizer: Any,
    pairs: Sequence[TokenizedPair],
    settings: TrainSettings,
    folder: Path,
    on_step: OnStep,
) -> Any:
    """TRL's trainer with these settings; for DPO it has worked out the reference's log-probabilities.

    Losses: DPO, arXiv 2305.18290, equation 7; the chosen answer's own beside it, arXiv 2404.19733, equation 2.
    """
    shared = _arguments(settings, folder)
    if settings.method == "sft":
        make: Any = SFTTrainer
        args: Any = SFTConfig(**shared, completion_only_loss=True)
        rows = answered(pairs)
    else:
        losses = {"loss_type": ["sigmoid"]}
        if settings.sft_weight:
            losses = {"loss_type": ["sigmoid", "sft"], "loss_weights": [1.0, settings.sft_weight]}
        make = PairTrainer
        args = DPOConfig(**shared, beta=settings.beta, precompute_ref_log_probs=True, **losses)
        rows = [pair._asdict() for pair in pairs]
    trainer = make(
        model,
        args=args,
        train_dataset=_in_file(rows, folder / ROWS),
        processing_class=tokenizer,
        peft_config=lora_config(settings),
        callbacks=[Telling(folder, on_step), _board(folder)],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _in_file(rows: list[dict[str, Any]], folder: Path) -> Dataset:
    """Rows in a file of this process, in a folder of all.

    Beside it the first process leaves the reference's log-probabilities for the others. For rows in memory it would
    leave them in a folder of its own that no other process finds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{os.environ.get('RANK', '0')}.arrow"
    return Dataset.from_list(rows).map(
        lambda row: row, cache_file_name=str(file), load_from_cache_file=False, keep_in_memory=False
    )


def _arguments(settings: TrainSettings, folder: Path) -> dict[str, Any]:
    """What both trainers take. max_length is None: longer pairs were refused, so that there is nothing to cut."""
    return {name: getattr(settings, name) for name in SAME_NAME} | {
        "output_dir": str(folder / CHECKPOINTS),
        "warmup_steps": settings.warmup_ratio,
        "activation_checkpointing": settings.gradient_checkpointing,
        "max_length": None,
        "bf16": False,  # weights are in the dtype they are trained in, and the adapter in float32
        "save_total_limit": 2,
        "report_to": "none",  # ours, below: in the training's own folder
        "disable_tqdm": True,
        "use_cpu": not torch.cuda.is_available(),
        "dataloader_pin_memory": torch.cuda.is_available(),
    }


def _board(folder: Path) -> TensorBoardCallback:
    board = TensorBoardCallback()
    board.logging_dir = str(folder / BOARD)
    return board


class Telling(TrainerCallback):
    """Writes metrics to a file, a line each time they are logged, and calls at every step.

    After a kill the steps since the last checkpoint are trained again: their lines are dropped before.
    """

    def __init__(self, folder: Path, on_step: OnStep) -> None:
        self.file, self.on_step, self.last = folder / METRICS, on_step, {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Forget what will be done again."""
        if state.is_world_process_zero and self.file.is_file():
            lines = self.file.read_text(encoding="utf-8").splitlines(keepends=True)
            kept = [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= state.global_step]
            self.file.write_text("".join(kept), encoding="utf-8")

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """Keep the metrics of a step."""
        if state.is_world_process_zero and logs and "loss" in logs:
            self.last = {"step": state.global_step, **{name: float(value) for name, value in logs.items()}}
            with self.file.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps(self.last) + "\n")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Tell how far it is."""
        if state.is_world_process_zero:
            self.on_step(state.global_step, state.max_steps, self.last)
