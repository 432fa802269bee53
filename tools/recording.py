"""`just recording`: runs the demo in a terminal of its own and writes what was seen as docs/demo.svg, which moves."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

import pyte

PATH = Path(__file__).parents[1] / "docs" / "demo.svg"
COLUMNS, LINES = 100, 32
CHARACTER_WIDTH, LINE_HEIGHT, MARGIN, TITLE_HEIGHT = 8.4, 18, 16, 34
SHORTEST_FRAME_SECONDS = 0.35
LAST_FRAME_SECONDS = 6.0
COLOURS = {
    "default": "#d6deeb", "black": "#414868", "red": "#f7768e", "green": "#9ece6a", "brown": "#e0af68",
    "yellow": "#e0af68", "blue": "#7aa2f7", "magenta": "#bb9af7", "cyan": "#7dcfff", "white": "#c0caf5",
    "brightblack": "#6b7394",
}  # fmt: skip
BOLD = ' class="b"'


class Run(NamedTuple):
    """Letters of one line that look alike, from a column on."""

    column: int
    text: str
    colour: str
    bold: bool


Frame = tuple[tuple[Run, ...], ...]


def main() -> int:
    """Record the demo; its exit code."""
    frames: list[tuple[float, Frame]] = []
    for at, frame in _frames([sys.executable, "-m", "examples.demo"]):
        if frames and at - frames[-1][0] < SHORTEST_FRAME_SECONDS:
            frames[-1] = (frames[-1][0], frame)
        elif not frames or frame != frames[-1][1]:
            frames.append((at, frame))
    PATH.write_text(as_svg(frames), encoding="utf-8")
    print(f"{PATH}: {len(frames)} pictures, {PATH.stat().st_size // 1024} KiB")
    return 0


def as_svg(frames: Sequence[tuple[float, Frame]]) -> str:
    """The frames one after the other, for ever; where nothing moves, the last one alone is seen."""
    ends = [at for at, _ in frames[1:]] + [frames[-1][0] + LAST_FRAME_SECONDS]
    first, whole = frames[0][0], ends[-1] - frames[0][0]
    wide, high = COLUMNS * CHARACTER_WIDTH + 2 * MARGIN, LINES * LINE_HEIGHT + TITLE_HEIGHT + MARGIN
    styles, pictures = [], []
    for number, ((at, frame), end) in enumerate(zip(frames, ends, strict=True)):
        start, stop = (at - first) / whole * 100, (end - first) / whole * 100
        steps = f"0%{{opacity:0}}{start:.2f}%{{opacity:1}}{stop:.2f}%{{opacity:0}}"
        if number == 0:
            steps = f"0%{{opacity:1}}{stop:.2f}%{{opacity:0}}"
        styles.append(
            f"@keyframes k{number}{{{steps}}}#f{number}{{animation:k{number} {whole:.1f}s step-end infinite}}"
        )
        hidden = "" if number == len(frames) - 1 else ' opacity="0"'
        pictures.append(f'<g id="f{number}"{hidden}>{"".join(_line(y, line) for y, line in enumerate(frame))}</g>')
    dots = "".join(
        f'<circle cx="{20 + 18 * n}" cy="17" r="5.5" fill="{c}"/>'
        for n, c in enumerate(("#f7768e", "#e0af68", "#9ece6a"))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:.0f} {high}" width="{wide:.0f}" height="{high}">'
        f"<title>makima: the demo</title><style>text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"
        f"'DejaVu Sans Mono',monospace;white-space:pre}}.b{{font-weight:700}}{''.join(styles)}</style>"
        f'<rect width="100%" height="100%" rx="10" fill="#1a1b26"/>{dots}{"".join(pictures)}</svg>\n'
    )


def _line(y: int, runs: tuple[Run, ...]) -> str:
    top = TITLE_HEIGHT + (y + 1) * LINE_HEIGHT - 5
    return "".join(
        f'<text x="{MARGIN + run.column * CHARACTER_WIDTH:.1f}" y="{top}" fill="{run.colour}"'
        f' textLength="{len(run.text) * CHARACTER_WIDTH:.1f}"{BOLD if run.bold else ""}>{escape(run.text)}</text>'
        for run in runs
    )


def _frames(argv: Sequence[str]) -> Iterator[tuple[float, Frame]]:
    """What a terminal shows while a program runs, each time that it has changed. Raises SystemExit when it fails."""
    screen = pyte.Screen(COLUMNS, LINES)
    stream = pyte.ByteStream(screen)
    began = time.monotonic()
    child, terminal = pty.fork()  # in a terminal the demo draws, as it does for a person
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES=str(LINES))
        os.execv(argv[0], list(argv))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    try:
        while select.select([terminal], [], []):
            stream.feed(os.read(terminal, 1 << 16))
            yield time.monotonic() - began, _frame(screen)
    except OSError:  # the other end was closed: the program has ended
        pass
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise SystemExit(f"recording: the demo ended with exit code {code}")


def _frame(screen: pyte.Screen) -> Frame:
    lines = []
    for y in range(LINES):
        runs: list[Run] = []
        for x in range(COLUMNS):
            character = screen.buffer[y][x]
            colour = COLOURS.get(character.fg) or f"#{character.fg}"
            if runs and (runs[-1].colour, runs[-1].bold) == (colour, character.bold):
                runs[-1] = runs[-1]._replace(text=runs[-1].text + character.data)
            else:
                runs.append(Run(x, character.data, colour, character.bold))
        lines.append(tuple(_trimmed(runs)))
    return tuple(lines)


def _trimmed(runs: Sequence[Run]) -> Iterator[Run]:
    """Runs parted at wider gaps: SVG draws several spaces as one."""
    for run in runs:
        for part in re.finditer(r"\S+(?: \S+)*", run.text):
            yield run._replace(column=run.column + part.start(), text=part[0])


if __name__ == "__main__":
    sys.exit(main())
