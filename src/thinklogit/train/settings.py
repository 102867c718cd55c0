"""How a guider is trained: every setting by its name in TRL, PEFT and transformers. Knows none of them."""

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from thinklogit.core.errors import OptionError, unknown_name

METHODS = ("dpo", "sft")
SCHEDULES = (
    "linear",
    "cosine",
    "cosine_with_restarts",
    "polynomial",
    "constant",
    "constant_with_warmup",
    "inverse_sqrt",
)
"""Those of transformers' that need to be told nothing more."""
RANK = 64
"""On all linear layers of a 1.5B Qwen2 73.9M parameters; arXiv 2507.12759 publishes 78M, and nothing else."""


@dataclass(frozen=True)
class TrainSettings:
    """One training.

    Args:
        method: dpo, or sft on the chosen answers alone, the paper's ablation.
        beta: of DPO: how dearly the guider pays for leaving its reference.
        sft_weight: weight of the chosen answer's own loss beside DPO's; 0 for none.
        learning_rate: of AdamW, at its highest.
        lr_scheduler_type: as transformers names them.
        warmup_ratio: share of the steps over which the learning rate rises.
        num_train_epochs: how many times each pair is read.
        max_steps: end after so many steps; -1 for all epochs.
        per_device_train_batch_size: pairs a step on each device.
        gradient_accumulation_steps: steps whose gradients are added up.
        max_length: tokens of prompt and response at most; a longer pair is refused, never cut.
        lora_r: rank of the adapter.
        lora_alpha: its scale; 0 for twice the rank.
        lora_dropout: share of the adapter's inputs left out at a step.
        target_modules: "all-linear", or names with commas between.
        dtype: of the guider's weights; None for bfloat16 on a GPU, float32 elsewhere.
        gradient_checkpointing: compute activations twice instead of keeping them.
        save_steps: optimizer steps between checkpoints.
        logging_steps: optimizer steps between two lines of metrics.
        seed: of the adapter's first weights and of the order of pairs.
    """

    method: str = "dpo"
    beta: float = 0.1
    sft_weight: float = 0.0
    learning_rate: float = 1e-5
    lr_scheduler_type: str = "cosine"
    warmup_ratio: float = 0.1
    num_train_epochs: float = 1.0
    max_steps: int = -1
    per_device_train_batch_size: int = 1
    gradient_accumulation_steps: int = 16
    max_length: int = 8192
    lora_r: int = RANK
    lora_alpha: int = 0
    lora_dropout: float = 0.0
    target_modules: str = "all-linear"
    dtype: str | None = None
    gradient_checkpointing: bool = False
    save_steps: int = 50
    logging_steps: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be trained with. Raises OptionError."""
        if self.method not in METHODS:
            raise OptionError(f"method must be dpo or sft; got {self.method!r}")
        for name in ("beta", "learning_rate", "num_train_epochs"):
            if not 0 < getattr(self, name) < inf:
                raise OptionError(f"{name} must be a finite number above 0; got {getattr(self, name)}")
        for name in ("sft_weight", "lora_alpha"):
            if not 0 <= getattr(self, name) < inf:
                raise OptionError(f"{name} must be a finite number, 0 or more; got {getattr(self, name)}")
        for name in ("lora_dropout", "warmup_ratio"):
            if not 0 <= getattr(self, name) < 1:
                raise OptionError(f"{name} must be a share, 0 or more and below 1; got {getattr(self, name)}")
        if self.lr_scheduler_type not in SCHEDULES:
            raise unknown_name("lr_scheduler_type", self.lr_scheduler_type, SCHEDULES)
        if not 0 <= self.seed < 2**32:
            raise OptionError(f"seed must be a whole number from 0 to 4294967295; got {self.seed}")
        for name in (
            "per_device_train_batch_size",
            "gradient_accumulation_steps",
            "max_length",
            "lora_r",
            "save_steps",
            "logging_steps",
        ):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} must be a whole number, 1 or more; got {getattr(self, name)}")
        if self.max_steps == 0 or self.max_steps < -1:
            raise OptionError(f"max_steps must be -1 (all epochs) or a whole number, 1 or more; got {self.max_steps}")

    @property
    def scale(self) -> int:
        """LoRA's alpha."""
        return self.lora_alpha or 2 * self.lora_r

    def as_dict(self) -> dict[str, Any]:
        """Every setting by name."""
        return asdict(self)
