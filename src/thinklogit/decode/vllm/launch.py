"""vLLM's own OpenAI-compatible server on a trio: its parser, its flags, its server. Adds what the trio's files say."""

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from thinklogit.core.errors import OptionError
from thinklogit.models.config import ThinkLogitConfig
from thinklogit.models.doctor.findings import listed
from thinklogit.models.loading import locate, read_config
from thinklogit.models.members import role_of
from thinklogit.models.places import find_trio

USAGE = "thinklogit serve --trio TRIO [flags of vllm serve]"
DRAIN_S = 60
"""Seconds that answers under way may take after a SIGTERM; vLLM's own default is to drop them."""
OF_MINI = {"enforce_eager": True, "kv_cache_memory_bytes": 1 << 30}
"""For a trio of 7 MB: compiling takes longer than anything it is asked, and vLLM would take all of the memory."""


def launch(trio: str, guidance: Mapping[str, Any], drafts: int, flags: Sequence[str]) -> None:
    """Serve until told to stop.

    Args:
        trio: a folder, a hub id, or "mini".
        guidance: what requests are guided by that say nothing: alpha, warmup_tokens, schedule; others are the trio's.
        drafts: tokens that the guider drafts at a time; 0 for no speculation.
        flags: vLLM's, as on its own command line.
    """
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # as vLLM's own command does
    from vllm.entrypoints.cli.serve import ServeSubcommand
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    root = find_trio(trio)
    config = read_config(root)
    given_settings = settings(trio, root, config, guidance, drafts)
    if told := merged_adapters(config):
        print(f"thinklogit: {told}", file=sys.stderr, flush=True)
    parser = make_arg_parser(FlexibleArgumentParser(prog="thinklogit serve", usage=USAGE))
    arguments = parser.parse_args([root, *flags])
    for name, value in given_settings.items():
        given = getattr(arguments, name)
        if name == "additional_config":
            setattr(arguments, name, _with(given, value))
        elif given == parser.get_default(name):
            setattr(arguments, name, value)
        elif name == "speculative_config":
            raise OptionError("--speculate and --speculative-config say the same; leave one out")
    server = ServeSubcommand()
    server.validate(arguments)
    server.cmd(arguments)


def settings(
    trio: str, root: str, config: ThinkLogitConfig, guidance: Mapping[str, Any], drafts: int
) -> dict[str, Any]:
    """What vLLM's flags say of this trio where the user's do not."""
    found: dict[str, Any] = {"served_model_name": [trio], "shutdown_timeout": DRAIN_S} | own_settings(trio, config)
    if guidance:
        found["additional_config"] = {"thinklogit": dict(guidance)}
    if drafts:
        found["speculative_config"] = drafter(config, root, drafts)
    return found


def own_settings(trio: str, config: ThinkLogitConfig) -> dict[str, Any]:
    """What any engine of vLLM's is told of a trio."""
    dtype = config.target_ref.dtype
    return ({"dtype": dtype} if dtype else {}) | (OF_MINI if trio == "mini" else {})


def merged_adapters(config: ThinkLogitConfig) -> str | None:
    """One line, where members wear adapters."""
    refs = config.member_refs
    wearers = [role_of(name, refs) for name, ref in refs.items() if ref.adapter is not None]
    if not wearers:
        return None
    which = f"the adapter of the {wearers[0]} is" if len(wearers) == 1 else f"the adapters of {listed(wearers)} are"
    return f"{which} merged while it is loaded: inside vLLM no member shares the weights of another"


def drafter(config: ThinkLogitConfig, root: str, drafts: int) -> dict[str, Any]:
    """VLLM's name for the first guider as its draft model."""
    guider = config.guider_refs[0].guider
    if guider.adapter is not None:
        raise OptionError(
            "the guider wears an adapter, without which vLLM would let it draft; "
            "`thinklogit merge --trio TRIO -o DIR`, and let the guider of that trio draft"
        )
    place, where = locate(guider, root)
    if where.get("subfolder"):
        raise OptionError(f"the guider lies inside the hub repository {root}, where vLLM takes no draft model from")
    return {"method": "draft_model", "model": place, "num_speculative_tokens": drafts, **where}


def _with(given: Mapping[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """The user's own `--additional-config`, with our part in it."""
    if given.keys() & value.keys():
        raise OptionError("--alpha, --warmup-tokens and --schedule are given in --additional-config too; leave one out")
    return {**given, **value}
