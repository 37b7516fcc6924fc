"""sot chat: conversations from a script and on a terminal."""
import functools
import json
import os
import signal
import subprocess
import tempfile
import termios
import time
import unittest

from programs import (DEMO, QUESTION, SLOWLY, SOT, TINY, ask_json, default_interrupt, environment,
                      needs_demo, sot, wait_for_handler, wait_until_asleep)
from terminal_screen import Terminal, letters

SLOW = "random:512x8x8x1376x2000"
SECOND = "What are the benefits of learning the violin?"
SHORT = ["--max-point-tokens", "24", "--max-tokens", "24"]
NORMAL = ["--mode", "normal", "--max-tokens", "8"]


def chat(*arguments, lines=(), **options):
    return sot("chat", *arguments, stdin="".join(line + "\n" for line in lines).encode(), **options)


def chat_json(*arguments, lines):
    done = chat("--json", *arguments, lines=lines)
    assert done.returncode == 0, (done.returncode, done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


@functools.cache
def edits_lines():
    return sot("--version").stdout.decode().splitlines()[1] == "line editing: libedit"


@needs_demo
class Script(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()  # pylint: disable=consider-using-with
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_first_answer_is_that_of_sot_ask(self):
        done = chat("-m", DEMO, *SHORT, lines=[QUESTION])
        alone = sot("ask", "-m", DEMO, *SHORT, QUESTION)
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stdout, alone.stdout + b"\n")

    def test_json_is_an_object_a_line(self):
        rounds = chat_json("-m", DEMO, *SHORT, lines=[QUESTION, "/mode normal", SECOND])
        self.assertEqual([r["question"] for r in rounds], [QUESTION, SECOND])
        self.assertEqual([r["mode"] for r in rounds], ["sot", "normal"])
        self.assertEqual(rounds[0]["text"], ask_json("-m", DEMO, *SHORT, QUESTION)["text"])

    def test_round_depends_on_the_conversation_alone(self):
        """A file that is loaded into a new session gives the answer that pages gave."""
        for mode in ("normal", "sot"):
            with self.subTest(mode=mode):
                arguments = ["-m", DEMO, "--mode", mode, *SHORT]
                path = self.path(mode)
                rounds = chat_json(*arguments, lines=[QUESTION, f"/save {path}", SECOND])
                again = chat_json("--load", path, *arguments, lines=[SECOND])
                self.assertEqual(rounds[1]["text"], again[0]["text"])
                stage = "normal" if mode == "normal" else "skeleton"
                warm, cold = rounds[1]["stats"][stage], again[0]["stats"][stage]
                self.assertEqual(warm["prefill_tokens"] + warm["reused_tokens"],
                                 cold["prefill_tokens"] + cold["reused_tokens"])
                self.assertLess(warm["prefill_tokens"], cold["prefill_tokens"])
                self.assertNotEqual(again[0]["text"],
                                    ask_json(*arguments, SECOND)["text"] if mode == "normal" else "")

    def test_normal_round_computes_what_is_new(self):
        """The pages hold the first round but for the token that ended it."""
        first, second = chat_json("-m", DEMO, *NORMAL, lines=["Why do cats purr?", "And dogs?"])
        self.assertEqual(first["finish"], "length")
        held = first["stats"]["normal"]["prefill_tokens"] + first["stats"]["normal"]["decode_tokens"]
        self.assertIn(held - second["stats"]["normal"]["reused_tokens"], range(1, 4))
        # What is not: the end of the answer, "</s>USER: And dogs? ASSISTANT:".
        text = "USER: And dogs? ASSISTANT:"
        n_new = len(sot("tokenize", "-m", DEMO, text).stdout.split())
        self.assertIn(second["stats"]["normal"]["prefill_tokens"] - n_new, range(0, 5))

    def test_save_and_load_keep_every_round(self):
        path, copy = self.path("a file"), self.path("copy")
        done = chat("-m", TINY, *NORMAL, lines=["one", "two \\", "lines", f"/save {path}",
                                                "/reset", f"/load {path}", f"/save {copy}"])
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(path, encoding="utf-8") as file:
            saved = file.read()
        rounds = [json.loads(line) for line in saved.splitlines()]
        self.assertEqual([r["question"] for r in rounds], ["one", "two \nlines"])
        self.assertEqual([sorted(r) for r in rounds], [["answer", "question"]] * 2)
        with open(copy, encoding="utf-8") as file:
            self.assertEqual(file.read(), saved)
        self.assertIn(b"2 rounds from", done.stderr)

    def test_reset_forgets(self):
        rounds = chat_json("-m", DEMO, *NORMAL, lines=["Why?", "Why?", "/reset", "Why?"])
        self.assertEqual(rounds[0]["text"], rounds[2]["text"])
        stats = [r["stats"]["normal"] for r in rounds]
        length = [s["prefill_tokens"] + s["reused_tokens"] for s in stats]
        self.assertGreater(length[1], length[0])
        self.assertEqual(length[2], length[0])

    def test_slashes_and_line_ends(self):
        done = sot("chat", "--json", "-m", TINY, *NORMAL, stdin=b"//x y\r\n\r\n  \n/quit\nnever\n")
        self.assertEqual(done.returncode, 0)
        self.assertEqual([json.loads(line)["question"] for line in done.stdout.splitlines()],
                         ["/x y"])
        done = sot("chat", "--json", "-m", TINY, *NORMAL, stdin=b"no end")
        self.assertEqual(json.loads(done.stdout)["question"], "no end")

    def test_full_context_drops_the_oldest_and_says_so(self):
        lines = [f"question number {i}" for i in range(8)]
        arguments = ["-m", TINY, "--ctx", "256", "--max-tokens", "16", "--mode", "normal"]
        done = chat(*arguments, lines=lines + ["/stats"])
        self.assertEqual(done.returncode, 0)
        said = done.stderr.decode()
        self.assertRegex(said, r"warning: the context was full: the oldest \d of \d rounds")
        self.assertRegex(said, r"8 rounds, the oldest \d no longer sent")
        self.assertNotIn("context was full", chat("-q", *arguments, lines=lines).stderr.decode())
        strict = chat("--keep-all", *arguments, lines=lines)
        self.assertEqual(strict.returncode, 3)
        self.assertRegex(strict.stderr.decode(),
                         r"sot: \d rounds and the question make a prompt of \d+ tokens; with 64 kept")
        roomy = chat("--keep-all", "--reserve", "1", *arguments, lines=lines[:4])
        self.assertEqual(roomy.returncode, 0, roomy.stderr)

    def test_errors_are_said_and_the_rest_is_answered(self):
        cases = [("/nothing", "'/nothing' is no command"), ("/mode bad", "/mode 'bad'"),
                 ("/save", "/save needs a file"), ("/reset now", "/reset takes nothing"),
                 ("\udcff", "byte 0 is not UTF-8"), ("a\0b", "NUL byte")]
        for line, message in cases:
            with self.subTest(line=line):
                stdin = (line + "\nhello\n").encode(errors="surrogateescape")
                done = sot("chat", "--json", "-m", TINY, *NORMAL, stdin=stdin)
                self.assertEqual(done.returncode, 2)
                self.assertIn(message, done.stderr.decode())
                self.assertEqual(json.loads(done.stdout)["question"], "hello")
        done = chat("-m", TINY, *NORMAL, lines=["/load /nowhere/x", "/save /nowhere/x", "hi"])
        self.assertEqual(done.returncode, 1)
        self.assertEqual(done.stderr.decode().count("/nowhere/x"), 2)

    def test_wrong_usage_is_refused(self):
        with open(self.path("bad"), "w", encoding="utf-8") as file:
            file.write('{"question": "q", "answer": "a"}\n{"question": 1}\n')
        for arguments, code, message in [
                (["-m", TINY, "question"], 2, "unexpected argument 'question'"),
                (["-m", TINY, "--compare"], 2, "'--compare'"),
                (["-m", TINY, "--reserve", "0"], 2, "--reserve '0'"),
                (["-m", TINY, "--ctx", "256", "--reserve", "256"], 2, "reserve_tokens: is 256"),
                (["-m", TINY, "--mode", "no"], 2, "--mode 'no'"),
                (["-m", TINY, "--load", self.path("missing")], 1, "missing"),
                (["-m", TINY, "--load", self.path("bad")], 1, "bad: line 2: question is an integer"),
                (["-m", "missing.gguf"], 1, "missing.gguf")]:
            with self.subTest(arguments=arguments):
                done = chat(*arguments, lines=["hi"])
                self.assertEqual(done.returncode, code)
                self.assertIn(message, done.stderr.decode())
                self.assertEqual(done.stdout, b"")

    def test_quiet_says_nothing_but_errors(self):
        done = chat("-q", "-m", TINY, *NORMAL, lines=["hi", "/mode sot", "/reset", "/bad"])
        self.assertEqual(done.stderr.decode().count("\n"), 1)
        self.assertIn("/bad", done.stderr.decode())

    def test_ctrl_c_ends_a_script(self):
        for stdin, wait in [(b"hi\nnever\n", wait_for_handler), (None, wait_until_asleep)]:
            with subprocess.Popen([SOT, "chat", "-m", SLOW, "--mode", "normal", "--ctx", "4096",
                                   "--max-tokens", "4000", "--temperature", "1"],
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, preexec_fn=default_interrupt,
                                  env=environment()) as process:
                if stdin:
                    process.stdin.write(stdin)
                    process.stdin.flush()
                wait_for_handler(process)
                wait(process)
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=120)
                self.assertEqual(process.returncode, 130)


@needs_demo
class OnTerminal(unittest.TestCase):
    def open(self, *arguments, **options):
        terminal = Terminal([SOT, "chat", *arguments], **options)
        terminal.edits = options.get("TERM") != "dumb"
        self.addCleanup(terminal.process.kill)
        self.wait_for_prompt(terminal)
        return terminal

    @staticmethod
    def is_ready(terminal, prompt):
        """Whether the last line is a prompt with nothing behind it. libedit shows it first and then
        takes the terminal over; a key in between would be the terminal's."""
        takes_over = edits_lines() and terminal.edits
        cooked = termios.tcgetattr(terminal.master)[3] & termios.ICANON
        return terminal.screen.visible().endswith("\n" + prompt) and not (takes_over and cooked)

    def wait_for_prompt(self, terminal, prompt="> "):
        end = time.monotonic() + 120
        while not self.is_ready(terminal, prompt):
            self.assertLess(time.monotonic(), end, terminal.screen.visible())
            self.assertTrue(terminal.read(0.1), terminal.screen.visible())

    def enter(self, terminal, keys, prompt="> "):
        """Types a line, until it has been dealt with."""
        n_before = len(terminal.raw)
        terminal.type(keys + b"\n")
        end = time.monotonic() + 120
        while "\n" not in terminal.raw[n_before:]:
            self.assertLess(time.monotonic(), end, terminal.screen.visible())
            self.assertTrue(terminal.read(0.1), terminal.screen.visible())
        self.wait_for_prompt(terminal, prompt)

    def end(self, terminal):
        terminal.type(b"\x04")
        self.assertEqual(terminal.finish(), 0)

    def test_answers_grow_and_stay(self):
        terminal = self.open("-m", DEMO, *SHORT, *SLOWLY, lines=60)
        self.assertIn("mode sot. /help", terminal.screen.visible())
        answer = ask_json("-m", DEMO, *SHORT, QUESTION)
        terminal.type(QUESTION.encode() + b"\n")
        self.assertTrue(terminal.wait_for("points done"))
        self.wait_for_prompt(terminal)
        self.end(terminal)
        everything = letters(terminal.screen.everything())
        self.assertEqual(everything.count(letters(answer["text"])), 1)
        self.assertNotIn("points done", terminal.screen.everything())

    def test_ctrl_c_stops_an_answer_and_the_conversation_goes_on(self):
        terminal = self.open("-m", SLOW, "--mode", "normal", "--temperature", "1", "--ctx", "4096",
                             "--max-tokens", "4000")
        for _ in range(2):  # the second time as the first
            terminal.type(b"hi\n")
            self.assertTrue(terminal.wait_for("answering"), terminal.screen.visible())
            terminal.type(b"\x03")
            self.wait_for_prompt(terminal)
            self.assertIn("This is no part of the conversation.", terminal.screen.visible())
            self.enter(terminal, b"/stats")
            self.assertIn("\n0 rounds\n", terminal.screen.visible())
        self.end(terminal)

    def test_ctrl_c_at_the_prompt_forgets_the_line(self):
        terminal = self.open("-m", TINY, *NORMAL)
        terminal.type(b"half a que")
        self.assertTrue(terminal.wait_for("half a que"))
        terminal.type(b"\x03")
        self.wait_for_prompt(terminal)
        self.assertRegex(terminal.screen.visible(), r"half a que(\^C)?\n> $")
        self.enter(terminal, b"/stats")
        self.assertIn("\n0 rounds\n", terminal.screen.visible())
        self.end(terminal)

    def test_lines_are_edited(self):
        if not edits_lines():
            self.skipTest("built without libedit")
        terminal = self.open("-m", TINY, *NORMAL)
        # Left of the last letter, past one of two bytes, and deleting such a one.
        self.enter(terminal, "/mode x\u00e4yz\u00f6\x7f\x1b[D\x1b[Dq".encode())
        self.assertIn("/mode 'x\u00e4qyz'", terminal.screen.visible())
        self.enter(terminal, b"\x1b[A\x7f")  # the line before, shortened
        self.assertIn("/mode 'x\u00e4qy'", terminal.screen.visible())
        self.end(terminal)

    def test_tab_completes_commands(self):
        if not edits_lines():
            self.skipTest("built without libedit")
        terminal = self.open("-m", TINY, *NORMAL)
        self.enter(terminal, b"/m\tnormal")
        self.assertIn("mode normal from now on", terminal.screen.visible())
        terminal.type(b"/\t")
        self.assertTrue(terminal.wait_for("/quit  /reset"), terminal.screen.visible())
        self.assertTrue(terminal.wait_for("\n> /"), terminal.screen.visible())
        terminal.type(b"q\t\n")
        self.assertEqual(terminal.finish(), 0)

    def test_backslash_goes_on_with_another_prompt(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "talk")
            terminal = self.open("-m", TINY, *NORMAL)
            self.enter(terminal, b"one \\", ". ")
            self.enter(terminal, b"two")
            self.enter(terminal, f"/save {path}".encode())
            self.end(terminal)
            with open(path, encoding="utf-8") as file:
                self.assertEqual(json.load(file)["question"], "one \ntwo")

    def test_dumb_terminal_reads_plain_lines(self):
        terminal = self.open("-m", TINY, *NORMAL, TERM="dumb")
        self.enter(terminal, b"hi")
        terminal.type(b"\x03")
        self.assertTrue(terminal.wait_for("^C\n> "), terminal.screen.visible())
        self.enter(terminal, b"/stats")
        self.assertIn("\n1 round\n", terminal.screen.visible())
        self.assertNotIn("\x1b", terminal.raw)
        self.end(terminal)


if __name__ == "__main__":
    unittest.main(verbosity=2)
