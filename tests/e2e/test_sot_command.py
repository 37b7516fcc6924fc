"""The sot command from outside: arguments, pipes, JSON, comparison, failures, Ctrl-C."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time
import unittest

from programs import (DEMO, QUESTION, ROOT, SOT, TIMEOUT, TINY, ask_json, check_refused,
                      default_interrupt, environment, needs_demo, sot, wait_for_handler,
                      wait_until_asleep)

# Slow enough to be interrupted: some milliseconds a token.
SLOW = "random:512x8x8x1376x2000"
# Some seconds of making weights.
LONG_LOADING = "random:2048x16x16x5504x8000"


def json_file(folder, value):
    path = os.path.join(folder, "prompts.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(value if isinstance(value, str) else json.dumps(value))
    return path


class Arguments(unittest.TestCase):
    def refused(self, *arguments, names, stdin=b""):
        check_refused(self, "sot", sot(*arguments, stdin=stdin), names)

    def test_command_missing_is_refused(self):
        self.refused(names="sot --help")

    def test_command_unknown_is_named(self):
        self.refused("answer", names="'answer'")

    def test_option_unknown_is_named(self):
        self.refused("ask", "--speed", "-m", TINY, "hi", names="'--speed'")
        self.refused("ask", "-x", "-m", TINY, "hi", names="'-x'")
        self.refused("info", "-m", TINY, "--compare", names="'--compare'")

    def test_option_without_value_is_named(self):
        self.refused("ask", "hi", "--top-k", names="--top-k")
        self.refused("ask", "hi", "-m", names="-m")

    def test_flag_with_value_is_named(self):
        self.refused("ask", "-m", TINY, "--json=yes", "hi", names="--json")

    def test_number_out_of_range_is_named_with_its_value(self):
        counts = ["top-k", "seed", "max-tokens", "max-skeleton-tokens", "max-point-tokens",
                  "max-points", "threads", "ctx"]
        reals = ["temperature", "top-p", "repetition-penalty"]
        values = {name: ["x"] for name in counts + reals}
        values["top-k"] += ["-1", "", "1.5", "7x", " 7", "4294967296"]
        values["seed"] += ["-1", "18446744073709551616"]
        values["top-p"] += ["-0.1", "", "1.01", "nan", "0.5x"]
        for name in counts[2:]:
            values[name] += ["0"]
        for name, refused in values.items():
            for value in refused:
                self.refused("ask", "-m", TINY, f"--{name}={value}", "hi",
                             names=f"--{name} '{value}'")

    def test_mode_unknown_is_named(self):
        self.refused("ask", "-m", TINY, "--mode", "both", "hi", names="--mode 'both'")

    def test_router_is_checked(self):
        routed = ("ask", "-m", TINY, "--mode", "routed")
        self.refused(*routed, "--router", "magic", "hi", names="--router 'magic'")
        self.refused(*routed, "--router", "never", "--router-file", "x", "hi",
                     names="--router-file is for the trained router")
        self.refused("ask", "-m", TINY, "--router", "always", "hi", names="--mode routed")
        self.refused("ask", "-m", TINY, "--concurrent", "hi", names="--mode routed")

    def test_mode_with_compare_is_refused(self):
        self.refused("ask", "-m", TINY, "--mode", "sot", "--compare", "hi", names="--compare")

    def test_template_unknown_is_named(self):
        self.refused("ask", "-m", TINY, "--template", "gibberish", "hi", names="gibberish")

    def test_model_missing_is_refused(self):
        self.refused("ask", "hi", names="-m PATH")

    def test_question_of_two_arguments_is_refused(self):
        self.refused("ask", "-m", TINY, "how", "now", names="'now'")

    def test_question_empty_is_refused(self):
        self.refused("ask", "-m", TINY, "", names="question is empty")
        self.refused("ask", "-m", TINY, names="question is empty", stdin=b"\n\n")

    def test_question_with_nul_is_refused(self):
        self.refused("ask", "-m", TINY, names="NUL", stdin=b"how\0now")

    def test_question_over_a_mebibyte_is_refused(self):
        self.refused("ask", "-m", TINY, names="1048576", stdin=b"a" * (1048576 + 1))

    def test_version_is_the_headers(self):
        with open(os.path.join(ROOT, "include", "sot", "sot.h"), encoding="utf-8") as file:
            numbers = re.findall(r"#define SOT_VERSION_M?[A-Z]+ (\d+)", file.read())
        version, editing = sot("--version").stdout.decode().splitlines()
        self.assertEqual(version, f"sot {'.'.join(numbers)}")
        self.assertRegex(editing, "^line editing: (libedit|none, .*without libedit)$")


class Failures(unittest.TestCase):
    def failed(self, *arguments, code, names, **options):
        done = sot(*arguments, **options)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertTrue(done.stderr.startswith(b"sot: "), done.stderr)
        self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
        self.assertIn(names.encode(), done.stderr)
        return done

    def test_model_absent_is_named(self):
        for command in [["ask", "hi"], ["info"], ["tokenize", "hi"]]:
            done = self.failed(*command, "-m", "/no/such/model.gguf", code=1,
                               names="/no/such/model.gguf")
            self.assertEqual(done.stdout, b"")

    def test_model_damaged_is_named(self):
        with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
            file.write(b"GGUF\x03\0\0\0")
            file.flush()
            self.failed("ask", "-m", file.name, "hi", code=1, names=os.path.basename(file.name))

    def test_isa_unknown_is_named(self):
        self.failed("ask", "-m", TINY, "--isa", "z80", "hi", code=1, names="z80")

    def test_device_unknown_is_named(self):
        for command in [["ask", "hi"], ["info"]]:
            self.failed(*command, "-m", TINY, "--device", "abacus", code=2, names="abacus")

    def test_device_absent_is_named(self):
        for command in [["ask", "hi"], ["info"]]:
            self.failed(*command, "-m", TINY, "--device", "cuda:999", code=1, names="cuda:999")

    def test_file_name_with_escapes_is_shown_harmlessly(self):
        done = self.failed("ask", "-m", "/no/\x1b[31mred", "hi", code=1, names="[31mred")
        self.assertNotIn(b"\x1b", done.stderr)

    def test_prompts_file_absent_is_named(self):
        self.failed("ask", "-m", TINY, "--prompts", "/no/p.json", "hi", code=1, names="/no/p.json")

    def test_prompts_file_without_a_key_names_it(self):
        with tempfile.TemporaryDirectory() as folder:
            path = json_file(folder, {"outline_prompt": "{request}"})
            self.failed("ask", "-m", TINY, "--prompts", path, "hi", code=1,
                        names="point_prompt is missing")
            path = json_file(folder, "{")
            self.failed("ask", "-m", TINY, "--prompts", path, "hi", code=1, names="line 1")

    def test_prompts_without_request_are_refused_by_the_library(self):
        with tempfile.TemporaryDirectory() as folder:
            path = json_file(folder, {"outline_prompt": "no place", "point_prompt": "none"})
            self.failed("ask", "-m", TINY, "--prompts", path, "hi", code=1,
                        names="outline_prompt: skeleton template: {request} is missing")

    def test_output_full_is_reported(self):
        with open("/dev/full", "wb") as full:
            done = subprocess.run([SOT, "ask", "-q", "-m", TINY, "--max-tokens", "4", "--mode",
                                   "normal", "hi"], stdin=subprocess.DEVNULL, stdout=full,
                                  stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment(),
                                  check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output: No space left", done.stderr)

    def test_output_closed_is_reported(self):
        done = subprocess.run(["sh", "-c", '"$0" "$@" >&-', SOT, "info", "-m", TINY],
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
                              env=environment(), check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output: ", done.stderr)

    def test_pipe_broken_is_reported(self):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run([SOT, "info", "-m", TINY], stdin=subprocess.DEVNULL, stdout=writer,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, env=environment(),
                              check=False)
        os.close(writer)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output: Broken pipe", done.stderr)

    def test_context_full_prints_what_there_is(self):
        done = sot("ask", "-m", TINY, "--mode", "normal", "--ctx", "64", "--max-tokens", "500",
                   "--temperature", "1", "--seed", "3", "--json", "hi")
        self.assertEqual(done.returncode, 3, done.stderr)
        answer = json.loads(done.stdout)
        self.assertEqual(answer["finish"], "context")
        self.assertGreater(answer["stats"]["normal"]["decode_tokens"], 40)
        self.assertTrue(done.stderr.startswith(b"sot: "), done.stderr)

    def test_prompt_larger_than_the_context_is_code_3(self):
        done = sot("ask", "-m", TINY, "--mode", "normal", "--ctx", "64", "a" * 500)
        self.assertEqual(done.returncode, 3, done.stderr)


class RandomModel(unittest.TestCase):
    ARGUMENTS = ["-m", TINY, "--temperature", "1", "--max-tokens", "300", "--max-skeleton-tokens",
                 "60", "--max-point-tokens", "30"]

    def test_question_on_standard_input_equals_the_argument(self):
        by_argument = ask_json(*self.ARGUMENTS, "--mode", "normal", "--", "-why?")
        by_input = ask_json(*self.ARGUMENTS, "--mode", "normal", stdin=b"-why?\r\n\n")
        by_dash = ask_json(*self.ARGUMENTS, "--mode", "normal", "-", stdin=b"-why?")
        self.assertEqual(by_argument["question"], "-why?")
        for other in (by_input, by_dash):
            self.assertEqual((other["question"], other["text"]),
                             (by_argument["question"], by_argument["text"]))

    def test_seed_decides_the_answer(self):
        texts = [sot("ask", "-q", *self.ARGUMENTS, "--mode", "normal", "--seed", seed, "hi").stdout
                 for seed in ("1", "1", "2")]
        self.assertEqual(texts[0], texts[1])
        self.assertNotEqual(texts[0], texts[2])

    def test_number_of_threads_does_not_change_the_answer(self):
        texts = [ask_json(*self.ARGUMENTS, "--threads", threads, "hi")["text"]
                 for threads in ("1", "2")]
        self.assertEqual(*texts)

    def test_control_characters_stay_in_json(self):
        arguments = [*self.ARGUMENTS, "--mode", "normal", "hi"]
        exact = ask_json(*arguments)["text"]
        controls = [c for c in exact if c not in "\n\t" and (c < " " or "\x7f" <= c < "\xa0")]
        self.assertGreater(len(controls), 3, "the random model should write control characters")
        plain = sot("ask", "-q", *arguments)
        self.assertEqual((plain.returncode, plain.stderr), (0, b""))
        text = plain.stdout.decode()
        self.assertFalse([c for c in text if c not in "\n\t" and (c < " " or "\x7f" <= c < "\xa0")])
        expected = "".join("\ufffd" if c in controls else c for c in exact.replace("\r\n", "\n"))
        self.assertEqual(text.strip(" \t\n"), expected.strip(" \t\n"))

    def test_length_limit_is_a_warning(self):
        arguments = ["ask", "-m", TINY, "--mode", "normal", "--temperature", "1", "hi",
                     "--max-tokens", "5"]
        done = sot(*arguments)
        self.assertEqual(done.returncode, 0)
        self.assertIn(b"warning: cut at a token limit", done.stderr)
        self.assertEqual(sot(*arguments, "-q").stderr, b"")
        answer = ask_json(*arguments[1:])
        self.assertEqual((answer["finish"], answer["stats"]["normal"]["decode_tokens"]),
                         ("length", 5))

    def test_stats_go_to_standard_error(self):
        done = sot("ask", *self.ARGUMENTS, "-q", "--stats", "--mode", "normal", "hi")
        plain = sot("ask", *self.ARGUMENTS, "-q", "--mode", "normal", "hi")
        self.assertEqual(done.stdout, plain.stdout)
        self.assertRegex(done.stderr.decode(), r"(?m)^normal +\d+ +\d+ +[\d.]+ +300 ")

    def test_info_gives_the_shape(self):
        done = sot("info", "-m", TINY, "--json")
        facts = json.loads(done.stdout)
        shape = {"n_layer": 2, "n_head": 4, "n_kv": 4, "d_head": 16, "d_model": 64, "d_ff": 128,
                 "n_vocab": 300, "device": "cpu", "has_tokenizer": True}
        self.assertEqual({name: facts[name] for name in shape}, shape)
        self.assertRegex(sot("info", "-m", TINY).stdout.decode(), r"(?m)^layers +2, d_model 64")

    def test_tokenize_prints_ids(self):
        with_bos = sot("tokenize", "-m", TINY, "--bos", "ab").stdout.split()
        without = sot("tokenize", "-m", TINY, stdin=b"ab\n").stdout.split()
        self.assertEqual(with_bos[1:], without)
        self.assertGreaterEqual(len(without), 2)
        self.assertTrue(all(0 <= int(token) < 300 for token in with_bos))


STAGE_KEYS = {"prefill_ns", "decode_ns", "prefill_tokens", "reused_tokens", "decode_tokens",
              "decode_steps", "max_rows"}
STATS_KEYS = {"total_ns", "n_points", "n_points_dropped", "longest_expansion", "peak_page_tokens",
              "session_bytes", "normal", "skeleton", "expand"}
ANSWER_KEYS = {"mode", "text", "finish", "skeleton", "points", "stats"}


@needs_demo
class DemoModel(unittest.TestCase):
    """What takes a real skeleton."""

    SHORT = ["--max-tokens", "200"]

    def check_answer(self, answer):
        self.assertEqual(set(answer["stats"]), STATS_KEYS)
        for stage in ("normal", "skeleton", "expand"):
            self.assertEqual(set(answer["stats"][stage]), STAGE_KEYS)
            for value in answer["stats"][stage].values():
                self.assertIsInstance(value, int)

    def check_sot(self, answer):
        self.check_answer(answer)
        self.assertEqual(answer["mode"], "sot")
        points = answer["points"]
        stats = answer["stats"]
        self.assertGreaterEqual(len(points), 3)
        self.assertEqual(set(points[0]), {"index", "text", "expansion", "finish", "tokens"})
        self.assertEqual(answer["skeleton"]["dropped"], 0)
        for point in points:
            self.assertIn(f"{point['index']}.", answer["skeleton"]["source"])
            self.assertIn(point["text"], answer["skeleton"]["source"])
            self.assertIn(point["finish"], ("stop", "length"))
        # The paper's aggregation, section 2.1, with the white space at both ends of expansions cut.
        expected = "\n".join(f"{p['index']}. {p['text'].strip()} {p['expansion'].strip()}"
                             for p in points)
        self.assertEqual(re.sub(" +", " ", answer["text"]), re.sub(" +", " ", expected))
        self.assertEqual(stats["n_points"], len(points))
        self.assertEqual(stats["expand"]["decode_tokens"], sum(p["tokens"] for p in points))
        self.assertEqual(stats["longest_expansion"], max(p["tokens"] for p in points))
        self.assertLess(stats["expand"]["decode_steps"], stats["expand"]["decode_tokens"])
        self.assertEqual(stats["expand"]["max_rows"], min(16, len(points)))

    def test_pipe_gets_the_text_once(self):
        done = sot("ask", "-m", DEMO, QUESTION)
        self.assertEqual(done.returncode, 0, done.stderr)
        answer = ask_json("-m", DEMO, QUESTION)
        self.assertEqual(done.stdout.decode(), answer["text"].strip() + "\n")
        self.assertNotIn(b"\x1b", done.stdout)
        self.assertRegex(done.stdout.decode(), r"\A1\. .*\n2\. .*\n3\. ")
        self.assertIn("chess", done.stdout.decode())

    def test_json_has_every_point(self):
        answer = ask_json("-m", DEMO, QUESTION)
        self.assertEqual(set(answer), ANSWER_KEYS | {"question"})
        self.assertEqual(answer["question"], QUESTION)
        self.check_sot(answer)

    def test_json_of_a_normal_answer_has_no_points(self):
        answer = ask_json("-m", DEMO, "--mode", "normal", *self.SHORT, QUESTION)
        self.check_answer(answer)
        self.assertEqual((answer["mode"], answer["skeleton"], answer["points"]),
                         ("normal", None, []))
        stats = answer["stats"]["normal"]
        self.assertEqual(stats["max_rows"], 1)
        self.assertIn(answer["finish"], ("stop", "length"))

    def check_decision(self, answer, router, label):
        decision = answer["decision"]
        self.assertEqual((decision["router"], decision["label"]), (router, label))
        self.assertTrue(0 <= decision["score"] <= 1)
        self.assertEqual(decision["latency_ns"], answer["stats"]["route_ns"])
        self.assertEqual(answer["mode"], "sot" if label == "sot" else "normal")

    def test_routed_answers_as_the_mode_that_was_chosen(self):
        """The demo model was trained to say the letters, A about a question of its kinds. On a CPU
        the router's question fills the passes but for some rows of the second, which the skeleton
        takes: nothing is spent on the normal answer where that loses."""
        questions = {"sot": QUESTION, "normal": "Write a poem about the sea."}
        for label, question in questions.items():
            alone = ask_json("-m", DEMO, "--mode", label, *self.SHORT, question)
            for options in [], ["--concurrent"]:
                routed = ask_json("-m", DEMO, "--mode", "routed", *options, *self.SHORT, question)
                self.check_decision(routed, "prompting", label)
                self.assertEqual(routed["text"], alone["text"])
                self.assertEqual(routed["decision"]["letter"] == "A", label == "sot")
                self.assertEqual(routed["decision"]["n_tokens"], 1)
                self.assertEqual(routed["stats"]["spent_tokens"] > 0,
                                 bool(options) and label == "normal")

    def test_routers_without_the_model_decide_at_once(self):
        for router, label in ("always", "sot"), ("never", "normal"):
            routed = ask_json("-m", DEMO, "--mode", "routed", "--router", router, *self.SHORT,
                              QUESTION)
            self.check_decision(routed, router, label)
            self.assertEqual(routed["stats"]["route"]["prefill_tokens"], 0)

    def test_trained_router_is_loaded_from_its_file(self):
        path = os.path.join(ROOT, "examples", "router", "lima.router")
        for question, label in ("What are the benefits of exercise?", "sot"), ("1 + 1 =", "normal"):
            routed = ask_json("-m", DEMO, "--mode", "routed", "--router-file", path, *self.SHORT,
                              question)
            self.check_decision(routed, "trained", label)
        done = sot("ask", "-m", DEMO, "--mode", "routed", "--router-file", DEMO, QUESTION)
        self.assertEqual((done.returncode, done.stdout), (1, b""))
        self.assertIn(b"demo.gguf", done.stderr)

    def test_stats_of_a_routed_answer_tell_the_decision(self):
        done = sot("ask", "-m", DEMO, "--mode", "routed", "--concurrent", "--stats", *self.SHORT,
                   "Write a poem about the sea.")
        self.assertRegex(done.stderr.decode(), r"(?m)^route +\d+ +\d+ ")
        self.assertRegex(done.stderr.decode(),
                         r"(?m)^router prompting: normal \([BC], [01]\.\d\d\) after \d+\.\d+ s, "
                         r"\d+ tokens spent on what was not chosen, about -?\d+\.\d+ s won$")

    def test_compare_agrees_with_single_runs(self):
        both = ask_json("-m", DEMO, "--compare", *self.SHORT, QUESTION)
        self.assertEqual(set(both), {"question", "normal", "sot", "comparison"})
        self.assertEqual(set(both["sot"]), ANSWER_KEYS)
        self.check_sot(both["sot"])
        for mode in ("normal", "sot"):
            single = ask_json("-m", DEMO, "--mode", mode, *self.SHORT, QUESTION)
            self.assertEqual(single["text"], both[mode]["text"])
        normal, parallel = both["normal"]["stats"], both["sot"]["stats"]
        comparison = both["comparison"]
        self.assertAlmostEqual(comparison["speedup"], normal["total_ns"] / parallel["total_ns"])
        steps = parallel["skeleton"]["decode_tokens"] + parallel["longest_expansion"]
        self.assertAlmostEqual(comparison["bound"], normal["normal"]["decode_tokens"] / steps)
        self.assertAlmostEqual(comparison["share_of_bound"],
                               comparison["speedup"] / comparison["bound"])

    def test_compare_prints_both_and_the_table(self):
        done = sot("ask", "-m", DEMO, "--compare", *self.SHORT, QUESTION)
        self.assertEqual(done.returncode, 0)
        both = ask_json("-m", DEMO, "--compare", *self.SHORT, QUESTION)
        expected = (f"Normal\n{both['normal']['text'].strip()}\n\n"
                    f"Skeleton-of-Thought\n{both['sot']['text'].strip()}\n\nComparison\n")
        self.assertTrue(done.stdout.decode().startswith(expected), done.stdout.decode())
        for line in ("latency", "tokens written", "speed-up", "lengths allow"):
            self.assertRegex(done.stdout.decode(), rf"(?m)^ *{line} +[\d.]+")

    def test_max_points_leaves_out_and_says_so(self):
        answer = ask_json("-m", DEMO, "--max-points", "2", QUESTION)
        self.assertEqual(len(answer["points"]), 2)
        self.assertGreater(answer["skeleton"]["dropped"], 0)
        done = sot("ask", "-m", DEMO, "--max-points", "2", QUESTION)
        self.assertIn(b"points were left out (--max-points)", done.stderr)

    def test_max_point_tokens_cuts_each_point(self):
        answer = ask_json("-m", DEMO, "--max-point-tokens", "3", QUESTION)
        self.assertEqual({(p["tokens"], p["finish"]) for p in answer["points"]}, {(3, "length")})
        self.assertEqual(answer["finish"], "length")

    def test_prompts_of_the_paper_are_the_default(self):
        path = os.path.join(os.environ.get("SOT_SHARED_DIR", os.path.join(ROOT, "..", "shared")),
                            "data", "prompts_opensource.json")
        if not os.path.isfile(path):
            self.skipTest(f"no {path}")
        self.assertEqual(ask_json("-m", DEMO, "--prompts", path, QUESTION)["text"],
                         ask_json("-m", DEMO, QUESTION)["text"])

    def test_wording_unknown_lists_the_known(self):
        done = sot("ask", "-m", DEMO, "--wording", "terse", QUESTION)
        self.assertEqual(done.returncode, 2)
        self.assertIn(b'"terse" is none of two-shot, zero-shot, compact, chained', done.stderr)

    def test_wordings_leave_ever_less_to_compute(self):
        computed = []
        for name in ("two-shot", "compact", "chained"):
            answer = ask_json("-m", DEMO, "--wording", name, "--max-point-tokens", "3", QUESTION)
            self.assertGreaterEqual(len(answer["points"]), 1)
            stats = answer["stats"]["expand"]
            computed.append(stats["prefill_tokens"] / len(answer["points"]))
        self.assertGreater(computed[0], computed[2])
        self.assertGreater(computed[1], computed[2])

    def test_prompts_chained_by_file(self):
        with tempfile.TemporaryDirectory() as folder:
            path = json_file(folder, {
                "chained": True,
                "outline_prompt": "{request} [ROLESWITCHING assistant:] 1. Only this.\n2. And that.",
                "point_prompt": "Next: [ROLESWITCHING assistant:]{point}. {point_outline}"})
            answer = ask_json("-m", DEMO, "--prompts", path, "--max-skeleton-tokens", "1", QUESTION)
        self.assertEqual(answer["points"][0]["text"].strip(), "Only this.")
        self.assertGreater(answer["stats"]["expand"]["reused_tokens"], 0)

    def test_prompts_of_the_users_own_are_used(self):
        with tempfile.TemporaryDirectory() as folder:
            path = json_file(folder, {
                "outline_prompt": "{request} [ROLESWITCHING assistant:] 1. Only this.\n2. And that.",
                "point_prompt": "{request} {outline} {point} [ROLESWITCHING assistant:]"
                                "{point}. {point_outline}"})
            answer = ask_json("-m", DEMO, "--prompts", path, "--max-skeleton-tokens", "1", QUESTION)
        self.assertEqual(answer["points"][0]["text"].strip(), "Only this.")
        self.assertTrue(answer["points"][1]["text"].startswith("And that."))

    def test_template_changes_the_prompt(self):
        tokens = {name: ask_json("-m", DEMO, "--mode", "normal", "--max-tokens", "1", "--template",
                                 name, QUESTION)["stats"]["normal"] for name in ("vicuna", "none")}
        read = {name: stats["prefill_tokens"] + stats["reused_tokens"]
                for name, stats in tokens.items()}
        self.assertGreater(read["vicuna"], read["none"])

    def test_isa_portable_answers_alike(self):
        texts = [ask_json("-m", DEMO, "--isa", isa, "--mode", "normal", "--max-tokens", "8",
                          QUESTION)["text"] for isa in ("portable", "auto")]
        self.assertEqual(*texts)


class Interrupts(unittest.TestCase):
    def interrupted(self, *arguments, after):
        """Sends SIGINT some seconds after it is caught. Returns exit code, output, errors."""
        # pylint: disable=subprocess-popen-preexec-fn
        with subprocess.Popen([SOT, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, env=environment(),
                              preexec_fn=default_interrupt) as process:
            wait_for_handler(process)
            time.sleep(after)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            out, err = process.communicate(timeout=TIMEOUT)
            self.assertLess(time.monotonic() - began, 30)
            return process.returncode, out, err

    def while_generating(self, *arguments):
        """Interrupts later and later until the model was loaded by then."""
        after = 0.5
        while True:
            code, out, err = self.interrupted("ask", "-m", SLOW, "--temperature", "1", *arguments,
                                              after=after)
            if out or after > 60:
                return code, out, err
            self.assertEqual(code, 130, err)
            after *= 2

    def test_interrupt_while_generating_keeps_the_text(self):
        code, out, err = self.while_generating("--mode", "normal", "--ctx", "4096", "--max-tokens",
                                               "4000", "--json", "hi")
        self.assertEqual(code, 130, err)
        self.assertIn(b"interrupted", err)
        answer = json.loads(out)
        self.assertEqual(answer["finish"], "cancelled")
        self.assertLess(answer["stats"]["normal"]["decode_tokens"], 4000)

    def test_interrupt_of_a_comparison_ends_it(self):
        code, out, err = self.while_generating("--compare", "--ctx", "4096", "--max-tokens", "4000",
                                               "--json", "hi")
        self.assertEqual(code, 130, err)
        answer = json.loads(out)
        self.assertEqual(answer["normal"]["finish"], "cancelled")
        self.assertEqual((answer["sot"], answer["comparison"]), (None, None))

    def test_interrupt_while_loading_ends_soon(self):
        code, out, err = self.interrupted("ask", "-m", LONG_LOADING, "hi", after=0.3)
        self.assertEqual((code, out), (130, b""))
        self.assertIn(b"interrupted while loading", err)

    def test_interrupt_while_reading_the_question_ends_at_once(self):
        # pylint: disable=subprocess-popen-preexec-fn
        with subprocess.Popen([SOT, "ask", "-m", TINY], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
                              preexec_fn=default_interrupt) as process:
            wait_for_handler(process)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=TIMEOUT), 130)
            self.assertIn(b"interrupted while reading", process.stderr.read())

    def test_second_interrupt_kills(self):
        # A pipe that is full already holds the program up when it prints what there is.
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(writer, True)
        # pylint: disable=subprocess-popen-preexec-fn
        with subprocess.Popen([SOT, "ask", "-m", TINY, "--temperature", "1", "--mode", "normal",
                               "--max-tokens", "200", "hi"], stdin=subprocess.DEVNULL,
                              stdout=writer, stderr=subprocess.DEVNULL, env=environment(),
                              preexec_fn=default_interrupt) as process:
            wait_until_asleep(process)
            process.send_signal(signal.SIGINT)
            wait_for_handler(process, installed=False)
            self.assertIsNone(process.poll())
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=TIMEOUT), -signal.SIGINT)
        os.close(reader)
        os.close(writer)

    def test_interrupt_ignored_by_the_parent_stays_ignored(self):
        # pylint: disable=subprocess-popen-preexec-fn
        with subprocess.Popen([SOT, "ask", "-q", "-m", TINY, "--mode", "normal", "--max-tokens",
                               "4"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              env=environment(),
                              preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)
                              ) as process:
            time.sleep(0.5)
            process.send_signal(signal.SIGINT)
            process.communicate(b"hi", timeout=TIMEOUT)
            self.assertEqual(process.returncode, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
