"""The sot program on a CUDA device that is none: libsot-cuda.so made of the same sources, its
kernels and CUDA's API run by tests/cuda_on_host/. Whole answers of the demo model, against the
CPU's."""
import json
import os
import sys
import time
import unittest

from programs import BUILD, DEMO, QUESTION, TINY, needs_demo, sanitized, sot

FOLDER = os.path.join(BUILD, "tests", "cuda_on_host")
PLUGIN = os.path.join(FOLDER, "libsot-cuda.so")
# Random draws come within rounding of a border sometimes, greedy choices of this model do not.
GREEDY = ["--temperature", "0"]
# A sanitizer makes it five times slower, and all that runs has run after a few tokens.
SHORT = (["--max-skeleton-tokens", "20", "--max-point-tokens", "4", "--max-tokens", "8"]
         if sanitized() else [])
SECONDS_MOST = 300


def on_cuda(*arguments, seed=0, device="cuda"):
    """Runs sot with the libsot that has the plugin beside it, threads of a block in an order that
    the seed decides (0: their own)."""
    return sot(*arguments, "--device", device, LD_LIBRARY_PATH=FOLDER, CUDA_ON_HOST_SEED=str(seed))


def needs_plugin(test):
    if os.path.isfile(PLUGIN):
        return test
    reason = f"this build has no {PLUGIN} (thread sanitizer or cross compiler)"
    print(f"SKIPPED {test.__name__}: {reason}", file=sys.stderr)
    return unittest.skip(reason)(test)


@needs_plugin
class CudaOnHost(unittest.TestCase):
    def answer(self, done):
        """What a JSON answer says, without what time decides, and without the number of steps: a
        CUDA device takes more rows of prompts at once, so that points begin sooner."""
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn(b"cuda_on_host", done.stderr)
        answer = json.loads(done.stdout)
        stats = answer.pop("stats")
        tokens = {stage: {name: stats[stage][name] for name in
                          ("prefill_tokens", "decode_tokens", "max_rows")}
                  for stage in ("normal", "skeleton", "expand")}
        return answer, tokens

    def test_model_is_on_the_device(self):
        for device, name in (("cuda", b"cuda:0"), ("cuda:0", b"cuda:0"), ("auto", b"cuda:0"),
                             ("cpu", b"cpu")):
            done = on_cuda("info", "-m", TINY, device=device)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertRegex(done.stdout, rb"(?m)^device +" + name + rb"$")

    def test_device_beyond_the_last_is_named(self):
        done = on_cuda("info", "-m", TINY, device="cuda:9")
        self.assertEqual(done.returncode, 1)
        self.assertIn(b'sot: device "cuda:9": there is no CUDA device 9', done.stderr)

    @needs_demo
    def test_normal_answer_is_the_cpus(self):
        arguments = ["ask", "-m", DEMO, "--mode", "normal", "--json", "--max-tokens", "48",
                     *SHORT, *GREEDY, QUESTION]
        answer = self.answer(on_cuda(*arguments))
        self.assertEqual(answer, self.answer(sot(*arguments, "--device", "cpu")))
        self.assertGreaterEqual(answer[1]["normal"]["decode_tokens"], 8 if SHORT else 20)

    @needs_demo
    def test_whole_sot_answer_is_the_cpus(self):
        arguments = ["ask", "-m", DEMO, "--json", *SHORT, *GREEDY, QUESTION]
        began = time.monotonic()
        answer = self.answer(on_cuda(*arguments, seed=1))
        self.assertLess(time.monotonic() - began, SECONDS_MOST)
        self.assertEqual(answer, self.answer(sot(*arguments, "--device", "cpu")))
        self.assertGreaterEqual(len(answer[0]["points"]), 2 if SHORT else 3)
        self.assertEqual(answer[1]["expand"]["max_rows"], len(answer[0]["points"]))

    @needs_demo
    def test_order_of_threads_decides_nothing(self):
        arguments = ["ask", "-m", DEMO, "--json", "--temperature", "1", "--seed", "3",
                     "--max-skeleton-tokens", "24", "--max-point-tokens", "8", *SHORT, QUESTION]
        first = self.answer(on_cuda(*arguments, seed=1))
        self.assertEqual(first, self.answer(on_cuda(*arguments, seed=2)))


if __name__ == "__main__":
    unittest.main()
