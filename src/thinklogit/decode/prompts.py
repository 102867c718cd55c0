"""Reads prompts from files, standard input and command lines, and remembers where each stood. Knows no model.

    .jsonl .json    one JSON object a line, with `prompt`, `question`, `problem` or `messages`, and an optional `id`
    .txt            one prompt a line

Empty lines are passed over. A prompt without an id is known by the number of its line.
"""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.core.records import parse_json_line, read_lines
from thinklogit.decode.engine import Prompt

PROMPT_FIELDS = ("prompt", "question", "problem", "messages")


class PromptLine(NamedTuple):
    """A prompt, the id its completions carry, and where it stands, for errors."""

    id: str
    prompt: Prompt
    where: str


def read_prompts(path: Path) -> list[PromptLine]:
    """Every prompt of a file. Raises RecordError at the first line that holds none."""
    if path.suffix not in (".jsonl", ".json", ".txt"):
        raise OptionError(
            f"{path}: expected a name ending in .jsonl, .json (one object a line) or .txt (one prompt a line)"
        )
    if not path.is_file():
        raise OptionError(f"{path}: no such file; give a .jsonl, .json or .txt file of prompts")
    lines = (line for line in read_lines(path) if line[1].strip())
    found = list(_text_prompts(lines) if path.suffix == ".txt" else _json_prompts(lines))
    if not found:
        raise RecordError(f"{path}: expected prompts, found none; write one a line")
    return _with_different_ids(found)


def prompts_in_text(lines: Iterable[str], source: str) -> list[PromptLine]:
    """One prompt a line, as from standard input."""
    numbered = ((f"{source}:{number}", line) for number, line in enumerate(lines, start=1) if line.strip())
    return list(_text_prompts(numbered))


def prompts_given(texts: Sequence[str]) -> list[PromptLine]:
    """Prompts as on a command line, each a text of any number of lines."""
    found = [PromptLine(str(number), text, f"prompt {number}") for number, text in enumerate(texts, start=1)]
    for text, line in zip(texts, found, strict=True):
        _check_unicode(text, line.where)
        if not text.strip():
            raise OptionError(f"{line.where} is empty; write something to answer")
    return found


def as_chat(line: PromptLine) -> PromptLine:
    """The prompt as a user's message; messages stay as they are."""
    if isinstance(line.prompt, str):
        return line._replace(prompt=[{"role": "user", "content": line.prompt}])
    return line


def _text_prompts(lines: Iterable[tuple[str, str]]) -> Iterator[PromptLine]:
    for where, line in lines:
        text = line.rstrip("\r\n")
        _check_unicode(text, where)
        yield PromptLine(where.rsplit(":", 1)[-1], text, where)


def _json_prompts(lines: Iterable[tuple[str, str]]) -> Iterator[PromptLine]:
    for where, line in lines:
        row = parse_json_line(line, where)
        own = row.get("id")
        if own is not None and (isinstance(own, bool) or not isinstance(own, str | int)):
            raise RecordError(f"{where}: expected an id that is text or a whole number, found {own!r}")
        yield PromptLine(where.rsplit(":", 1)[-1] if own is None else str(own), _prompt_of(row, where), where)


def _prompt_of(row: dict[str, Any], where: str) -> Prompt:
    given = [name for name in PROMPT_FIELDS if name in row]
    if len(given) != 1:
        found = " and ".join(given) if given else ", ".join(row) or "nothing"
        raise RecordError(f"{where}: expected one of {', '.join(PROMPT_FIELDS)}; this line has {found}")
    prompt = row[given[0]]
    if given == ["messages"]:
        for message in _messages(prompt, where):
            _check_unicode(message["content"], where)
        return prompt
    if not isinstance(prompt, str) or not prompt.strip():
        raise RecordError(f"{where}: expected {given[0]} to be text, found {prompt!r}")
    _check_unicode(prompt, where)
    return prompt


def _messages(prompt: Any, where: str) -> list[dict[str, str]]:
    """The messages, if they are: chat templates fail in ways of their own on anything else."""
    fits = isinstance(prompt, list) and all(
        isinstance(message, dict) and all(isinstance(message.get(name), str) for name in ("role", "content"))
        for message in prompt
    )
    if not fits or not prompt:
        raise RecordError(
            f'{where}: expected messages such as [{{"role": "user", "content": "..."}}], found {prompt!r:.60}'
        )
    return prompt


def _check_unicode(text: str, where: str) -> None:
    """Refuse what no file can hold: half a surrogate pair, or bytes of a command line that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RecordError(f"{where}: character {error.start + 1} is not valid Unicode; mend or remove it") from None


def _with_different_ids(lines: list[PromptLine]) -> list[PromptLine]:
    """Refuse ids that occur twice: the completions of two prompts could not be told apart."""
    first: dict[str, str] = {}
    for line in lines:
        if line.id in first:
            raise RecordError(f"{line.where}: id {line.id!r} is that of {first[line.id]} too; give every line its own")
        first[line.id] = line.where
    return lines
