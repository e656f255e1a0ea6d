"""A terminal that a program is run in, and what it shows: pyte draws it, wider than it says."""

import io
import os
import pty
import select
import struct
import subprocess
import termios
import time
from fcntl import ioctl

import pyte
from rich.console import Console
from rich.text import Text

BEYOND = 200
"""Columns that are drawn, so that a line that is longer than the terminal is not wrapped."""


class Screen:
    """A program in a terminal of some columns and 24 lines.

    What the program prints is drawn when `read` or `wait` is called.
    """

    def __init__(self, command, columns, **options):
        self.columns = columns
        self.lines = pyte.HistoryScreen(BEYOND, 24, history=1000)
        self.stream = pyte.ByteStream(self.lines)
        self.widest = 0
        self.master, slave = pty.openpty()
        ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
            **options,
        )
        os.close(slave)

    def read(self, seconds):
        """Draw what comes in some seconds; return False at the end of the program."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 2**16)
                except OSError:
                    return False
                self.stream.feed(data)
                self.widest = max(self.widest, *map(len, self.text()))
        return True

    def wait(self, seconds=300):
        """Draw until the program ends, and return its status."""
        until = time.monotonic() + seconds
        while self.read(0.5):
            assert time.monotonic() < until, "\n".join(self.text())
        os.close(self.master)
        return self.process.wait()

    def rows(self):
        """Return the rows of characters, those that have scrolled away first."""
        return [*self.lines.history.top, *(self.lines.buffer[y] for y in range(24))]

    def text(self):
        """Return what is shown, line by line, without what has scrolled away."""
        return [line.rstrip() for line in self.lines.display]

    def whole_text(self):
        """Return all that was shown and left, line by line."""
        return ["".join(row[x].data for x in range(BEYOND)).rstrip() for row in self.rows()]

    def picture(self, title, prompt):
        """Return what is shown as an SVG picture, below a line that was typed."""
        console = Console(record=True, width=self.columns, file=io.StringIO())
        console.print(Text(f"$ {prompt}", style="bold"))
        rows = self.rows()
        while rows and not "".join(rows[-1][x].data for x in range(self.columns)).strip():
            rows.pop()
        for row in rows:
            line = Text()
            for x in range(self.columns):
                line.append(row[x].data, style=style_of(row[x]))
            console.print(line, no_wrap=True, crop=True)
        return console.export_svg(title=title)


def style_of(character):
    """Return the style of a character in rich's words."""
    names = {"default": "default", "brown": "yellow"}
    colour = names.get(character.fg, character.fg)
    colour = f"#{colour}" if len(colour) == 6 and set(colour) <= set("0123456789abcdef") else colour
    return f"{'bold ' if character.bold else ''}{colour}"
