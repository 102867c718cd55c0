"""`thinklogit doctor`: do these members go together? shows what `thinklogit.models.doctor` finds."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from thinklogit.core.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table

    from thinklogit.models.doctor.findings import Finding

Repeatable = Parameter(consume_multiple=False)
COLOURS = {"ok": "green", "note": "cyan", "warning": "yellow", "error": "bold red"}


def doctor(
    *,
    trio: str | None = None,
    target: str | None = None,
    guider: Annotated[list[str] | None, Repeatable] = None,
    base: Annotated[list[str] | None, Repeatable] = None,
    batch: int = 1,
    text: Path | None = None,
    json: bool = False,
) -> int:
    """Examine a trio before it is loaded: tokenizers, end tokens, context, ancestry, memory, cost.

    Reads configs, tokenizers and, from disk, the weights of guider and base to compare them. Exits with 1 on an error.

    Args:
        trio: A trio folder, a hub id, or "mini", the small trio that comes with thinklogit [default: mini].
        target: Instead of --trio: the large model to be guided; needs --guider and --base.
        guider: The small reasoner; repeat --guider and --base for several.
        base: The guider before its reasoning training.
        batch: Texts decoded together, for the memory of keys and values [default: 1].
        text: A file to look along: loads the trio and says what share of the target's
            probability a guider of another tokenizer matches, and what was not looked into.
        json: Print one JSON object instead.
    """
    from rich.console import Console

    parts = {"--target": target, "--guider": guider, "--base": base}
    missing = [option for option, value in parts.items() if not value]
    if 0 < len(missing) < len(parts):
        raise OptionError(f"--target, --guider and --base go together; {' and '.join(missing)} not given")
    if not missing and trio:
        raise OptionError("expected --trio, or --target with --guider and --base; got both")
    if text is not None and not missing:
        raise OptionError("--text is looked along by a trio; `thinklogit compose` one of these, and give it as --trio")
    with Console(stderr=True).status("examining ..."):
        from thinklogit.models.doctor.examine import examine
        from thinklogit.models.trios import draft

        drafted = draft(target, guider, base).config if target and guider and base else None
        findings = examine(drafted or trio or "mini", batch=batch)
        if text is not None:
            from thinklogit.models.doctor.text_checks import check_text

            findings += check_text(trio or "mini", _read(text))
    name = trio or ("three models" if drafted else "mini")
    if json:
        _print_json(name, findings)
    else:
        _print(name, findings)
    return int(_worst(findings) == "error")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise OptionError(f"--text {file}: expected a text file, could not read it ({reason})") from None


def _worst(findings: Sequence["Finding"]) -> str:
    order = list(COLOURS)
    return max((finding.level for finding in findings), key=order.index)


def _print_json(name: str, findings: Sequence["Finding"]) -> None:
    import json
    from dataclasses import asdict

    found = [asdict(finding) for finding in findings]
    print(json.dumps({"trio": name, "verdict": _worst(findings), "findings": found}, ensure_ascii=False, indent=2))


def _print(name: str, findings: Sequence["Finding"]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    console.print(Text(f"Trio {name}", style="bold"))
    sheets = [finding.data for finding in findings if "parameters" in finding.data]
    if sheets:
        console.print(_members_table(sheets))
    console.print(_findings_table(findings))
    console.print(_verdict(findings), style=COLOURS[_worst(findings)])


def _members_table(sheets: Sequence[dict[str, Any]]) -> "Table":
    from rich import box
    from rich.table import Table

    from thinklogit.models.doctor.findings import count, size

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column("member")
    for heading in ("type", "dtype"):
        table.add_column(heading)
    for heading in ("parameters", "weights", "layers", "rows", "context"):
        table.add_column(heading, justify="right")
    for sheet in sheets:
        numbers = [
            count(sheet["parameters"]) if sheet["parameters"] else "?",
            size(sheet["weight_bytes"]) if sheet["weight_bytes"] else "?",
            *(
                f"{sheet[name]:,}" if sheet[name] is not None else "any"
                for name in ("layers", "rows", "context_tokens")
            ),
        ]
        table.add_row(sheet["role"], sheet["model_type"], sheet["dtype"], *numbers)
    return table


def _findings_table(findings: Sequence["Finding"]) -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    subject = ""
    for finding in findings:
        begins = finding.subject != subject
        subject = finding.subject
        level = Text(finding.level, style=COLOURS[finding.level])
        table.add_row(Text(subject if begins else "", style="bold"), level, Text(_message(finding)))
    return table


def _message(finding: "Finding") -> str:
    """What the table above shows need not be said again."""
    if "parameters" not in finding.data:
        return finding.message
    adapter = finding.data["adapter"]
    return f"{finding.data['role']}: {finding.data['place']}" + (f" with adapter {adapter}" if adapter else "")


def _verdict(findings: Sequence["Finding"]) -> str:
    levels = Counter(finding.level for finding in findings)
    told = [
        f"{levels[level]} {level}{'s' if levels[level] > 1 else ''}" for level in ("error", "warning") if levels[level]
    ]
    if levels["error"]:
        return f"\n{' and '.join(told)}: this trio cannot be used as it is."
    return f"\n{told[0]}: it works, perhaps not as meant." if told else "\nThese go together."
