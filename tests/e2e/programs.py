"""Where the programs and the demo model are, and how the tests of this folder run them."""
import functools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("SOT_BUILD_DIR", os.path.join(ROOT, "build"))
SHARED = os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared"))
SOT = os.path.join(BUILD, "examples", "sot")
DEMO = os.environ.get("SOT_DEMO_MODEL", os.path.join(ROOT, "examples", "model", "demo.gguf"))
# Random weights with a vocabulary of bytes: an answer is noise of any length.
TINY = "random:64x2x4x128x300"
QUESTION = "How can I improve my chess skills?"
TIMEOUT = 300


def sanitized():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        return any(re.match(r"SOT_SANITIZE:STRING=.", line) for line in file)


# So that there is something to watch; with a sanitizer it is slow enough anyway.
SLOWLY = ["--threads", "1"] + ([] if sanitized() else ["--isa", "portable"])


def needs_demo(test):
    """Skips, saying so, where the demo model is absent."""
    if os.path.isfile(DEMO):
        return test
    reason = f"no demo model at {DEMO}"
    print(f"SKIPPED {getattr(test, '__name__', test)}: {reason}", file=sys.stderr)
    return unittest.skip(reason)(test)


class Folder(unittest.TestCase):
    """A test with a folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)

    def write(self, name, content):
        """A file of this text, or of this as JSON; returns its path."""
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return self.path(name)


def check_refused(test, program, done, *names, code=2):
    """That the program printed nothing and ended with one line on standard error, which names what
    is wrong."""
    test.assertEqual(done.returncode, code, done.stderr)
    test.assertEqual(done.stdout, b"")
    test.assertTrue(done.stderr.startswith(program.encode() + b": "), done.stderr)
    test.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
    for name in names:
        test.assertIn(name.encode(), done.stderr)


def default_interrupt():
    """In the child: Ctrl-C works also where the test itself was started in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def environment(**changes):
    """This environment with a UTF-8 locale, without NO_COLOR, and with changes; None removes."""
    result = dict(os.environ, LC_ALL="C.UTF-8", TERM="xterm-256color")
    result.pop("NO_COLOR", None)
    for name, value in changes.items():
        result.pop(name, None)
        if value is not None:
            result[name] = value
    return result


def run(program, *arguments, stdin=b"", **changes):
    """Runs a program of examples/ to its end."""
    return subprocess.run([os.path.join(BUILD, "examples", program), *arguments], input=stdin,
                          capture_output=True, timeout=TIMEOUT, env=environment(**changes),
                          check=False)


def sot(*arguments, **options):
    return run("sot", *arguments, **options)


@functools.cache
def ask_json(*arguments, **options):
    """The object that sot ask --json prints; the exit code must be 0. Asked once per test program:
    that the same call answers the same is what test_seed_decides_the_answer shows."""
    done = sot("ask", "--json", *arguments, **options)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return json.loads(done.stdout)


def wait_for_handler(process, installed=True):
    """Waits until the process catches Ctrl-C, or no longer does, however slow the machine is."""
    end = time.monotonic() + TIMEOUT
    while process.poll() is None and time.monotonic() < end:
        with open(f"/proc/{process.pid}/status", encoding="utf-8") as file:
            caught = int(re.search(r"SigCgt:\s*([0-9a-f]+)", file.read()).group(1), 16)
        if bool(caught >> (signal.SIGINT - 1) & 1) == installed:
            return
        time.sleep(0.01)


def wait_until_asleep(process):
    """Waits until the process has been waiting for something for a second."""
    end = time.monotonic() + TIMEOUT
    n_asleep = 0
    while n_asleep < 20 and process.poll() is None and time.monotonic() < end:
        with open(f"/proc/{process.pid}/stat", encoding="utf-8") as file:
            state = file.read().rpartition(")")[2].split()[0]
        n_asleep = n_asleep + 1 if state == "S" else 0
        time.sleep(0.05)
