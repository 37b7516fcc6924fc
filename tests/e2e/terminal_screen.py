"""A terminal for tests: runs a program on a pseudo-terminal and interprets what it writes."""
import codecs
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unicodedata

from programs import environment

SEQUENCE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])")


def columns_of(character):
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


class Screen:
    """The subset of a terminal that sot and libedit use; any other sequence is an error. Rows that scroll off
    the top are kept in self.gone. As on a real terminal, going up stops at the top."""

    def __init__(self, columns, lines):
        self.columns, self.lines = columns, lines
        self.rows = [[]]
        self.gone = []
        self.x = self.y = 0
        self.bells = 0
        self.styles = 0  # how many sequences for colour and weight were seen
        self.unread = ""
        self.frames = []  # what was to be seen each time before rows were drawn again

    def feed(self, text):
        text = self.unread + text
        self.unread = ""
        i = 0
        while i < len(text):
            character = text[i]
            if character == "\x1b":
                match = SEQUENCE.match(text, i)
                if not match and len(text) - i < 12:
                    self.unread = text[i:]
                    return
                if not match:
                    raise ValueError(f"raw escape: {text[i:i + 12]!r}")
                self.sequence(match.group(1), match.group(2))
                i = match.end()
                continue
            self.put(character)
            i += 1

    def sequence(self, argument, final):
        number = int(argument) if argument.isdigit() else 1
        if final == "A":
            self.frames.append(self.visible())
            self.y = max(0, self.y - number)
        elif final == "C":
            self.x = min(self.columns - 1, self.x + number)
        elif final == "D":
            self.x = max(0, self.x - number)
        elif final == "G":
            self.x = min(self.columns, number) - 1
        elif final == "P":
            del self.rows[self.y][self.x:self.x + number]
        elif final == "@":
            self.rows[self.y][self.x:self.x] = [" "] * number
        elif final == "K":
            del self.rows[self.y][self.x:]
        elif final == "J":
            del self.rows[self.y][self.x:]
            del self.rows[self.y + 1:]
        elif final == "m":
            self.styles += 1
        else:
            raise ValueError(f"unknown sequence {argument}{final}")

    def next_row(self):
        self.y += 1
        if self.y == len(self.rows):
            self.rows.append([])
        if len(self.rows) > self.lines:
            self.gone.append(self.rows.pop(0))
            self.y -= 1

    def put(self, character):
        if character == "\r":
            self.x = 0
        elif character == "\n":
            self.next_row()
        elif character == "\b":
            self.x = max(0, self.x - 1)
        elif character == "\a":
            self.bells += 1
        elif ord(character) < 32 or 127 <= ord(character) < 160:
            raise ValueError(f"raw control character {character!r}")
        else:
            width = columns_of(character)
            if self.x + width > self.columns:
                self.x = 0
                self.next_row()
            row = self.rows[self.y]
            row.extend([" "] * (self.x + width - len(row)))
            if width == 0:
                row[max(0, self.x - 1)] += character
                return
            row[self.x] = character
            if width == 2:
                row[self.x + 1] = ""
            self.x += width

    def visible(self):
        return "\n".join("".join(row) for row in self.rows)

    def everything(self):
        """Scrollback and screen."""
        return "\n".join("".join(row) for row in self.gone + self.rows)


def letters(text):
    """Text without white space: what is left of it when lines were broken anew."""
    return "".join(text.split())


class Terminal:
    """A program on a terminal; its standard error too, unless warnings is False."""

    def __init__(self, arguments, columns=80, lines=24, warnings=True, **changes):
        self.screen = Screen(columns, lines)
        self.raw = ""
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.master, slave = pty.openpty()
        self.resize(columns, lines)

        def on_terminal():
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        # pylint: disable=consider-using-with,subprocess-popen-preexec-fn
        self.process = subprocess.Popen(arguments, stdin=slave, stdout=slave,
                                        stderr=slave if warnings else subprocess.DEVNULL,
                                        start_new_session=True, preexec_fn=on_terminal,
                                        env=environment(**changes))
        os.close(slave)

    def resize(self, columns, lines):
        """Only to more columns: rows are not broken anew here."""
        self.screen.columns, self.screen.lines = columns, lines
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def read(self, seconds):
        """Reads one chunk. False at the end of the output."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return True
        try:
            chunk = os.read(self.master, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            chunk = b""
        if not chunk:
            return False
        text = self.decoder.decode(chunk)  # strict: what is printed is UTF-8
        self.raw += text
        self.screen.feed(text)
        return True

    def wait_for(self, text, seconds=120):
        """Reads until text is to be seen."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if text in self.screen.visible():
                return True
            if not self.read(0.1):
                return text in self.screen.visible()
        return False

    def type(self, keys):
        os.write(self.master, keys)

    def finish(self, seconds=300):
        """Reads to the end of the output; returns the exit code."""
        end = time.monotonic() + seconds
        while self.read(0.1):
            if time.monotonic() > end:
                self.process.kill()
                raise TimeoutError("the program did not end")
        os.close(self.master)
        return self.process.wait(timeout=seconds)
