"""`thinklogit merge`: the adapters of a trio's members become part of their weights. Knows no weights."""

from pathlib import Path
from shlex import quote
from typing import Annotated

from cyclopts import Parameter


def merge(*, trio: str, output: Annotated[Path, Parameter(name=["--output", "-o"])]) -> None:
    """Write a trio without adapters: each member that wore one becomes a plain checkpoint in the folder.

    Such a checkpoint is a model like any other, for vLLM's draft model, for quantizing, for programs that know no PEFT.
    The other members are referred to where they are. Decoding with transformers needs none of this.

    Args:
        trio: A trio folder or hub id; `thinklogit compose --guider-adapter` makes one of a model and its adapter.
        output: The folder to write: new or empty.
    """
    from thinklogit.cli.options import quiet

    with quiet(f"merging the adapters of {trio}"):
        from thinklogit.models import merging

        made = merging.merge(trio, output)
    for role, folder in made.checkpoints.items():
        print(f"wrote the {role}, its adapter merged: {folder}")
    place = quote(str(made.folder))
    print(f"wrote the trio {place}, which refers to it; see `thinklogit doctor --trio {place}`")
