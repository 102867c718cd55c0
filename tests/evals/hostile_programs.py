"""Programs that try to get out of the sandbox, to use it up, or to stay. Each begins as `MARKED` says.

REFUSED    print "refused" when everything they try fails, and what worked otherwise
STOPPED    are ended by a limit, whose name is the reason of the verdict
"""

MARKED = """\
import ctypes, os, resource, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"MARKER")
def tried(*actions):
    worked = []
    for number, action in enumerate(actions):
        try:
            action()
            worked.append(number)
        except (OSError, ValueError, RuntimeError):
            pass
    print(f"worked: {worked}" if worked else "refused")
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), name)
"""
"""The name of a process is seen from outside, so that none can be left unnoticed. `tried` tells what worked."""

REFUSED = {
    "network": "tried(lambda: socket.create_connection(('127.0.0.1', PORT)), lambda: socket.getaddrinfo('a.org', 1))",
    "socket of any kind": "tried(*(lambda f=f: socket.socket(f, socket.SOCK_DGRAM) for f in (1, 2, 10, 16, 38, 40)))",
    "host files": """
names = ('/etc/passwd', '/etc/shadow', '/etc/hostname', 'OUTSIDE/secret', '/proc/1/environ', '/proc/self/mem', '/sys')
tried(*(lambda n=n: os.stat(n) for n in names), lambda: os.listdir('/home'), lambda: os.listdir('/etc/ssl'))
""",
    "everything there is": """
allowed = {'dev', 'tmp', 'usr', 'lib', 'lib64', 'etc', 'packages', 'runner.py', PREFIX}
extra = set(os.listdir('/')) - allowed, set(os.listdir('/etc')) - {'ld.so.cache'}, os.listdir('/tmp')
print('refused' if not any(extra) else extra)
""",
    "environment": """
known = {'OPENBLAS_NUM_THREADS', 'PYTHONHASHSEED', 'PWD', 'LC_CTYPE'}
print(set(os.environ) - known or 'refused')
""",
    "write outside": """
names = ('OUTSIDE/new', '/new', '/dev/new', '/usr/lib/new', '/lib/new', os.__file__, '/runner.py', '/packages/new')
tried(*(lambda n=n: open(n, 'a').close() for n in names), lambda: os.mkdir('/new'), lambda: os.remove('/runner.py'))
""",
    "symlinks": """
os.symlink('OUTSIDE/secret', 'a'), os.symlink('/', 'b'), os.symlink('../../../../../etc/shadow', 'c')
tried(lambda: open('a'), lambda: open('b/etc/passwd'), lambda: open('c'), lambda: open('b/new', 'w'))
""",
    "mounts": """
tried(lambda: call('mount', b'tmpfs', b'/usr', b'tmpfs', 0, None), lambda: call('umount2', b'/tmp', 2),
      lambda: os.chroot('/tmp'), lambda: call('pivot_root' if hasattr(libc, 'pivot_root') else 'mount', b'/', b'/'))
""",
    "namespaces": "tried(*(lambda f=f: call('unshare', f) for f in (0x10000000, 0x00020000, 0x40000000, 0x20000000)))",
    "other users": "tried(lambda: os.setuid(0), lambda: os.setgid(0), lambda: os.chown('/tmp', 0, 0),\n"
    "      lambda: os.setgroups([0]), lambda: os.nice(-5))",
    "devices": """
found = sorted(os.listdir('/dev'))
if found != ['null', 'random', 'urandom', 'zero']: print(found)
tried(lambda: open('/dev/mem'), lambda: open('/dev/kmsg'), lambda: open('/dev/shm/x', 'w'), lambda: open('/dev/tty'),
      lambda: os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0)), lambda: os.mknod('/tmp/m', 0o20600, os.makedev(1, 1)))
""",
    "programs of the host": "tried(*(lambda n=n: os.execv(n, [n]) for n in ('/bin/sh', '/bin/env', '/usr/bin/bwrap')))",
    "debugging the runner": """
tried(lambda: call('ptrace', 16, 1, None, None), lambda: call('ptrace', 0x4206, 1, None, None),
      lambda: call('process_vm_readv', 1, None, 0, None, 0, 0), lambda: open('/proc/1/mem'))
""",
    "open files of the runner": "tried(*(lambda n=n: os.fstat(n) for n in range(4, 256)))",
    "killing the runner": """
for number in set(signal.valid_signals()) - {signal.SIGCHLD}:
    os.kill(1, number)
time.sleep(0.05)
print('refused')
""",
    "killing everything": "tried(lambda: os.kill(-1, signal.SIGKILL))",
    "killing the grader": "tried(lambda: os.kill(GRADER, 9), lambda: os.kill(GRADER, 0), lambda: os.killpg(GRADER, 9))",
    "raising limits": """
names = (resource.RLIMIT_AS, resource.RLIMIT_NPROC, resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE)
tried(*(lambda n=n: resource.setrlimit(n, (resource.RLIM_INFINITY,) * 2) for n in names))
""",
    "memory that no limit counts": """
tried(lambda: call('shmget', 0, 1 << 20, 0o1666), lambda: call('msgget', 0, 0o1666),
      lambda: call('semget', 0, 9, 0o1666), lambda: os.memfd_create('x'), lambda: call('syscall', 447, 0))
""",
    "kernel surface": "tried(*(lambda n=n: call('syscall', n, 0, 0, 0, 0, 0) for n in (425, 428, 430)))",
    "filling the disk": """
def fill():
    for number in range(1000):
        with open(f'/tmp/{number}', 'wb') as file:
            file.write(bytes(1 << 20))
tried(fill, lambda: os.truncate(os.open('/tmp/large', os.O_CREAT | os.O_RDWR), 1 << 40))
""",
    "many threads": """
def start():
    for _ in range(1000):
        threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
tried(start)
""",
    "forged result": "os.write(3, b'1'); os.write(3, b'[' * 5000); os.close(3); print('refused')",
    "daemon that holds the pipes": """
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in range(1, 32):
            signal.signal(number, signal.SIG_IGN) if number not in (9, 19) else None
        time.sleep(1000)
    os._exit(0)
print('refused')
""",
}

STOPPED = {
    "endless loop": ("while True: pass", "time limit on test 1"),
    "sleep": ("time.sleep(1000)", "time limit on test 1"),
    "ignoring signals": (
        "for number in set(range(1, 32)) - {9, 19}: signal.signal(number, signal.SIG_IGN)\nwhile True: pass",
        "time limit on test 1",
    ),
    "stopping itself": ("os.kill(os.getpid(), signal.SIGSTOP)", "time limit on test 1"),
    "closing its files": ("os.closerange(0, 64)\ntime.sleep(1000)", "time limit on test 1"),
    "endless digits": ("10 ** 10 ** 10", "time limit on test 1|memory limit on test 1"),
    "fork bomb": (
        "while True:\n    try: os.fork()\n    except OSError: pass",
        "time limit on test 1|process limit on test 1",
    ),
    "bomb of forks and sessions": (
        "while True:\n    try: os.fork() or os.setsid()\n    except OSError: time.sleep(0.01)",
        "time limit on test 1|process limit on test 1",
    ),
    "3 GB": ("bytearray(3 << 30)", "memory limit on test 1"),
    "1 GB by eight": (
        "for _ in range(3): os.fork()\nb = bytearray(128 << 20)\nb[::4096] = b'x' * (len(b) // 4096)\ntime.sleep(1000)",
        "memory limit on test 1",
    ),
    "1 GB shared": (
        "import mmap\nfor _ in range(3): os.fork()\nm = mmap.mmap(-1, 128 << 20)\n"
        "for p in range(0, 128 << 20, 4096): m[p] = 1\ntime.sleep(1000)",
        "memory limit on test 1",
    ),
    "100 MB printed": ("for _ in range(100): print('x' * 1_000_000)", "output larger than 10 MB on test 1"),
    "100 MB complained": (
        "for _ in range(100): sys.stderr.write('x' * 1_000_000)\nraise KeyError('the end')",
        r"exit code 1 on test 1: KeyError: 'the end'",
    ),
    "endless complaint": ("while True: os.write(2, b'x' * 65536)", "time limit on test 1"),
    "recursion in C": (
        "from functools import lru_cache\nsys.setrecursionlimit(10 ** 9)\n"
        "f = lru_cache(None)(lambda n: f(n + 1))\nf(0)",
        "killed by SIGSEGV on test 1|memory limit on test 1|exit code 1 on test 1: Recursion.*",
    ),
    "recursion in Python": (
        "sys.setrecursionlimit(10 ** 9)\ndef f(n): return f(n + 1) + 1\nf(0)",
        "killed by SIGSEGV on test 1|memory limit on test 1|time limit on test 1|exit code 1 on test 1: Recursion.*",
    ),
    "leaving at once": ("os._exit(3)", "exit code 3 on test 1"),
    "killing itself": ("os.kill(os.getpid(), 9)", "killed by SIGKILL on test 1"),
    "no such name": ("print(undefined)", "exit code 1 on test 1: NameError: name 'undefined' is not defined"),
    "parentheses": (
        "exec('(' * 10 ** 6)",
        "exit code 1 on test 1: .*|memory limit on test 1|killed by SIGSEGV on test 1",
    ),
}
