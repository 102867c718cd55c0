"""A run: many prompts decoded into one file of completions, which a kill interrupts and the same command continues.

    check_output        before anything is loaded: can the file be written?
    kept_completions    what an earlier run left, whole lines only
    check_unchanged     refuse to mix completions made in different ways
    requests_for        what is still to be decoded, each with a seed of its own
    decode              decode it, handing over every completion as it ends
    put_in_order        once all are there: the file in the order of its prompts

Knows no terminal. Each request's seed comes from (run seed, prompt id, completion index), so a completion is the same
whatever else is in the file, in the batch, or was there before a kill.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from thinklogit.core.errors import OutputError, RunChangedError, ThinkLogitError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion, append_record, drop_torn_line, read_records, rewrite_records
from thinklogit.core.seeds import derive_seed
from thinklogit.decode.engine import Engine, Prompt
from thinklogit.decode.prompts import PromptLine


class Request(NamedTuple):
    """One completion to be decoded: the prompt's `index`-th. With this seed and n=1, any engine makes it again."""

    line: PromptLine
    index: int
    seed: int


def requests_for(lines: Sequence[PromptLine], n: int, seed: int, kept: Sequence[Completion] = ()) -> list[Request]:
    """The completions that are not there yet, in the order of their prompts."""
    have = {(completion.problem_id, completion.index) for completion in kept}
    wanted = ((line, index) for line in lines for index in range(n))
    return [Request(line, i, derive_seed(seed, line.id, i)) for line, i in wanted if (line.id, i) not in have]


def decode(
    engine: Engine,
    requests: Sequence[Request],
    params: SamplingParams,
    settings: Mapping[str, Any],
    on_record: Callable[[Completion], None],
) -> None:
    """Decode every request; `on_record` gets each completion as it ends, labelled with the run's settings.

    Raises:
        ContextError: before anything is decoded, naming the line of a prompt that is too long.
        ServerError: naming the line of a prompt that a server refuses.
    """

    def label(place: int, completion: Completion) -> None:
        line, index, seed = requests[place]
        on_record(replace(completion, problem_id=line.id, index=index, seed=seed, settings=dict(settings)))

    try:
        engine.generate(
            [request.line.prompt for request in requests], [params_of(request, params) for request in requests], label
        )
    except ThinkLogitError as error:
        if error.prompt_index is None:
            raise
        raise type(error)(f"{requests[error.prompt_index].line.where}: {error}", error.prompt_index) from None


def params_of(request: Request, params: SamplingParams) -> SamplingParams:
    """The run's params for one of its completions."""
    return replace(params, n=1, seed=request.seed)


def check_output(out: Path) -> None:
    """Refuse a file that could not be written in the end. Raises OutputError."""
    if not out.parent.is_dir():
        raise OutputError(f"{out.parent}: no such folder to write {out.name} in; make it, or use another -o")
    if out.is_dir():
        raise OutputError(
            f"{out}: expected a file to write, found a folder; name a file in it, such as {out / 'out.jsonl'}"
        )
    if not os.access(out if out.exists() else out.parent, os.W_OK):
        raise OutputError(f"{out}: not writable by you; change its permissions, or use another -o")


def kept_completions(out: Path) -> list[Completion]:
    """What an earlier run finished; a line that it was killed in is cut off.

    Raises RecordError when the file holds anything but completions, and changes nothing then.
    """
    if not out.is_file():
        return []
    drop_torn_line(Completion, out)
    return list(read_records(Completion, out))


def check_unchanged(
    out: Path, kept: Sequence[Completion], lines: Sequence[PromptLine], settings: Mapping[str, Any]
) -> None:
    """Refuse to continue a run with other settings or other prompts. Raises RunChangedError, which tells them."""
    prompts = {line.id: line for line in lines}
    for completion in kept:
        known = [*settings, *(name for name in completion.settings if name not in settings)]
        changes = [
            f"{name} {_shown(completion.settings.get(name))}, now {_shown(settings.get(name))}"
            for name in known
            if completion.settings.get(name) != settings.get(name)
        ]
        if changes:
            raise _changed(out, "; ".join(changes), "settings")
        line = prompts.get(completion.problem_id)
        if line is None:
            raise _changed(out, f"a prompt of id {completion.problem_id!r}, now there is none", "prompts")
        if line.prompt != completion.prompt:
            was, now = _shown_prompt(completion.prompt), _shown_prompt(line.prompt)
            raise _changed(out, f"{was} for id {line.id!r}, now {now} ({line.where})", "prompts")


def _changed(out: Path, change: str, what: str) -> RunChangedError:
    return RunChangedError(f"{out} was made with {change}; use another -o, or the same {what}")


def _shown(value: object) -> str:
    return "unset" if value is None else str(value)


def _shown_prompt(prompt: Prompt) -> str:
    kind, text = ("the text", prompt) if isinstance(prompt, str) else ("the chat", prompt[-1]["content"])
    return f"{kind} {text!r}" if len(text) <= 60 else f"{kind} {text[:57] + '...'!r}"


def append_to(out: Path, completion: Completion) -> None:
    """Append one completion and hand it to the disk. Raises OutputError, leaving whole lines only."""
    try:
        append_record(completion, out)
    except OSError as error:
        count = len(kept_completions(out))
        kept = f"completions kept there: {count}; make room, then repeat the command to continue"
        raise OutputError(f"{out}: {error.strerror}; {kept}") from None


def put_in_order(out: Path, lines: Sequence[PromptLine]) -> None:
    """Rewrite the finished file in the order of its prompts, at once or not at all."""
    if not out.is_file():
        return
    place = {line.id: position for position, line in enumerate(lines)}
    found = kept_completions(out)
    ordered = sorted(found, key=lambda completion: (place[completion.problem_id], completion.index))
    if ordered == found:
        return
    with suppress(OSError):  # every completion is in the file already, only in another order
        rewrite_records(ordered, out)
