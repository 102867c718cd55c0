"""`thinklogit generate`: prompts in, completions out, as text for a person or as records for a file."""

import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from thinklogit.cli.options import EngineOptions, Ready, SamplingOptions, ServerOptions, TrioOptions, ready
from thinklogit.cli.progress import completions_bar
from thinklogit.core.errors import OptionError, ServerError, ThinkLogitError

if TYPE_CHECKING:
    from thinklogit.core.params import SamplingParams
    from thinklogit.core.records import Completion
    from thinklogit.decode.prompts import PromptLine
    from thinklogit.decode.runs import Request

DEFAULT_TRIO, DEFAULT_SERVER = TrioOptions(), ServerOptions()
DEFAULT_ENGINE, DEFAULT_SAMPLING = EngineOptions(), SamplingOptions()


def generate(
    *prompts: Annotated[str, Parameter(help="Texts to answer.", show_default=False)],
    stdin: Annotated[bool, Parameter(name="-")] = False,
    file: Annotated[Path | None, Parameter(name=["--file", "-f"])] = None,
    output: Annotated[Path | None, Parameter(name=["--output", "-o"])] = None,
    json: bool = False,
    stream: bool = False,
    chat: Annotated[bool | None, Parameter(negative="--raw")] = None,
    batch_size: Annotated[int, Parameter(show_default=True)] = 32,
    allow_past_context: bool = False,
    trio: TrioOptions = DEFAULT_TRIO,
    server: ServerOptions = DEFAULT_SERVER,
    engine: EngineOptions = DEFAULT_ENGINE,
    sampling: SamplingOptions = DEFAULT_SAMPLING,
) -> None:
    """Decode completions with a trio, or with one of its members alone.

    Args:
        prompts: Texts to answer.
        stdin: Read prompts from standard input, one a line.
        file: Read prompts from FILE: .jsonl or .json (prompt, question, problem or messages; id), or .txt.
        output: Write records to this file; repeat the command to continue a run that was cut short.
        json: Print records, one JSON object a line, instead of text.
        stream: Print text while it is decoded.
        chat: Put prompts into the chat template, or take them as they stand [default: --chat if there is one].
        batch_size: Completions decoded, or asked of the server, side by side.
        allow_past_context: Decode past the context of the members instead of refusing.
        trio: Which trio.
        server: Which server instead.
        engine: What decodes.
        sampling: How to sample.
    """
    if stream and (json or output or file):
        raise OptionError("--stream prints text as it is decoded; leave out --json, --output and --file")
    if batch_size < 1:
        raise OptionError(f"--batch-size must be a whole number, 1 or more; got {batch_size}")
    if output and file and output.exists() and file.exists() and output.samefile(file):
        raise OptionError(f"{output}: --output would write over --file; use another -o")
    lines = _lines(prompts, stdin, file)
    sampling.check()
    kept = _kept(output) if output else []
    answering = ready(trio, server, engine, batch_size, allow_past_context, sampling.speculate)
    lines = [_rendered(line, chat, answering.has_chat_template) for line in lines]
    params = sampling.params(answering)
    run = Run(answering, lines, params, answering.settings(params))
    with _out_of_memory_told(batch_size):
        if output:
            run.to_file(output, kept)
        elif stream:
            run.streamed()
        elif json or file:
            run.to_lines()
        else:
            run.to_text()


@dataclass(frozen=True)
class Run:
    """What is to be decoded, with what, and how it is labelled."""

    ready: Ready
    lines: list["PromptLine"]
    params: "SamplingParams"
    settings: dict[str, Any]

    def to_file(self, output: Path, kept: list["Completion"]) -> None:
        """Append what is missing to the file, and say what is there now."""
        from thinklogit.decode import runs

        runs.check_unchanged(output, kept, self.lines, self.settings)
        requests = self.requests(kept)
        try:
            self.decode(requests, lambda completion: runs.append_to(output, completion), shown=True, before=len(kept))
        except (KeyboardInterrupt, ServerError) as stopped:
            count = len(runs.kept_completions(output))
            told = f"{count} of {len(kept) + len(requests)} completions are kept in {output}"
            why = f"{stopped};" if isinstance(stopped, ServerError) else "interrupted:"
            raise type(stopped)(f"{why} {told}; repeat the command to continue") from None
        runs.put_in_order(output, self.lines)
        there = runs.kept_completions(output)
        before = f" ({len(kept)} kept from before)" if kept else ""
        _tell(f"{_counted(len(there), 'completion')} in {output}{before}", there)

    def to_lines(self) -> None:
        """Print every record as it ends."""
        from thinklogit.core.records import to_line

        self.decode(
            self.requests(), lambda record: print(to_line(record), end="", flush=True), shown=not sys.stdout.isatty()
        )

    def to_text(self) -> None:
        """Print texts in the order of their prompts; when interrupted, those that are done."""
        requests, done = self.requests(), []
        try:
            self.decode(requests, done.append, shown=True)
        finally:
            found = {(completion.problem_id, completion.index): completion for completion in done}
            for request in requests:
                if (request.line.id, request.index) in found:
                    self._print_heading(request, len(requests))
                    print(found[request.line.id, request.index].text, flush=True)
            _tell("", done)

    def streamed(self) -> None:
        """Print each text while it is decoded, one after the other."""
        from thinklogit.decode.runs import params_of

        requests = self.requests()
        for request in requests:
            self._print_heading(request, len(requests))
            for piece in self.ready.engine.stream(request.line.prompt, params_of(request, self.params)):
                print(piece, end="", flush=True)
            print(flush=True)

    def requests(self, kept: Sequence["Completion"] = ()) -> list["Request"]:
        """What is not there yet."""
        from thinklogit.decode.runs import requests_for

        return requests_for(self.lines, self.params.n, self.params.seed, kept)

    def decode(
        self, requests: list["Request"], on_record: Callable[["Completion"], object], shown: bool, before: int = 0
    ) -> None:
        """Decode with a bar where a person looks on, and none is in the way of what is printed."""
        from thinklogit.decode import runs

        with completions_bar(before, before + len(requests), shown) as advance:

            def record(completion: "Completion") -> None:
                on_record(completion)
                advance(completion.new_tokens)

            runs.decode(self.ready.engine, requests, self.params, self.settings, record)

    def _print_heading(self, request: "Request", of: int) -> None:
        if of > 1:
            prompt = request.line.prompt if isinstance(request.line.prompt, str) else request.line.prompt[-1]["content"]
            which = (
                f"{request.line.id}, {request.index + 1} of {self.params.n}" if self.params.n > 1 else request.line.id
            )
            print(f"=== {which}: {' '.join(prompt.split()):.100}", flush=True)


def _lines(prompts: tuple[str, ...], stdin: bool, file: Path | None) -> list["PromptLine"]:
    from thinklogit.decode.prompts import prompts_given, prompts_in_text, read_prompts

    given = [name for name, there in (("prompts", prompts), ("-", stdin), ("--file", file)) if there]
    if len(given) > 1:
        raise OptionError(f"expected prompts from one place; got {' and '.join(given)}; leave one out")
    if file:
        return read_prompts(file)
    if stdin:
        lines = prompts_in_text(sys.stdin, "standard input")
        if not lines:
            raise OptionError("expected prompts on standard input, one a line; found none")
        return lines
    if not prompts:
        raise OptionError(
            'no prompts given; write one, as in: thinklogit generate "What is 17 * 24?", or use --file or -'
        )
    return prompts_given(prompts)


def _kept(output: Path) -> list["Completion"]:
    from thinklogit.decode.runs import check_output, kept_completions

    check_output(output)
    return kept_completions(output)


def _rendered(line: "PromptLine", chat: bool | None, has_template: bool) -> "PromptLine":
    """The prompt as chat or raw. Raises OptionError where it cannot be what is asked for."""
    from thinklogit.decode.prompts import as_chat

    is_messages = not isinstance(line.prompt, str)
    if is_messages and chat is False:
        raise OptionError(f"{line.where}: messages need a chat template; leave out --raw, or give a prompt")
    if (is_messages or chat) and not has_template:
        asked = "messages" if is_messages else "--chat"
        raise OptionError(
            f"{line.where}: {asked} given, but the target's tokenizer has no chat template; use --raw and a prompt"
        )
    return as_chat(line) if has_template and chat is not False else line


def _tell(summary: str, completions: Sequence["Completion"]) -> None:
    """Say where people look for notices what was done, and that something was cut."""
    cut = sum(completion.finish_reason == "length" for completion in completions)
    if cut:
        most = f"cut at {completions[0].settings['max_new_tokens']} new tokens (--max-new-tokens)"
        verb = "was" if cut == 1 else "were"
        notice = f"{cut} of {len(completions)} {verb} {most}" if len(completions) > 1 else f"the text was {most}"
        summary = f"{summary}; {notice}" if summary else notice
    if summary:
        print(f"thinklogit: {summary}", file=sys.stderr)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


@contextmanager
def _out_of_memory_told(batch_size: int) -> Generator[None]:
    import torch

    try:
        yield
    except torch.OutOfMemoryError:
        smaller = f"use a --batch-size below {batch_size}" if batch_size > 1 else "use fewer --max-new-tokens"
        kept = "completions already in a file are kept"
        raise ThinkLogitError(f"the device has too little memory; {smaller}; {kept}") from None
