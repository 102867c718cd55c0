"""Pairs as a folder of `datasets`: a parquet file that TRL reads as it is, and a card with every count and setting."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from thinklogit.core.errors import OutputError, RecordError, room_or_place
from thinklogit.train.pairs import Counts, Pair

DATA = Path("data") / "train.parquet"
CARD = "README.md"
COLUMNS = ("prompt", "chosen", "rejected", "kind", "problem_id")


def write(pairs: Sequence[Pair], card: str, folder: Path) -> None:
    """Write data and card, each at once or not at all. Raises OutputError."""
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([_row(pair) for pair in pairs])
    try:
        (folder / DATA).parent.mkdir(parents=True, exist_ok=True)
        partial = folder / DATA.with_name(".train.parquet.partial")
        pyarrow.parquet.write_table(table, partial)
        partial.replace(folder / DATA)
        written = folder / f".{CARD}.partial"
        written.write_text(card, encoding="utf-8")
        written.replace(folder / CARD)
    except OSError as error:
        told = f"the answers and grades are kept; {room_or_place(error, 'repeat the command')}"
        raise OutputError(f"{folder}: {error.strerror or error}; {told}") from None


def _row(pair: Pair) -> dict[str, Any]:
    return {
        "prompt": pair.prompt,
        "chosen": pair.chosen.text,
        "rejected": pair.rejected.text,
        "kind": pair.kind,
        "problem_id": pair.problem_id,
        "chosen_tokens": pair.chosen.tokens,
        "rejected_tokens": pair.rejected.tokens,
        "chosen_cut": pair.chosen.cut,
        "rejected_cut": pair.rejected.cut,
        "chosen_index": pair.chosen.index,
        "rejected_index": pair.rejected.index,
    }


def read(folder: Path) -> list[dict[str, Any]]:
    """The rows of a folder of pairs. Raises RecordError."""
    import pyarrow
    import pyarrow.parquet

    file = folder / DATA
    if not file.is_file():
        raise RecordError(
            f"{folder}: expected pairs in {DATA}, found none; make them with `thinklogit pairs -o {folder}`"
        )
    try:
        rows = pyarrow.parquet.read_table(file).to_pylist()
    except (OSError, pyarrow.ArrowInvalid) as error:
        raise RecordError(f"{file}: cannot be read ({str(error).splitlines()[0]}); make the pairs again") from None
    lacking = [name for name in (*COLUMNS, "chosen_cut", "rejected_cut") if rows and name not in rows[0]]
    if not rows or lacking:
        raise RecordError(f"{file}: expected pairs with {', '.join(lacking or COLUMNS)}, found none; make them again")
    return rows


def card(pairs: Sequence[Pair], counts: Counts, about: Mapping[str, Any], refused: Sequence[str]) -> str:
    """The card: what the pairs are, what became of every answer, how they were made."""
    return "\n".join(
        [
            "---",
            "tags: [preference, dpo, thinklogit]",
            "configs:",
            "- config_name: default",
            "  data_files:",
            "  - split: train",
            f"    path: {DATA}",
            "---",
            "# Preference pairs for ThinkLogit-DPO",
            "",
            f"{len(pairs)} pairs of {len({pair.problem_id for pair in pairs})} problems. A right answer is chosen over",
            "a wrong one to the same prompt, which stands here as the members read it, special tokens included.",
            "",
            *_kinds(pairs, counts),
            "",
            *_answers(counts),
            "",
            f"Refused as near copies of held-out problems: {len(refused)}"
            + (f" ({', '.join(refused[:10])}{', ...' if len(refused) > 10 else ''})" if refused else ""),
            "",
            "## Settings",
            "```json",
            json.dumps(about, indent=2, ensure_ascii=False),
            "```",
            "",
            "A response that was cut (`chosen_cut`, `rejected_cut`) does not end where it stops; one that was not ends",
            "with the guider's end token, which is not written here. `thinklogit train` heeds that; TRL alone would",
            "append an end token to both.",
            "",
        ]
    )


def _kinds(pairs: Sequence[Pair], counts: Counts) -> list[str]:
    reasons = (
        "problems left out for the gap",
        "alike once cut",
        "a duplicate once cut",
        "found",
        "left out for the mix",
        "repeated for the mix",
        "kept",
    )
    names = list(dict.fromkeys(name for name, _ in counts.pairs))
    lines = [f"| kind | {' | '.join(reasons)} | tokens chosen, rejected |", "|---" * (len(reasons) + 2) + "|"]
    for name in names:
        of_kind = [pair for pair in pairs if pair.kind == name]
        means = [
            sum(getattr(pair, side).tokens for pair in of_kind) / max(1, len(of_kind))
            for side in ("chosen", "rejected")
        ]
        cells = [str(counts.pairs[name, reason]) for reason in reasons]
        lines.append(f"| {name} | {' | '.join(cells)} | {means[0]:.1f}, {means[1]:.1f} |")
    return lines


def _answers(counts: Counts) -> list[str]:
    reasons = ("right", "wrong", "unfinished", "empty", "too short", "too long", "a duplicate")
    sources = list(dict.fromkeys(source for source, _ in counts.answers))
    lines = [f"| answers of | {' | '.join(reasons)} | in all |", "|---" * (len(reasons) + 2) + "|"]
    for source in sources:
        cells = [counts.answers[source, reason] for reason in reasons]
        lines.append(f"| {source} | {' | '.join(map(str, cells))} | {sum(cells)} |")
    return lines


def is_writable(folder: Path) -> bool:
    """Whether the folder, or the one to make it in, can be written to."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    return there.is_dir() and os.access(there, os.W_OK)
