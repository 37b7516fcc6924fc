"""--copy-weights and --lock-weights: a conversation goes on when the model's file is cut off behind
the program's back, and ends by SIGBUS without the copy, as sot(1) says."""
import os
import resource
import shutil
import signal
import subprocess
import unittest

from programs import DEMO, QUESTION, SOT, TIMEOUT, Folder, needs_demo, run, sanitized

FEW = ("--mode", "normal", "--max-tokens", "12", "--threads", "1", "--device", "cpu")


class WeightsInMemory(Folder):
    def converse_over_a_cut(self, *options):
        """Asks, cuts the file off, and asks again; the answers and the exit code."""
        model = self.path("model.gguf")
        shutil.copyfile(DEMO, model)
        with subprocess.Popen([SOT, "chat", "-m", model, *FEW, *options], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdin.write(f"{QUESTION}\n".encode())
            process.stdin.flush()
            first = process.stdout.readline()
            os.truncate(model, 4096)
            rest, _ = process.communicate(f"{QUESTION}\n".encode(), timeout=TIMEOUT)
        return first, rest, process.returncode

    @needs_demo
    def test_copied_weights_outlive_their_file(self):
        first, rest, code = self.converse_over_a_cut("--copy-weights")
        self.assertNotEqual(first.strip(), b"")
        self.assertNotEqual(rest.strip(), b"")
        self.assertEqual(code, 0)

    @needs_demo
    def test_mapped_weights_do_not(self):
        if sanitized():
            self.skipTest("a sanitizer makes an exit of SIGBUS")
        _, rest, code = self.converse_over_a_cut()
        self.assertEqual((rest.strip(), code), (b"", -signal.SIGBUS))

    @needs_demo
    def test_answers_are_the_same_however_weights_are_held(self):
        answers = {run("sot", "ask", "-m", DEMO, *FEW, *options, QUESTION).stdout
                   for options in ((), ("--copy-weights",), ("--copy-weights", "--quiet"))}
        self.assertEqual(len(answers), 1)
        self.assertNotEqual(answers.pop().strip(), b"")

    @needs_demo
    def test_weights_that_cannot_be_locked_are_an_error(self):
        if sanitized():
            self.skipTest("sanitizers do not lock memory")
        if os.geteuid() == 0:
            self.skipTest("root may lock what it likes (tests/property/test_model_file.c)")
        limit = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1]
        done = subprocess.run(
            [SOT, "ask", "-m", DEMO, "--lock-weights", *FEW, QUESTION], capture_output=True,
            check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, limit)))
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"RLIMIT_MEMLOCK", done.stderr)


if __name__ == "__main__":
    unittest.main()
