#!/usr/bin/env python3
"""Records `sot ask` on a terminal as an animated GIF: docs/points.gif, which README.md shows.

The program runs on a pseudo-terminal, a terminal emulator reads what it writes, and each frame is what
the screen showed at that time. Nothing is made up; --slower plays it more slowly than it was.
Needs pyte and Pillow (PyPI), and the DejaVu fonts. From the repository's root, after a build:

    python3 docs/record_points.py docs/points.gif -- --isa portable --threads 1
"""

import argparse
import fcntl
import os
import pty
import select
import struct
import termios
import time

import pyte
from PIL import Image, ImageDraw, ImageFont

FONT = "/usr/share/fonts/truetype/dejavu/DejaVuSansMono{}.ttf"
PAPER, INK, FAINT = (24, 26, 31), (222, 224, 228), (128, 134, 146)
MARGIN, SIZE, LEADING = 14, 15, 20
HOLD_MS = 4000  # the last frame


def record(command, columns, rows):
    """[(seconds since the start, bytes)] that the command wrote to a terminal of that size."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm-256color", LANG="C.UTF-8")
        os.execvp(command[0], command)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    began, chunks = time.monotonic(), []
    while True:
        select.select([terminal], [], [])
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux: the other side is closed
            data = b""
        if not data:
            break
        chunks.append((time.monotonic() - began, data))
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if code != 0:
        raise SystemExit(f"{command[0]} exited with {code}")
    return chunks


class Painter:
    """Draws a screen; `head` is the line that was typed."""

    def __init__(self, head, columns, rows):
        self.head = head
        self.plain, self.bold = (ImageFont.truetype(FONT.format(face), SIZE)
                                 for face in ("", "-Bold"))
        self.advance = self.plain.getlength("m")
        self.size = (int(2 * MARGIN + columns * self.advance), 2 * MARGIN + (rows + 2) * LEADING)

    def paint(self, screen):
        image = Image.new("RGB", self.size, PAPER)
        draw = ImageDraw.Draw(image)
        draw.text((MARGIN, MARGIN), "$ " + self.head, font=self.plain, fill=FAINT)
        for y in range(screen.lines):
            for x, cell in screen.buffer[y].items():
                # pyte does not know SGR 2 (faint), which arrives as the colour that is set below.
                fill = FAINT if cell.fg == "brightblack" else INK
                draw.text((MARGIN + x * self.advance, MARGIN + (y + 2) * LEADING), cell.data,
                          font=self.bold if cell.bold else self.plain, fill=fill)
        return image.quantize(16)


def frames(chunks, painter, columns, rows, slower):
    """Images and how long each is shown, in milliseconds."""
    screen = pyte.Screen(columns, rows)
    stream = pyte.ByteStream(screen)
    images, times = [], []
    for i, (seconds, data) in enumerate(chunks):
        stream.feed(data.replace(b"\x1b[2m", b"\x1b[90m"))
        end = chunks[i + 1][0] if i + 1 < len(chunks) else None
        shown = HOLD_MS if end is None else round(1000 * slower * (end - seconds))
        if shown < 20 and i + 1 < len(chunks):  # GIF knows hundredths; the next one shows it, too
            continue
        images.append(painter.paint(screen))
        times.append(shown)
    return images, times


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gif")
    parser.add_argument("--program", default="build/examples/sot")
    parser.add_argument("--question", default="How can I improve my chess skills?")
    parser.add_argument("--slower", type=float, default=8)
    parser.add_argument("--size", default="104x11", help="columns x rows")
    parser.add_argument("arguments", nargs="*", metavar="-- ARGUMENT", help="further ones of sot ask")
    arguments = parser.parse_args()
    columns, rows = (int(part) for part in arguments.size.split("x"))
    model = ["-m", "examples/model/demo.gguf"]
    chunks = record([arguments.program, "ask", *model, *arguments.arguments, arguments.question],
                    columns, rows)
    shown = " ".join(["sot ask", *model, *arguments.arguments, f'"{arguments.question}"'])
    images, times = frames(chunks, Painter(shown, columns, rows), columns, rows, arguments.slower)
    images[0].save(arguments.gif, save_all=True, append_images=images[1:], duration=times, loop=0,
                   optimize=True)
    print(f"{arguments.gif}: {len(images)} frames, {chunks[-1][0]:.2f} s played {arguments.slower:g} "
          f"times as slowly, {os.path.getsize(arguments.gif)} bytes")


if __name__ == "__main__":
    main()
