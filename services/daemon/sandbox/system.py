"""What of the machine itself every program may read: the system's folders, and the toolchains beside them."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

SYSTEM = tuple(
    Path(p) for p in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt", "/nix", "/gnu")
)
_ETC = (
    "alternatives",
    "bash.bashrc",
    "bash_completion.d",
    "ca-certificates",
    "ca-certificates.conf",
    "crypto-policies",
    "debian_version",
    "default/locale",
    "fonts",
    "gai.conf",
    "group",
    "host.conf",
    "hostname",
    "hosts",
    "inputrc",
    "java-17-openjdk",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "locale.alias",
    "locale.conf",
    "localtime",
    "magic",
    "magic.mime",
    "mailcap",
    "manpath.config",
    "maven",
    "mime.types",
    "netconfig",
    "networks",
    "nsswitch.conf",
    "os-release",
    "passwd",
    "perl",
    "pip.conf",
    "pki/ca-trust",
    "pki/java",
    "pki/tls/cert.pem",
    "pki/tls/certs",
    "pki/tls/openssl.cnf",
    "npmrc",
    "profile",
    "profile.d",
    "protocols",
    "python3",
    "python3.11",
    "resolv.conf",
    "rpc",
    "services",
    "shells",
    "ssh/ssh_config",
    "ssh/ssh_config.d",
    "ssh/ssh_known_hosts",
    "ssl/ca-bundle.pem",
    "ssl/cert.pem",
    "ssl/certs",
    "ssl/openssl.cnf",
    "static",
    "terminfo",
    "timezone",
    "wgetrc",
    "xattr.conf",
    "xdg",
    "xml",
)
"""Named one by one: what else lies in /etc (passwords, host keys, private keys, network secrets) is for root alone,
and root's own agents would be root there, too."""
_MANAGERS = {
    "ASDF_DATA_DIR": ".asdf",
    "MISE_DATA_DIR": ".local/share/mise",
    "NVM_DIR": ".nvm",
    "PYENV_ROOT": ".pyenv",
    "RBENV_ROOT": ".rbenv",
    "RUSTUP_HOME": ".rustup",
    "SDKMAN_DIR": ".sdkman",
    "VOLTA_HOME": ".volta",
}
"""Each with where it is, below HOME, when its variable doesn't say."""
CODE = Path(__file__).parents[3]
"""Where makima's own packages lie, beside what is none of an agent's."""
_PACKAGES = ("cli", "services", "shared")


def etc() -> tuple[Path, ...]:
    """What programs read of /etc, and is there."""
    return tuple(path for name in _ETC if (path := Path("/etc", name)).exists())


def toolchains(environment: Mapping[str, str], never: Iterable[Path]) -> tuple[Path, ...]:
    """makima's own interpreter and command, and the programs on PATH that lie outside the system's folders.

    Of a PATH folder with a `lib` beside it the whole prefix; never a folder that holds one of `never` (a home).
    """
    own = (*(CODE / package for package in _PACKAGES), Path(sys.prefix), Path(sys.base_prefix))
    forbidden = [path.resolve() for path in never]
    found: dict[Path, None] = dict.fromkeys(own)
    for part in environment.get("PATH", "").split(os.pathsep):
        folder = Path(part)
        if not folder.is_absolute() or not folder.is_dir():
            continue
        for candidate in _prefixes(folder):
            if not any(other.is_relative_to(candidate.resolve()) for other in forbidden):
                found[candidate] = None
                break
    return tuple(path for path in found if not beneath(path, SYSTEM))


def managers(environment: Mapping[str, str], home: Path) -> dict[str, Path]:
    """The folders of those that switch between versions of toolchains, by the variable that says where each is."""
    found = {name: Path(environment.get(name) or home / default) for name, default in _MANAGERS.items()}
    return {name: folder for name, folder in found.items() if folder.is_dir() and not home.is_relative_to(folder)}


def of_programs(argv: Iterable[str], environment: Mapping[str, str], never: Iterable[Path]) -> tuple[Path, ...]:
    """What it takes to run the program that a command names, and the files that it names by a whole path."""
    forbidden = [path.resolve() for path in never]
    found: dict[Path, None] = {}
    for number, part in enumerate(argv):
        named = _which(part, environment) if number == 0 else Path(part)
        if named is None or not named.is_absolute() or not named.exists():
            continue
        for path in (named, *_package(named.resolve())):
            if not any(other.is_relative_to(path.resolve()) for other in forbidden):
                found[path] = None
    return tuple(path for path in found if not beneath(path, SYSTEM))


def beneath(path: Path, folders: Iterable[Path]) -> bool:
    """Whether a path lies in one of these folders, or is one."""
    return any(path.is_relative_to(folder) for folder in folders)


def _prefixes(folder: Path) -> tuple[Path, ...]:
    if folder.name in ("bin", "sbin", "shims") and (folder.parent / "lib").is_dir():
        return (folder.parent, folder)
    if folder.name == "shims":  # of pyenv and its like: programs that look for the versions beside them
        return (folder.parent, folder)
    return (folder,)


def _which(name: str, environment: Mapping[str, str]) -> Path | None:
    found = shutil.which(name, path=environment.get("PATH"))
    return Path(found).absolute() if found else None


def _package(program: Path) -> tuple[Path, ...]:
    """What a program brings along: its npm packages, else the folder that it lies in."""
    if "node_modules" in program.parts:
        return (Path(*program.parts[: program.parts.index("node_modules") + 1]),)
    return (program.parent,) if os.access(program, os.X_OK) else ()
