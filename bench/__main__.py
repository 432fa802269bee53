"""`python -m bench [NAME...]`: run the workloads, print a table, write the results."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from bench import against, beside, figures, report
from bench.cluster import BenchFailed
from bench.figures import Result
from bench.workloads import workloads


def main() -> int:
    """Run what was named, or all; 1 when one could not be run. A missed goal is shown, and no failure."""
    known = workloads()
    parser = argparse.ArgumentParser(prog="just bench")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--scale", type=float, default=1.0, help="a part of the real size, to see that it works")
    parser.add_argument("--write-docs", action="store_true", help="put the results into docs/benchmarks.md")
    parser.add_argument("--peers", action="store_true", help="W1 to W4 beside other systems, in turns")
    parser.add_argument("--rounds", type=int, default=3, help="how many turns each has in either case (default: 3)")
    parser.add_argument("--against", metavar="COMMIT", help="this tree beside another commit's, in turns: ratios")
    parser.add_argument(
        "--results", type=Path, help="the folder for the figures (default: bench/results, at full size)"
    )
    arguments = parser.parse_args()
    names = [name.upper() for name in arguments.names] or list(known)
    if unknown := [name for name in names if name not in known]:
        print(f"bench: no workload {', '.join(unknown)}; there are {', '.join(known)}", file=sys.stderr)
        return 2
    if arguments.peers:
        return beside.run(arguments.names and names, arguments.rounds, arguments.scale, arguments.write_docs)
    if arguments.against:
        return against.run(arguments.against, arguments.names and names, arguments.rounds, arguments.scale)
    with tempfile.TemporaryDirectory() as folder:
        machine = figures.machine(Path(folder))
    failed = False
    for name in names:
        began = time.monotonic()
        try:
            found = list(known[name].run(arguments.scale))
        except BenchFailed as error:
            print(f"bench: {name}: {error}", file=sys.stderr)
            failed = True
            continue
        result = Result(
            workload=name,
            title=known[name].title,
            figures=found,
            machine=machine,
            commit=figures.commit(),
            at=figures.now(),
            seconds=round(time.monotonic() - began, 1),
            scale=arguments.scale,
        )
        report.show(result)
        if arguments.results or arguments.scale == 1.0:
            figures.write(result, arguments.results or figures.RESULTS)
    if arguments.write_docs:
        report.write_document(figures.read_all())
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
