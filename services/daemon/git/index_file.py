"""The daemon's own index files, read and fixed without git: which attributes a commit has, and how its files look.

https://git-scm.com/docs/index-format
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

ATTRIBUTES = ".gitattributes"
_STAT = struct.Struct(">10I")
"""Change and modification time, device, inode, mode, owner, group, size: how an entry begins."""
_MODE_AT = 24
_FILES = frozenset({0o100644, 0o100755})
_EXTENDED, _STAGE, _LENGTH = 0x4000, 0x3000, 0x0FFF
_SHA1_CHARACTERS = 40


def attributes_of(index: Path, characters: int = _SHA1_CHARACTERS) -> dict[str, str]:
    """The attribute files of an index, each with its blob. `letters`: of an object's name. Raises OSError."""
    data, wanted = index.read_bytes(), ATTRIBUTES.encode() + b"\0"
    found, at = {}, data.find(wanted)
    while at >= 0:
        if (entry := _path_ending(data, at, at + len(ATTRIBUTES), characters // 2)) is not None:
            path, blob = entry
            found[path] = blob
        at = data.find(wanted, at + 1)
    return found


def _path_ending(data: bytes, name: int, end: int, hash_bytes: int) -> tuple[str, str] | None:
    """The path and the blob of the entry whose path ends with the name that was found; None: that is no entry."""
    for start in (name, *range(name - 2, max(name - _LENGTH, 12), -1)):
        if start != name and data[name - 1] != ord("/"):
            return None
        for more in (0, 2):  # flags
            (flags,) = struct.unpack_from(">H", data, start - more - 2)
            begin = start - more - 2 - hash_bytes - _STAT.size
            fits = bool(flags & _EXTENDED) == bool(more) and flags & _LENGTH == min(end - start, _LENGTH)
            if begin < 12 or not fits:
                continue
            (mode,) = struct.unpack_from(">I", data, begin + _MODE_AT)
            if mode in _FILES:
                blob = data[begin + _STAT.size : begin + _STAT.size + hash_bytes].hex()
                return data[start:end].decode(errors="surrogateescape"), blob
    return None


def settle(index: Path, folder: Path, files: Mapping[str, str], characters: int = _SHA1_CHARACTERS) -> None:
    """Have an index say of a folder's files, each of a blob, that they are that as they look now. Raises OSError.

    Of those that are as young as the index, git will all the same look at the content.
    """
    data = bytearray(index.read_bytes())
    wanted = {os.fsencode(path): bytes.fromhex(blob) for path, blob in files.items()}
    for at, path in _entries(data, characters // 2):
        if wanted.get(path) == bytes(data[at + _STAT.size : at + _STAT.size + characters // 2]):
            _look(data, at, folder / os.fsdecode(path))
    hashed = hashlib.sha1(usedforsecurity=False) if characters == _SHA1_CHARACTERS else hashlib.sha256()
    hashed.update(data[: -hashed.digest_size])
    data[-hashed.digest_size :] = hashed.digest()
    draft = index.with_name(f"{index.name}.settled")
    draft.write_bytes(data)
    draft.replace(index)


def _entries(data: bytearray, hash_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Where each entry begins that is in no conflict, and its path. Raises OSError for an index of another format."""
    signature, version, count = struct.unpack_from(">4sII", data)
    if signature != b"DIRC" or version not in (2, 3):
        raise OSError(f"an index of version {version} can't be read")
    at = 12
    for _ in range(count):
        head = at + _STAT.size + hash_bytes + 2
        (flags,) = struct.unpack_from(">H", data, head - 2)
        head += 2 if flags & _EXTENDED else 0
        end = data.index(0, head)
        if not flags & _STAGE:
            yield at, bytes(data[head:end])
        at += (end - at + 8) & ~7


def _look(data: bytearray, at: int, path: Path) -> None:
    """Note how a file looks."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return
    times = (found.st_ctime_ns, found.st_mtime_ns)
    seconds = [part & 0xFFFFFFFF for time in times for part in divmod(time, 10**9)]
    mode = struct.unpack_from(">I", data, at + _MODE_AT)
    about = (found.st_dev, found.st_ino, *mode, found.st_uid, found.st_gid, found.st_size)
    _STAT.pack_into(data, at, *seconds, *(number & 0xFFFFFFFF for number in about))
