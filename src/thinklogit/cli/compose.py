"""`thinklogit compose`: three models become a trio folder. Knows how members are given, not what fits."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from thinklogit.core.errors import OptionError

if TYPE_CHECKING:
    from thinklogit.models.config import MemberRef

Repeatable = Parameter(consume_multiple=False)


@Parameter(name="*", group="Members in detail (for several guiders: once for all, or once for each)")
@dataclass(frozen=True)
class MemberOptions:
    """What else to say of a member.

    Args:
        target_revision: Branch, tag or commit of the target, when it is a hub id.
        guider_revision: The same of the guider.
        base_revision: The same of the base.
        target_dtype: What to load the target as, such as bfloat16 [default: as it was saved].
        guider_dtype: The same of the guider.
        base_dtype: The same of the base.
        target_adapter: PEFT adapter to put on the target: a folder or hub id.
        guider_adapter: The same of the guider.
        base_adapter: The same of the base.
        target_quantization: Quantize the target at loading: JSON as in a config.json, or a file of it.
        guider_quantization: The same of the guider.
        base_quantization: The same of the base.
    """

    target_revision: str | None = None
    guider_revision: Annotated[list[str] | None, Repeatable] = None
    base_revision: Annotated[list[str] | None, Repeatable] = None
    target_dtype: str | None = None
    guider_dtype: Annotated[list[str] | None, Repeatable] = None
    base_dtype: Annotated[list[str] | None, Repeatable] = None
    target_adapter: str | None = None
    guider_adapter: Annotated[list[str] | None, Repeatable] = None
    base_adapter: Annotated[list[str] | None, Repeatable] = None
    target_quantization: str | None = None
    guider_quantization: Annotated[list[str] | None, Repeatable] = None
    base_quantization: Annotated[list[str] | None, Repeatable] = None

    def refs(self, role: str, models: Sequence[str]) -> list["MemberRef"]:
        """The models of one role with what was said of them. Raises OptionError for a number that does not fit."""
        from thinklogit.models.config import MemberRef

        told = (self._spread(role, what, len(models)) for what in ("revision", "dtype", "adapter", "quantization"))
        return [
            MemberRef(model, revision, dtype, _quantization(role, quantization), adapter)
            for model, revision, dtype, adapter, quantization in zip(models, *told, strict=True)
        ]

    def _spread(self, role: str, what: str, count: int) -> list[str | None]:
        given: Any = getattr(self, f"{role}_{what}")
        if given is None or isinstance(given, str) or len(given) == 1:
            return [given[0] if isinstance(given, list) else given] * count
        if len(given) != count:
            raise OptionError(f"--{role}-{what} goes once for all, or once for each of {count}; got {len(given)}")
        return given


DEFAULT_MEMBERS = MemberOptions()


def compose(
    *,
    target: str,
    guider: Annotated[list[str], Repeatable],
    base: Annotated[list[str], Repeatable],
    output: Annotated[Path, Parameter(name=["--output", "-o"])],
    alpha: Annotated[list[float] | None, Repeatable] = None,
    warmup_tokens: int = 100,
    schedule: str = "warmup",
    members: MemberOptions = DEFAULT_MEMBERS,
) -> None:
    """Write a trio folder that refers to three models, or more, after checking that they go together.

    No weights are loaded or copied. Models inside the folder itself are referred to as ./name, so that it can be moved.

    Args:
        target: The large model to be guided: a folder, a hub id, or one of the package, such as mini/target.
        guider: The small reasoner; repeat --guider and --base for several.
        base: The guider before its reasoning training.
        output: The folder to write.
        alpha: Guidance strength; once for all guiders, or once for each [default: 1.0].
        warmup_tokens: New tokens that the target decodes alone before guidance begins [default: 100].
        schedule: How the strength depends on the tokens so far: warmup or constant [default: warmup].
        members: What else to say of a member.
    """
    from rich.console import Console

    errors = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
    with errors.status("reading configs and tokenizers ..."):
        from thinklogit.models import trios

        made = trios.compose(
            members.refs("target", [target])[0],
            members.refs("guider", guider),
            members.refs("base", base),
            output,
            alpha=1.0 if alpha is None else alpha[0] if len(alpha) == 1 else alpha,
            warmup_tokens=warmup_tokens,
            schedule=schedule,
        )
    for finding in made.findings:
        if finding.level == "warning":
            errors.print(f"warning: {finding.subject}: {finding.message}", style="yellow")
    place = quote(str(made.folder))
    print(f"wrote the trio {place}; see `thinklogit doctor --trio {place}`, then try it:")
    print(f'thinklogit generate --trio {place} "What is 17 * 24?"')


def _quantization(role: str, given: str | None) -> dict[str, Any] | None:
    if given is None:
        return None
    option = f"--{role}-quantization"
    text = given if given.lstrip().startswith("{") else _text_of(option, Path(given))
    try:
        values = json.loads(text)
    except ValueError as error:
        raise OptionError(f"{option}: expected JSON, or a file of it; got {given!r} ({error})") from None
    if not isinstance(values, dict) or "quant_method" not in values:
        raise OptionError(f"""{option}: expected an object with "quant_method", such as {EXAMPLE}; got {given!r}""")
    return values


EXAMPLE = '{"quant_method": "bitsandbytes", "load_in_4bit": true}'


def _text_of(option: str, file: Path) -> str:
    if not file.is_file():
        raise OptionError(f"{option}: expected JSON, such as {EXAMPLE}, or a file of it; got {str(file)!r}")
    return file.read_text(encoding="utf-8")
