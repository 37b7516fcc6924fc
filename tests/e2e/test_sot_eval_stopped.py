"""sot-eval run that ends before its time: kills and Ctrl-C at any moment, torn lines, a full disk.
The next run goes on as if nothing had been."""
import fcntl
import json
import os
import random
import signal
import subprocess
import time
import unittest

from eval_run import PROGRAM, QUESTIONS, Run, evaluate, read_lines, whole_run
from programs import (SLOWLY, TIMEOUT, default_interrupt, environment, needs_demo,
                      wait_for_handler)


def what_was_said(record):
    """A record without what time decides, and without what was found in pages: a run that goes on
    warms up anew."""
    return {name: record[name] for name in
            ("question_id", "category", "difficulty", "suitable", "mode", "status", "question",
             "ran", "finish", "answer", "skeleton", "n_tokens", "answer_tokens", "points")}


@needs_demo
class Stopped(Run):
    """Runs that end before their time."""

    def same_as_undisturbed(self):
        expected = sorted(map(json.dumps, map(what_was_said, whole_run()[0])))
        self.assertEqual(sorted(map(json.dumps, map(what_was_said, self.records()))), expected)

    def start(self, *more):
        return subprocess.Popen([PROGRAM, *self.arguments(*more, slowly=True)],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                                preexec_fn=default_interrupt)

    def n_lines(self):
        try:
            with open(os.path.join(self.out, "records.jsonl"), "rb") as file:
                return file.read().count(b"\n")
        except FileNotFoundError:
            return 0

    def wait_for_lines(self, process, n):
        end = time.monotonic() + TIMEOUT
        while self.n_lines() < n and process.poll() is None and time.monotonic() < end:
            time.sleep(0.005)

    def test_killed_at_random_moments_every_question_is_there_once(self):
        chance = random.Random(20260131)
        n_killed = n_in_the_middle = 0
        for _ in range(200):
            n_before = self.n_lines()
            with self.start("-q") as process:
                # Most within the answering, some while it loads.
                if chance.random() < 0.8:
                    self.wait_for_lines(process, n_before + 1)
                    n_in_the_middle += process.poll() is None
                time.sleep(chance.random() * 0.1)
                process.kill()
                ended = process.wait(TIMEOUT)
            if ended == 0:
                break
            self.assertEqual(ended, -signal.SIGKILL)
            n_killed += 1
        self.assertEqual(ended, 0)
        self.assertGreater(n_killed, 3)
        self.assertGreater(n_in_the_middle, 3)
        self.same_as_undisturbed()

    def test_torn_line_is_cut_off_wherever_it_ends(self):
        self.done(*SLOWLY)
        path = os.path.join(self.out, "records.jsonl")
        with open(path, "rb") as file:
            whole = file.read()
        begin = whole.rindex(b"\n", 0, -1) + 1
        line = whole[begin:]
        for torn in (line[:1], line[:len(line) // 2], line[:-1], b"\0" * 60 + b"\n"):
            with open(path, "wb") as file:
                file.write(whole[:begin] + torn)
            done = self.done(*SLOWLY)
            self.assertIn(b"was not complete", done.stderr)
            self.assertIn(b"1 of them are new", done.stderr)
            self.same_as_undisturbed()

    def test_damage_elsewhere_is_named_and_left_as_it_is(self):
        self.done("--limit", "2", *SLOWLY)
        path = os.path.join(self.out, "records.jsonl")
        with open(path, encoding="utf-8") as file:
            lines = file.readlines()
        first = json.loads(lines[0])
        del first["n_tokens"]
        for damaged, names in [([lines[0][:40] + "\n"] + lines[1:], "line 1: "),
                               ([json.dumps(first) + "\n"] + lines[1:], '"n_tokens"'),
                               (lines + [lines[1]], "line 5: question 13 has a record")]:
            self.write(path, "".join(damaged))
            done = evaluate(*self.arguments("--limit", "2", *SLOWLY))
            self.assertEqual((done.returncode, done.stdout), (1, b""), done.stderr)
            self.assertIn(f"{path}: ".encode(), done.stderr)
            self.assertIn(names.encode(), done.stderr)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(file.read(), "".join(damaged))

    def test_ctrl_c_says_how_to_go_on(self):
        with self.start() as process:
            wait_for_handler(process)
            self.wait_for_lines(process, 2)
            process.send_signal(signal.SIGINT)
            printed, said = process.communicate(timeout=TIMEOUT)
        self.assertEqual((process.returncode, printed), (130, b""), said)
        n = self.n_lines()
        self.assertGreaterEqual(n, 2)
        self.assertIn(f"interrupted; {n} of 12 answers are recorded".encode(), said)
        self.assertEqual(len(read_lines(os.path.join(self.out, "answers-normal.jsonl"))),
                         min(n, len(QUESTIONS)))
        self.done(*SLOWLY)
        self.same_as_undisturbed()

    def test_two_at_a_time_are_refused(self):
        self.done("--limit", "1", *SLOWLY)
        with open(os.path.join(self.out, "records.jsonl"), "ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            done = evaluate(*self.arguments("--limit", "1", *SLOWLY))
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"another run is writing", done.stderr)

    def test_full_disk_leaves_whole_lines(self):
        def limit_files():
            # pylint: disable=import-outside-toplevel
            import resource
            resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        done = subprocess.run([PROGRAM, *self.arguments(*SLOWLY)], capture_output=True, check=False,
                              env=environment(), timeout=TIMEOUT, preexec_fn=limit_files)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertIn(b"records.jsonl: File too large", done.stderr)
        self.assertGreater(len(self.records()), 0)
        self.done(*SLOWLY)
        self.same_as_undisturbed()


if __name__ == "__main__":
    unittest.main()
