"""Make mutants in a worktree of their own, run the nearest tests against each, and say which survive.

`--sample 40` takes so many at random (`--seed` says which); words choose files by a part of their path. The nearest
tests of a rule are the unit tests that import it; of a service's statements, its contract tests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tools.mutants import sql
from tools.mutants.mutant import Mutant, mutant

ROOT = Path(__file__).parents[2]
MUTATOR = ROOT / ".venv" / "mutants" / "bin" / "python"
WHERE = ("shared/domain/*.py", "services/*/decisions.py", "services/*/queries.sql", "services/*/rows/*.sql")
MANY = 6
LONGEST_TEST_SECONDS = 1800.0
TIMES_AS_LONG = 4
"""A mutant whose tests take so many times as long as without it hangs, which is noticed, too."""


def main() -> int:
    """Report survivors; 1 when the nearest tests fail without any mutant."""
    parser = argparse.ArgumentParser(prog="just mutants")
    parser.add_argument("words", nargs="*", metavar="WORD", help="only files with one of these in their path")
    parser.add_argument("--sample", type=int, help="so many mutants at random (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="which sample (default: 1)")
    arguments = parser.parse_args()
    paths = [p for p in _paths() if not arguments.words or any(word in p for word in arguments.words)]
    found = [each for path in paths for each in _mutants(path)]
    if arguments.sample is not None and arguments.sample < len(found):
        found = random.Random(arguments.seed).sample(found, arguments.sample)
    with _worktree() as tree:
        limits: dict[str, float] = {}
        for path in sorted({each.path for each in found}):
            began = time.monotonic()
            if not _passes(tree, nearest(tree, path), LONGEST_TEST_SECONDS):
                print(f"mutants: {path}: its tests fail as it is", file=sys.stderr)
                return 1
            limits[path] = TIMES_AS_LONG * (time.monotonic() - began)
        survivors = []
        for at, each in enumerate(found):
            if _survives(tree, each, limits[each.path], f"{at + 1} of {len(found)}"):
                survivors.append(each)
    print(f"\n{len(found)} mutants in {len(paths)} files, {len(survivors)} survive:")
    for each in survivors:
        print(f"  {each}")
    return 0


def nearest(tree: Path, path: str) -> list[str]:
    """The tests of a file, by their paths: those that import it, or of many the one of its name."""
    if path.endswith(".sql"):
        return [f"tests/contract/{Path(path).parts[1]}"]
    module = path.removesuffix(".py").replace("/", ".")
    package, _, name = module.rpartition(".")
    imports = (f"from {module} import", f"import {module}", f"from {package} import {name}")
    tests = sorted((tree / "tests" / "unit").glob("test_*.py"))
    found = [str(t.relative_to(tree)) for t in tests if any(one in t.read_text(encoding="utf-8") for one in imports)]
    own = f"tests/unit/test_{name}.py"
    return [own] if len(found) > MANY and own in found else found or ["tests/unit"]


def _paths() -> list[str]:
    files = sorted(file for pattern in WHERE for file in ROOT.glob(pattern))
    return [str(file.relative_to(ROOT)) for file in files if file.name != "__init__.py"]


def _mutants(path: str) -> list[Mutant]:
    original = (ROOT / path).read_text(encoding="utf-8")
    if path.endswith(".sql"):
        changed = list(sql.mutants(original))
    else:
        script = ROOT / "tools" / "mutants" / "python.py"
        done = subprocess.run((MUTATOR, script, ROOT / path), capture_output=True, text=True, check=True)
        changed = json.loads(done.stdout)
    made = (mutant(path, operator, original, text) for operator, text in changed)
    return [each for each in made if each is not None and not each.before.startswith("class ")]


def _survives(tree: Path, each: Mutant, seconds: float, place: str) -> bool:
    file = tree / each.path
    original = file.read_text(encoding="utf-8")
    file.write_text(each.text, encoding="utf-8")
    began = time.monotonic()
    try:
        survives = _passes(tree, nearest(tree, each.path), seconds)
    finally:
        file.write_text(original, encoding="utf-8")
    verdict = "SURVIVES" if survives else "killed"
    print(f"{place} {verdict} {time.monotonic() - began:.0f} s {each}", flush=True)
    return survives


def _passes(tree: Path, tests: Sequence[str], seconds: float) -> bool:
    argv = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests)
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(argv, cwd=tree, env=environment, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


@contextmanager
def _worktree() -> Iterator[Path]:
    """The last commit's tree, so that nothing here ever touches this one."""
    with tempfile.TemporaryDirectory(prefix="makima-mutants-") as folder:
        tree = Path(folder) / "tree"
        subprocess.run(("git", "worktree", "add", "--quiet", "--detach", tree, "HEAD"), cwd=ROOT, check=True)
        try:
            yield tree
        finally:
            subprocess.run(("git", "worktree", "remove", "--force", tree), cwd=ROOT, check=True)


if __name__ == "__main__":
    sys.exit(main())
