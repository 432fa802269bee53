"""An agent for tests, run by the kind `command`: it resolves conflicts by keeping both sides, and then runs its script.

Its prompt is its standard input. What it runs is the last fenced `sh` block in there.
"""

import re
import subprocess
import sys
from pathlib import Path

MARKERS = re.compile(r"^(<<<<<<<|=======|>>>>>>>).*\n", re.MULTILINE)


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=fixer", "-c", "user.email=fixer@localhost")
    done = subprocess.run(("git", *identity, *arguments), check=True, capture_output=True, text=True)
    return done.stdout


def main() -> int:
    prompt = sys.stdin.read()
    if files := git("diff", "--name-only", "--diff-filter=U").splitlines():
        for file in files:
            path = Path(file)
            path.write_text(MARKERS.sub("", path.read_text()))
        git("add", *files)
        git("commit", "--quiet", "--no-edit")
        print("kept both sides of", *files)
    blocks = re.findall(r"^```sh\n(.*?)^```$", prompt, re.MULTILINE | re.DOTALL)
    return subprocess.run(("bash", "-eu", "-c", blocks[-1]), check=False).returncode if blocks else 0


if __name__ == "__main__":
    sys.exit(main())
