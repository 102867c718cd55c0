"""The system calls that a sandboxed program is refused, as a seccomp filter that bubblewrap loads.

Refused are sockets (AF_VSOCK knows no network namespace), memory that no resource limit counts (System V objects,
memfd), and calls that programs of a contest never need while kernels have had holes there.
"""

import platform
import struct
from collections.abc import Mapping
from typing import NamedTuple

from thinklogit.core.errors import SandboxError


class Machine(NamedTuple):
    """How one processor architecture numbers its system calls."""

    audit_arch: int
    refused: Mapping[str, int]


# Numbers: arch/x86/entry/syscalls/syscall_64.tbl and include/uapi/asm-generic/unistd.h of Linux.
_ANYWHERE = {
    "io_uring_setup": 425,
    "open_tree": 428,
    "fsopen": 430,
    "memfd_secret": 447,
}
MACHINES = {
    "x86_64": Machine(
        0xC000003E,
        _ANYWHERE
        | {
            "shmget": 29,
            "socket": 41,
            "semget": 64,
            "msgget": 68,
            "ptrace": 101,
            "mount": 165,
            "mq_open": 240,
            "add_key": 248,
            "request_key": 249,
            "keyctl": 250,
            "unshare": 272,
            "perf_event_open": 298,
            "setns": 308,
            "process_vm_readv": 310,
            "process_vm_writev": 311,
            "memfd_create": 319,
            "bpf": 321,
            "userfaultfd": 323,
        },
    ),
    "aarch64": Machine(
        0xC00000B7,
        _ANYWHERE
        | {
            "mount": 40,
            "unshare": 97,
            "ptrace": 117,
            "mq_open": 180,
            "msgget": 186,
            "semget": 190,
            "shmget": 194,
            "socket": 198,
            "add_key": 217,
            "request_key": 218,
            "keyctl": 219,
            "perf_event_open": 241,
            "setns": 268,
            "process_vm_readv": 270,
            "process_vm_writev": 271,
            "memfd_create": 279,
            "bpf": 280,
            "userfaultfd": 282,
        },
    ),
}

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCH_AT = 0, 4  # offsets in struct seccomp_data
_KILL, _REFUSE, _ALLOW = 0x80000000, 0x00050000 | 1, 0x7FFF0000  # 1 is EPERM
_X32 = 0x40000000  # x86's second set of numbers for the same calls


def seccomp_filter() -> bytes:
    """The filter for this machine as `struct sock_filter[]`. Raises SandboxError where the numbers are not known."""
    machine = MACHINES.get(platform.machine())
    if machine is None:
        raise SandboxError(
            f"the sandbox knows the system calls of {' and '.join(MACHINES)}, this machine is {platform.machine()}; "
            "grade on one of those, or pass --unsafe-local-exec"
        )
    numbers = sorted(machine.refused.values())
    to_refuse = len(numbers) + 1  # steps from the first comparison to the line that refuses
    lines = [
        (_LOAD, 0, 0, _ARCH_AT),
        (_IF_EQUAL, 1, 0, machine.audit_arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_IF_AT_LEAST, to_refuse, 0, _X32),
        *((_IF_EQUAL, to_refuse - 1 - place, 0, number) for place, number in enumerate(numbers)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *line) for line in lines)
