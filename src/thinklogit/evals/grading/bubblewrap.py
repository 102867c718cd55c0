"""The command line that puts our Python, and nothing else of this machine, into a bubblewrap sandbox.

    namespaces   own users, processes, network (none), mounts, IPC, host name, cgroups; no capability; no new namespaces
    files        read-only: this interpreter, its library, shared libraries, numpy if installed; /tmp in memory, small
    devices      null, zero, random, urandom; no /proc

Root starts it as nobody, because the kernel exempts root from the limit on processes. What nobody may not reach (an
interpreter under /root) is first shown under /tmp, in a mount namespace that only the sandbox sees.
"""

import os
import platform
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from thinklogit.core.errors import SandboxError

RUNNER = Path(__file__).with_name("sandboxed_program.py")
PACKAGES = "/packages"
ENVIRONMENT = {"PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"}
"""All that a program sees: the order of sets is the same each time it is graded, numpy starts no threads."""
NOBODY = "65534"
OR_UNSAFE = "or pass --unsafe-local-exec to run programs without a sandbox"


class Shown(NamedTuple):
    """A path of this machine, and where the sandbox shows it."""

    source: str
    place: str


def python_command() -> list[str]:
    """This interpreter, outside of any virtual environment, blind to site packages and the folder it runs in."""
    base = getattr(sys, "_base_executable", sys.executable)
    return [str(Path(base).resolve()), "-P", "-s", "-S", "-B", "-X", "utf8"]


def shown_paths() -> list[Shown]:
    """All that the sandbox shows of this machine."""
    libraries = [Path(sys.base_prefix, "lib"), Path(sys.base_prefix, "lib64")]
    system = map(Path, ("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc/ld.so.cache"))
    same_place = [Path(python_command()[0]), *(path for path in [*libraries, *system] if path.exists())]
    return [Shown(str(path), str(path)) for path in dict.fromkeys(same_place)] + _numpy()


def _numpy() -> list[Shown]:
    """Programs of LiveCodeBench use it: 8 of 483 real ones."""
    spec = find_spec("numpy")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    beside = [package, package.with_name("numpy.libs")]
    return [Shown(str(path), f"{PACKAGES}/{path.name}") for path in beside if path.exists()]


def sandbox_command(disk_bytes: int, runner: int, syscall_filter: int) -> list[str]:
    """The command that runs our runner in the sandbox; the runner's source and the filter come as file descriptors.

    Raises SandboxError where bubblewrap is not installed.
    """
    bwrap = _installed("bwrap", "bubblewrap")
    shown = shown_paths()
    if os.geteuid() != 0:
        return _inner(bwrap, shown, disk_bytes, runner, syscall_filter)
    staged = [Shown(path.source, f"/tmp/{number}") for number, path in enumerate(shown)]
    shown = [Shown(stage.place, path.place) for stage, path in zip(staged, shown, strict=True)]
    as_nobody = [_installed("setpriv", "util-linux"), "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "--"]
    outer = [bwrap, "--die-with-parent", "--dev-bind", "/", "/", "--tmpfs", "/tmp", *_binds(staged), "--"]
    return [*outer, *as_nobody, *_inner(bwrap, shown, disk_bytes, runner, syscall_filter)]


def _inner(bwrap: str, shown: list[Shown], disk_bytes: int, runner: int, syscall_filter: int) -> list[str]:
    devices = [Shown(f"/dev/{name}", f"/dev/{name}") for name in ("null", "zero", "random", "urandom")]
    return [
        *(bwrap, "--unshare-all", "--unshare-user", "--uid", NOBODY, "--gid", NOBODY, "--hostname", "sandbox"),
        *("--cap-drop", "ALL", "--disable-userns", "--new-session", "--die-with-parent", "--as-pid-1"),
        *("--clearenv", *(word for name, value in ENVIRONMENT.items() for word in ("--setenv", name, value))),
        *_binds(shown),
        *_binds(devices, "--dev-bind"),
        *("--ro-bind-data", str(runner), "/runner.py", "--size", str(disk_bytes), "--tmpfs", "/tmp"),
        *("--remount-ro", "/", "--chdir", "/tmp", "--seccomp", str(syscall_filter), "--"),
        *(*python_command(), "/runner.py"),
    ]


def _binds(shown: list[Shown], how: str = "--ro-bind") -> list[str]:
    return [word for path in shown for word in (how, path.source, path.place)]


def _installed(program: str, package: str) -> str:
    if sys.platform != "linux":
        raise SandboxError(f"the sandbox needs Linux, this is {platform.system()}; grade on Linux, {OR_UNSAFE}")
    found = shutil.which(program)
    if found is None:
        raise SandboxError(f"the sandbox needs {program}, it is not installed: apt-get install {package}, {OR_UNSAFE}")
    return found


def start_failure(complaint: str) -> SandboxError:
    """Why the sandbox did not start, read from what bubblewrap said."""
    said = complaint.strip().splitlines()[-1] if complaint.strip() else "no word"
    if "Unknown option" in said:
        cure = "the sandbox needs bubblewrap 0.8 or newer"
    elif "ermi" in said:  # "Operation not permitted", "Permission denied", "No permissions to create new namespace"
        cure = (
            "user namespaces are off: allow them (sysctl user.max_user_namespaces=10000, "
            "kernel.apparmor_restrict_unprivileged_userns=0 where it exists; in a container, its security profile)"
        )
    else:
        cure = "mend that"
    return SandboxError(f"the sandbox did not start ({said}); {cure}, {OR_UNSAFE}")
