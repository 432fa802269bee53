"""`python -I -S landlock_launcher.py [-l PATH | -r PATH | -w PATH]... [--no-network] -- COMMAND...`

Gives up, for good and for all that it starts, every access to files that isn't named (-l list folders, -r read and
run, too, -w write, too), signals and abstract sockets outside, capabilities, and with --no-network every socket but
unix ones; then becomes the command. Stands alone, and imports little: it is run anew each time.

https://docs.kernel.org/userspace-api/landlock.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import sys

OLDEST_ABI = 3
"""The first under which a file that may only be read can't be emptied (Linux 6.2)."""
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_RULE_PATH_BENEATH = 1
_CREATE_RULESET_VERSION = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = (1 << n for n in range(4))
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_UP_TO_TRUNCATE = (1 << 15) - 1
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 0b11
_NETWORK_ABI, _IOCTL_DEV_ABI, SCOPES_ABI = 4, 5, 6

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_PR_CAPBSET_DROP, _CAPABILITY_VERSION_3 = 24, 0x20080522
_ARCHITECTURES = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""How seccomp names them, and the number of socket(2)."""
_IO_URING_SETUP = 425
_X32 = 0x40000000

libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """The kernel's version of Landlock; 0: it has none, or it is turned off."""
    return max(int(libc.syscall(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)), 0)


def restrict(version: int, rules: list[tuple[str, str]]) -> None:
    """Give up what isn't named. Raises OSError."""
    handled = _UP_TO_TRUNCATE
    handled |= _IOCTL_DEV if version >= _IOCTL_DEV_ABI else 0
    scoped = _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if version >= SCOPES_ABI else 0
    attributes = struct.pack("QQQ", handled, 0, scoped)
    size = 24 if version >= SCOPES_ABI else 16 if version >= _NETWORK_ABI else 8
    ruleset = _call(_CREATE_RULESET, attributes, size, 0)
    allowed = {"-l": _READ_DIR, "-r": _READ, "-w": handled}
    for kind, path in rules:
        _allow(ruleset, path, allowed[kind])
    _call(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def _allow(ruleset: int, path: str, access: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what isn't there needs no access
    if not stat.S_ISDIR(os.fstat(place).st_mode):
        access &= _OF_FILES
    if access:
        _call(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, struct.pack("=Qi", access, place), 0)
    os.close(place)


def no_capabilities() -> None:
    """Give up what root may: with CAP_PERFMON, for one, the environments of all processes can be read."""
    number = 0
    while libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) == 0:
        number += 1
    header, nothing = struct.pack("Ii", _CAPABILITY_VERSION_3, 0), struct.pack("6I", *[0] * 6)
    if libc.capset(header, nothing):
        raise OSError(ctypes.get_errno(), "capabilities")


def no_network() -> None:
    """Refuse every socket that isn't a unix one. Raises OSError."""
    number_of_architecture, socket = _ARCHITECTURES[os.uname().machine]
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EACCES
    load, equal, at_least, give = 0x20, 0x15, 0x35, 0x06
    filters = [
        (load, 0, 0, 4),  # the architecture
        (equal, 1, 0, number_of_architecture),
        (give, 0, 0, refuse),
        (load, 0, 0, 0),  # the system call
        (at_least, 5, 0, _X32),
        (equal, 4, 0, _IO_URING_SETUP),  # which opens sockets, too
        (equal, 0, 2, socket),
        (load, 0, 0, 16),  # its first argument: the family
        (equal, 0, 1, 1),  # AF_UNIX
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in filters))
    program = struct.pack("HxxxxxxP", len(filters), ctypes.addressof(code))
    if libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0):
        raise OSError(ctypes.get_errno(), "seccomp")


def _call(number: int, *arguments: object) -> int:
    given = int(libc.syscall(number, *arguments))
    if given < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return given


def main(arguments: list[str]) -> None:
    """Restrict this process, and become the command."""
    end = arguments.index("--")
    options, command = arguments[:end], arguments[end + 1 :]
    networked = "--no-network" not in options
    named = [option for option in options if option != "--no-network"]
    no_capabilities()
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no new privileges")
    restrict(abi(), list(zip(named[::2], named[1::2], strict=True)))
    if not networked:
        no_network()
    try:
        os.execvp(command[0], command)
    except OSError as error:
        print(f"{command[0]}: {error.strerror}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
