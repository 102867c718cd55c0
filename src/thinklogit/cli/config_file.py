"""A YAML file of options: one section a verb, each option by its name; what the command line gives wins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from thinklogit.core.errors import OptionError, RecordError, unknown_name

SHARED = ("trio",)
"""Options that a file may state once for all verbs, beside the sections."""


def merged(config: Path | None, section: str, *groups: Mapping[str, Any]) -> dict[str, Any]:
    """All options of a verb: those given (not None), over those of its section, over those that the file shares.

    Raises:
        OptionError: no such file, or an option that the verb does not have.
        RecordError: it is not YAML.
    """
    known = {name: value for group in groups for name, value in group.items()}
    of_file = {} if config is None else _section(config, section, known)
    return known | of_file | {name: value for name, value in known.items() if value is not None}


def _section(config: Path, section: str, known: Mapping[str, Any]) -> dict[str, Any]:
    import yaml

    if not config.is_file():
        raise OptionError(f"{config}: no such file; give a YAML file with a section {section!r}")
    try:
        read = yaml.safe_load(config.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        raise RecordError(f"{config}{line}: expected YAML; {str(error).splitlines()[0]}") from None
    if not isinstance(read, Mapping) or not isinstance(read.get(section), Mapping):
        raise RecordError(f"{config}: expected a section {section!r} of options; the file has none")
    for name in read[section]:
        if name not in known:
            raise unknown_name(f"option in {section} of {config}:", str(name), known)
    shared = {name: read[name] for name in SHARED if name in read and name in known}
    return shared | {name: _as_option(value) for name, value in read[section].items()}


def _as_option(value: Any) -> Any:
    """A list is several of an option that may be repeated."""
    return tuple(value) if isinstance(value, list) else value
