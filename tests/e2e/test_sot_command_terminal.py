"""The sot command on a terminal: what a user sees while points grow, and what is left at the end."""
import unittest

from programs import DEMO, QUESTION, SOT, TINY, ask_json, needs_demo
from terminal_screen import Terminal, words

SLOW = "random:512x8x8x1376x2000"


@needs_demo
class LiveView(unittest.TestCase):
    def setUp(self):
        self.answer = ask_json("-m", DEMO, QUESTION)

    def check_end(self, terminal):
        """Every point is there, once, and nothing else."""
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(words(terminal.screen.everything()), words(self.answer["text"]))

    def test_points_grow_at_once_in_their_places(self):
        terminal = Terminal([SOT, "ask", "-m", DEMO, "--isa", "portable", "--threads", "1",
                             QUESTION])
        self.check_end(terminal)
        growing = []
        for frame in terminal.frames:
            starts = [i for i, line in enumerate(frame.split("\n")) if line[:1].isdigit()]
            if "points done" in frame:
                growing.append(len(starts))
                indexes = [frame.split("\n")[i].split(".")[0] for i in starts]
                self.assertEqual(indexes, [point["index"] for point in self.answer["points"]])
        self.assertTrue(growing, "no frame with points was drawn")
        two = [frame for frame in terminal.frames if frame.count("\u2026") >= 2]
        self.assertTrue(two, "no frame with two points growing was drawn")

    def test_text_above_stays(self):
        terminal = Terminal(["sh", "-c", 'echo above; "$0" "$@"; echo below', SOT, "ask", "-m",
                             DEMO, QUESTION])
        self.assertEqual(terminal.finish(), 0)
        self.assertEqual(words(terminal.screen.everything()),
                         f"above {words(self.answer['text'])} below")

    def test_screens_of_all_sizes_show_the_answer_once(self):
        for columns, lines in [(200, 60), (60, 10), (33, 5), (20, 4), (12, 3), (80, 1)]:
            with self.subTest(columns=columns, lines=lines):
                terminal = Terminal([SOT, "ask", "-m", DEMO, QUESTION], columns, lines)
                self.assertEqual(terminal.finish(), 0)
                # On very narrow screens words are broken: compare without white space.
                self.assertEqual("".join(terminal.screen.everything().split()),
                                 "".join(self.answer["text"].split()))
                for row in terminal.screen.gone + terminal.screen.rows:
                    self.assertLessEqual(len(row), columns)

    def test_screen_made_wider_meanwhile_is_used(self):
        terminal = Terminal([SOT, "ask", "-m", DEMO, "--isa", "portable", "--threads", "1",
                             QUESTION], 40, 12)
        terminal.wait_for("points done")
        terminal.resize(100, 40)
        self.check_end(terminal)

    def test_no_color_leaves_styles_out(self):
        for changes, flags in [({"NO_COLOR": "1"}, []), ({}, ["--no-color"])]:
            terminal = Terminal([SOT, "ask", *flags, "-m", DEMO, QUESTION], **changes)
            self.check_end(terminal)
            self.assertEqual(terminal.screen.styles, 0)
        terminal = Terminal([SOT, "ask", "-m", DEMO, QUESTION], NO_COLOR="")
        self.check_end(terminal)
        self.assertGreater(terminal.screen.styles, 0)

    def test_dumb_terminal_gets_plain_text(self):
        for term in ("dumb", None):
            terminal = Terminal([SOT, "ask", "-m", DEMO, QUESTION], 1000, TERM=term)
            self.check_end(terminal)
            self.assertNotIn("\x1b", terminal.raw)

    def test_quiet_shows_the_answer_only(self):
        terminal = Terminal([SOT, "ask", "-q", "-m", DEMO, QUESTION])
        self.check_end(terminal)
        self.assertFalse([frame for frame in terminal.frames if "points done" in frame])

    def test_locale_without_utf8_draws_ascii(self):
        terminal = Terminal([SOT, "ask", "-m", DEMO, QUESTION], LC_ALL="C")
        self.check_end(terminal)
        self.assertTrue(terminal.raw.isascii() or not self.answer["text"].isascii())

    def test_compare_shows_both_and_the_table(self):
        terminal = Terminal([SOT, "ask", "--compare", "-m", DEMO, QUESTION])
        self.assertEqual(terminal.finish(), 0)
        everything = words(terminal.screen.everything())
        self.assertEqual(everything.count(words(self.answer["text"])), 1)
        self.assertTrue(everything.startswith("Normal "))
        self.assertIn("Comparison", everything)


class Keys(unittest.TestCase):
    def test_ctrl_c_keeps_what_there_is(self):
        terminal = Terminal([SOT, "ask", "-m", SLOW, "--mode", "normal", "--temperature", "1",
                             "--ctx", "4096", "--max-tokens", "4000", "hi"])
        self.assertTrue(terminal.wait_for("tokens/s"), terminal.screen.visible())
        terminal.type(b"\x03")
        self.assertEqual(terminal.finish(), 130)
        everything = terminal.screen.everything()
        self.assertIn("sot: interrupted", everything)
        self.assertNotIn("tokens/s", everything)

    def test_question_missing_on_a_terminal_is_refused(self):
        terminal = Terminal([SOT, "ask", "-m", TINY])
        self.assertEqual(terminal.finish(), 2)
        self.assertIn("no question", terminal.screen.visible())

    def test_dash_reads_the_terminal(self):
        terminal = Terminal([SOT, "ask", "-q", "-m", TINY, "--mode", "normal", "--max-tokens", "1",
                             "-"])
        terminal.type(b"hi\n\x04")
        self.assertEqual(terminal.finish(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
