"""Do these members go together? Examines a trio without loading a weight.

Knows in which order to ask; `token_checks`, `weight_checks` and `adapter_checks` know the questions.
"""

from pathlib import Path

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.doctor import adapter_checks, token_checks, weight_checks
from thinklogit.models.doctor.findings import Finding
from thinklogit.models.loading import read_config
from thinklogit.models.members import Member, hub_options, read_readable
from thinklogit.models.places import find_trio

TOKEN_CHECKS = (
    token_checks.check_tokenizers,
    token_checks.check_rows,
    token_checks.check_ends,
    token_checks.check_beginnings,
    token_checks.check_templates,
    token_checks.check_caps,
    token_checks.check_context,
)


def examine(trio: ThinkLogitConfig | str | Path, *, batch: int = 1, compare_weights: bool = True) -> list[Finding]:
    """Everything worth knowing before a trio is loaded.

    Args:
        trio: "mini", a trio folder, a hub id, or a config whose members are given by path or hub id.
        batch: rows decoded together, for the memory of keys and values.
        compare_weights: read guider and base from disk, slice by slice, to see how far they lie apart.

    Raises:
        OptionError: a batch below 1.
        TrioError: no trio there. A member that cannot be read is a finding.
    """
    if batch < 1:
        raise OptionError(f"batch must be at least 1 row; got {batch}")
    if isinstance(trio, ThinkLogitConfig):
        root, config = trio.name_or_path or ".", trio
    else:
        root = find_trio(trio)
        config = read_config(root, **hub_options([root]))
    members, errors = read_readable(config.member_refs, root)
    if errors:
        return [Finding("error", "members", message, {"member": name}) for name, message in errors.items()]
    return examine_members(config, members, batch=batch, compare_weights=compare_weights)


def examine_members(
    config: ThinkLogitConfig, members: dict[str, Member], *, batch: int = 1, compare_weights: bool = True
) -> list[Finding]:
    """`examine`, for members already read."""
    try:
        sizes = {name: weight_checks.sizes_of(member) for name, member in members.items()}
    except TrioError as error:
        return [Finding("error", "members", str(error))]
    adapters = adapter_checks.read_adapters(members)
    return [
        *weight_checks.check_members(config, members, sizes),
        *(finding for check in TOKEN_CHECKS for finding in check(config, members)),
        *weight_checks.check_ancestry(config, members, sizes, compare_weights),
        *adapter_checks.check_adapters(config, members, adapters),
        *weight_checks.check_memory(members, adapter_checks.held_bytes(config, members, sizes, adapters), batch),
        *weight_checks.check_cost(config, members, sizes),
    ]
