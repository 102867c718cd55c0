"""Where trios lie, and how one is written: found by name, referred to from within, put in place all at once."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from thinklogit.core.errors import TrioError
from thinklogit.models.members import is_hub_id

MINI = Path(__file__).parents[1] / "mini" / "trio"
"""The trio that ships in the package."""
SHIPPED = {"mini": MINI, "mini-cross": MINI.parent / "cross"}
"""By name; the second is a target of another tokenizer with the guider and base of the first."""
CONFIG = "config.json"
TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
)
"""What an earlier trio's tokenizer may have left, to be read beside a new one's."""


def find_trio(trio: str | Path) -> str:
    """The folder or hub id that a user's word for a trio means: "mini" and "mini-cross" are those in the package.

    Raises:
        TrioError: no trio folder there, and no hub id.
    """
    shipped = SHIPPED.get(str(trio))
    if shipped is not None:
        if not (shipped / CONFIG).is_file():
            raise TrioError(f"the {trio} trio should be at {shipped}, where there is none; install thinklogit again")
        return str(shipped)
    folder = Path(trio).expanduser()
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise TrioError(
                f"{trio}: expected a trio folder, but it holds no {CONFIG}; write one with `thinklogit compose`"
            )
        return str(folder)
    if is_hub_id(str(trio)) and "/" in str(trio):
        return str(trio)
    raise TrioError(
        f"{trio}: expected a trio folder, a hub id (owner/name) or 'mini', found nothing there; "
        "write a trio with `thinklogit compose`"
    )


def reference(model: str | Path, out: Path, role: str) -> str:
    """How a trio at `out` refers to a model: "./name" inside it, an absolute path elsewhere, a hub id as it is.

    "mini/guider" is that member of the trio in the package.

    Raises:
        TrioError: a path with no folder.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir() and folder.parent == Path("mini") and (MINI / folder.name / CONFIG).is_file():
        folder = MINI / folder.name
    if not folder.is_dir():
        if is_hub_id(str(model)):
            return str(model)
        raise TrioError(f"the {role} should be a model folder at {model}, where there is none; check the path")
    here, there = folder.resolve(), out.resolve()
    if here == there:
        raise TrioError(f"the {role} lies at {model} itself, where the trio is to be written; name another folder")
    return f"./{here.relative_to(there).as_posix()}" if here.is_relative_to(there) else str(here)


def check_writable(out: Path, is_trio: Callable[[Path], bool], holds_members: bool) -> None:
    """Refuse a place that holds something other than a trio, or than just the members of the one to be written."""
    if out.exists() and not out.is_dir():
        raise TrioError(f"{out}: expected a folder to write the trio to, found a file; name another")
    if (out / CONFIG).is_file():
        if not is_trio(out / CONFIG):
            raise TrioError(f"{out}: holds a model that is no trio, which is not overwritten; name another folder")
    elif out.is_dir() and any(out.iterdir()) and not holds_members:
        raise TrioError(f"{out}: holds files but no trio, and is not overwritten; name a new or empty folder")


def write_folder(out: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a folder, then put it at `out`: in one step, or over what is there with config.json last."""
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.mkdir()
        write(partial)
        if not out.exists() or not any(out.iterdir()):
            partial.replace(out)
            return
        written = sorted((file.name for file in partial.iterdir()), key=lambda name: name == CONFIG)
        for name in set(TOKENIZER_FILES) - set(written):
            (out / name).unlink(missing_ok=True)
        for name in written:
            (partial / name).replace(out / name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
