"""A YAML file of options: one section a verb, each option by its name; what the command line gives wins."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from thinklogit.core.errors import OptionError, RecordError, unknown_name

SECTIONS = ("pairs", "train")
"""The verbs that read one; a file may have a section for each."""
SHARED = ("trio",)
"""Options that a file may state once for all verbs, beside the sections."""
EXPECTED = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def merged(config: Path | None, section: str, *groups: Any, **texts: str | None) -> dict[str, Any]:
    """All options of a verb: those given (not None), over those of its section, over those that the file shares.

    Args:
        config: the file, if there is one.
        section: which section is the verb's.
        groups: options as dataclasses, which say what each can be.
        texts: options beside them.

    Raises:
        OptionError: no such file, an option that the verb does not have, or a value that it cannot take.
        RecordError: it is not YAML.
    """
    known = {**texts, **{name: value for group in groups for name, value in asdict(group).items()}}
    kinds = dict.fromkeys(texts, str) | {name: kind for group in groups for name, kind in _kinds(group).items()}
    of_file = {} if config is None else _section(config, section, kinds)
    return known | of_file | {name: value for name, value in known.items() if value is not None}


def _kinds(group: Any) -> dict[str, Any]:
    """What each option can be besides None."""
    hints = get_type_hints(type(group))
    return {name: next(kind for kind in get_args(hint) if kind is not NoneType) for name, hint in hints.items()}


def _section(config: Path, section: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    read = _read(config)
    if not isinstance(read, Mapping) or not isinstance(read.get(section), Mapping):
        raise RecordError(f"{config}: expected a section {section!r} of options; the file has none")
    for name in read:
        if name not in SECTIONS + SHARED:
            raise unknown_name(f"section or shared option in {config}:", str(name), SECTIONS + SHARED)
    for name in read[section]:
        if name not in kinds:
            raise unknown_name(f"option in {section} of {config}:", str(name), kinds)
    stated = {name: read[name] for name in SHARED if name in read and name in kinds} | dict(read[section])
    return {name: _as_option(value, kinds[name], f"{config}: {name}") for name, value in stated.items()}


def _read(config: Path) -> Any:
    import yaml

    if not config.is_file():
        raise OptionError(f"{config}: no such file; give a YAML file with sections such as {' and '.join(SECTIONS)}")
    try:
        return yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RecordError(f"{config}{line}: expected YAML; {str(error).splitlines()[0]}") from None


def _as_option(value: Any, kind: Any, where: str) -> Any:
    """What YAML made of a value, as the command line would have read it: 1e-5, say, is a text to YAML."""
    if value is None:
        return None
    if get_origin(kind) is tuple:
        return tuple(
            _as_option(each, get_args(kind)[0], where) for each in (value if isinstance(value, list) else [value])
        )
    if get_origin(kind) is Literal:
        if value not in get_args(kind):
            raise OptionError(f"{where} must be {' or '.join(get_args(kind))}; got {value!r}")
        return value
    if kind is str and isinstance(value, list):  # what the command line takes with commas between
        return ",".join(_as_option(each, str, where) for each in value)
    readable: Any = {bool: bool, int: str | int, float: str | int | float, str: str | int | float}[kind]
    with suppress(ValueError):
        if isinstance(value, readable) and isinstance(value, bool) == (kind is bool):
            return kind(value)
    raise OptionError(f"{where} must be {EXPECTED[kind]}; got {value!r}")
