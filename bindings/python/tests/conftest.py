"""Where the repository, the demo model and the C program lie; one model and session to share."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

import sot

ROOT = pathlib.Path(__file__).resolve().parents[3]
DEMO = ROOT / "examples" / "model" / "demo.gguf"
QUESTION = "How can I improve my chess skills?"

# Ctrl-C works also where the tests were started in the background, and in the programs they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def model():
    return sot.Model(DEMO)


@pytest.fixture(scope="module")
def session(model):
    """For tests that leave a session as it was."""
    return sot.Session(model, n_threads=2)


@pytest.fixture
def own_session(model):
    """For tests that close it, cancel it or take it away."""
    with sot.Session(model, n_threads=1, n_ctx=1024) as one:
        yield one


@pytest.fixture
def program():
    """Runs Python source in a process of its own; returns what it printed."""

    def run(source, *arguments, timeout=60, **options):
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", source, *arguments],
            cwd=ROOT,
            timeout=timeout,
            capture_output=True,
            text=True,
            env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
            **options,
        )
        assert done.returncode == 0, "{}\n{}".format(done.returncode, done.stderr)
        return done.stdout

    return run
