"""The manual pages: they render without a warning, have every option, command and exit code that
the programs have and no other, and libsot(3)'s program does what the page says."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

from programs import BUILD, DEMO, ROOT, TIMEOUT, TINY, needs_demo, run

PAGES = os.path.join(ROOT, "docs", "man")
NAMES = ("sot.1", "sot-bench.1", "sot-eval.1", "libsot.3")
PROGRAMS = ("sot", "sot-bench", "sot-eval")


def page(name):
    with open(os.path.join(PAGES, name), encoding="utf-8") as file:
        return file.read()


def section(text, name):
    """What is in a section: the lines behind .Sh NAME."""
    return re.search(rf"^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)", text, re.MULTILINE | re.DOTALL)[1]


def needs(tool):
    """Skips, saying so, where a tool is absent."""
    if shutil.which(tool):
        return lambda test: test
    print(f"SKIPPED: {tool} is not installed", file=sys.stderr)
    return unittest.skip(f"no {tool}")


class Rendering(unittest.TestCase):
    def test_every_page_is_known_here(self):
        self.assertEqual(sorted(os.listdir(PAGES)), sorted(NAMES))

    @needs("mandoc")
    def test_mandoc_finds_nothing_to_remark(self):
        done = subprocess.run(["mandoc", "-T", "lint", *NAMES], cwd=PAGES, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.assertEqual((done.stdout.decode(), done.returncode), ("", 0))

    @needs("groff")
    def test_groff_warns_of_nothing(self):
        for name in NAMES:
            done = subprocess.run(["groff", "-k", "-mdoc", "-ww", "-Tutf8",
                                   os.path.join(PAGES, name)], capture_output=True, check=False)
            self.assertEqual((done.stderr.decode(), done.returncode), ("", 0))
            self.assertGreater(len(done.stdout.splitlines()), 100)

    def test_literal_lines_fit_a_terminal(self):
        for name in NAMES:
            for text in re.findall(r"^\.Bd -literal\n(.*?)^\.Ed", page(name),
                                   re.MULTILINE | re.DOTALL):
                for line in text.splitlines():
                    self.assertLessEqual(len(line.replace("\\e", "\\")), 73, f"{name}: {line}")


def options_of_page(program):
    """{command: {(letter, name, value)}}; a heading names the commands that its options are of."""
    found = {}
    commands = []
    for line in section(page(f"{program}.1"), "OPTIONS").splitlines():
        if line.startswith(".Ss "):
            commands = re.findall(rf"\b{program}\b(?! and)(?: (?!only)([a-z][a-z-]*))?", line)
        elif line.startswith(".It Fl "):
            letters = re.findall(r"\bFl (\w)\b(?! Ar)", line)
            name = re.search(r"\bFl -([a-z0-9-]+)", line)[1]
            value = re.search(r"\bAr (\S+)", line)
            for command in commands:
                found.setdefault(command, set()).add(
                    ("".join(letters), name, value[1].lower() if value else ""))
    return found


def help_of(program, command):
    done = run(program, *([command] if command else []), "--help")
    if (done.returncode, done.stderr) != (0, b""):
        raise AssertionError((program, command, done))
    return done.stdout.decode()


def options_of_help(text):
    """The same of a help text, whose lines have an option in front, its value in capitals."""
    lines = re.findall(r"^ {1,8}(?:-(\w),? *)?--([a-z0-9-]+)(?:[ =]([A-Z]\S*))?(?=\s|$)", text,
                       re.MULTILINE)
    return {(letter, name, value.lower()) for letter, name, value in lines}


def commands_of_help(program):
    lines = re.findall(rf"^ {{1,4}}(?:{program} )?([a-z][a-z-]+) {{2,}}\S", help_of(program, ""),
                       re.MULTILINE)
    return set(lines)


class Options(unittest.TestCase):
    def test_synopsis_has_every_command(self):
        for program in PROGRAMS:
            commands = set(re.findall(r"^\.Nm\n\.Cm ([a-z-]+)$",
                                      section(page(f"{program}.1"), "SYNOPSIS"), re.MULTILINE))
            self.assertGreater(len(commands), 2)
            self.assertEqual(commands, commands_of_help(program))

    def test_page_has_the_options_of_every_command(self):
        n_options = 0
        for program in PROGRAMS:
            pages = options_of_page(program)
            commands = commands_of_help(program) | ({""} if program == "sot-bench" else set())
            self.assertEqual(set(pages), commands)
            for command in commands:
                helped = options_of_help(help_of(program, command))
                self.assertEqual(pages[command], helped, f"{program} {command}")
                n_options += len(helped)
        self.assertGreater(n_options, 150)

    def test_options_named_in_the_text_exist(self):
        known = {name for program in PROGRAMS for options in options_of_page(program).values()
                 for _, name, _ in options} | {"version"}
        for program in PROGRAMS:
            for name in re.findall(r"\bFl -([a-z0-9-]+)", page(f"{program}.1")):
                self.assertIn(name, known, program)

    def test_page_has_the_commands_of_a_conversation(self):
        done = run("sot", "chat", "-m", TINY, stdin=b"/help\n")
        said = set(re.findall(r"^(/[a-z]+(?: \[?[A-Z]+)?)", (done.stdout + done.stderr).decode(),
                              re.MULTILINE))
        written = re.findall(r"^\.It Ic (/[a-z]+)(?:( Op)? Ar ([a-z]+))?$",
                             section(page("sot.1"), "CONVERSATIONS"), re.MULTILINE)
        self.assertEqual({name + (" " + ("[" if optional else "") + value.upper() if value else "")
                          for name, optional, value in written} - {"/help"}, said)

    def test_examples_name_options_that_exist(self):
        for program in PROGRAMS:
            pages = options_of_page(program)
            text = section(page(f"{program}.1"), "EXAMPLES").replace("\\e\n", " ")
            n_examples = 0
            for words in re.findall(rf"^(?:\$ +| +)?{program} (.*)$", text, re.MULTILINE):
                command = words.split()[0] if words.split()[0] in pages else ""
                names = {name for _, name, _ in pages[command]}
                letters = {letter for letter, _, _ in pages[command]}
                for letter, name in re.findall(r"(?:^| )-(?:(\w)\b|-([a-z0-9-]+))", words):
                    self.assertIn(name or letter, names if name else letters, words)
                n_examples += 1
            self.assertGreater(n_examples, 4)


class ExitCodes(unittest.TestCase):
    @staticmethod
    def codes_of_page(program):
        return {int(code) for code in re.findall(r"^\.It (\d+)$",
                                                 section(page(f"{program}.1"), "EXIT STATUS"),
                                                 re.MULTILINE)}

    def test_page_has_those_of_the_help_texts(self):
        for program in PROGRAMS:
            helped = set()
            for command in commands_of_help(program) | {""}:
                stated = re.search(r"Exit codes:(.*)", help_of(program, command), re.DOTALL)
                helped |= {int(code) for code in re.findall(r"\b(\d+) [a-z]",
                                                            stated[1] if stated else "")}
            self.assertEqual(self.codes_of_page(program), helped, program)

    def test_page_has_those_that_are_returned(self):
        ways = {
            "sot": {0: ["info", "-m", TINY], 1: ["info", "-m", "/no/such/model"], 2: ["ask"],
                    3: ["ask", "-m", TINY, "--mode", "normal", "--ctx", "40", "-q", "Hi"]},
            "sot-bench": {0: ["--list-lengths"], 1: ["-m", "/no/such/model", "-q"],
                          2: ["--cases", "all"]},
            "sot-eval": {0: ["--version"], 1: ["win-rate", "/no/such/file"], 2: ["run"]},
        }
        for program, codes in ways.items():
            for code, arguments in codes.items():
                self.assertEqual(run(program, *arguments).returncode, code, arguments)
            self.assertEqual(self.codes_of_page(program), set(codes) | {130})


class Library(unittest.TestCase):
    """libsot(3)."""

    def test_page_names_every_function_and_status(self):
        with open(os.path.join(ROOT, "lib", "api", "libsot.map"), encoding="utf-8") as file:
            exports = set(re.findall(r"^\s+(sot_\w+);$", file.read(), re.MULTILINE))
        named = set(re.findall(r"^\.Fn (sot_\w+) ?,?$", section(page("libsot.3"), "FUNCTIONS"),
                               re.MULTILINE))
        self.assertEqual(named, exports)
        self.assertLessEqual(set(re.findall(r"\b(?:Fn|Dv) (sot_[^\s,]+)", page("libsot.3"))), exports)
        with open(os.path.join(ROOT, "include", "sot", "status.h"), encoding="utf-8") as file:
            table = re.findall(r'X\((ERR_\w+), -\d+, *"(.*?)"\)', file.read())
        stated = re.findall(r"^\.It Dv SOT_(ERR_\w+)\n(.*?)\.?\n(?:Any function.*\n)?(?=\.)",
                            section(page("libsot.3"), "ERRORS"), re.MULTILINE | re.DOTALL)
        self.assertEqual([(name, text[0].lower() + text[1:]) for name, text in stated], table)

    def program(self, folder):
        """libsot(3)'s program, compiled."""
        text = re.search(r"^\.Bd -literal\n(#include.*?)^\.Ed", page("libsot.3"),
                         re.MULTILINE | re.DOTALL)[1].replace("\\e", "\\")
        source = os.path.join(folder, "points.c")
        with open(source, "w", encoding="utf-8") as file:
            file.write(text)
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
            cache = dict(re.findall(r"^(\w+):\w+=(.*)$", file.read(), re.MULTILINE))
        sanitize = cache.get("SOT_SANITIZE", "")
        program = os.path.join(folder, "points")
        subprocess.run([cache["CMAKE_C_COMPILER"], "-std=c11", "-Wall", "-Wextra", "-pedantic",
                        "-Werror", *([f"-fsanitize={sanitize}"] if sanitize else []),
                        "-I" + os.path.join(ROOT, "include"), source, "-o", program, "-L" + BUILD,
                        "-lsot", "-Wl,-rpath," + BUILD], check=True, timeout=TIMEOUT)
        return program

    @needs_demo
    def test_program_of_the_page_answers_in_points(self):
        with tempfile.TemporaryDirectory() as folder:
            program = self.program(folder)
            done = subprocess.run([program, DEMO, "How can I improve my chess skills?"],
                                  capture_output=True, check=False, timeout=TIMEOUT)
            self.assertEqual((done.stderr, done.returncode), (b"", 0))
            points, answer, summary = done.stdout.decode().strip().split("\n\n")
            self.assertGreater(len(points.splitlines()), 2)
            for point, line in zip(points.splitlines(), answer.splitlines(), strict=True):
                self.assertTrue(line.startswith(point.strip()), (point, line))
            self.assertRegex(summary, rf"^{len(points.splitlines())} points, \d+\.\d\d s$")
            done = subprocess.run([program, "/no/such/model", "Hi"], capture_output=True,
                                  check=False, timeout=TIMEOUT)
            self.assertEqual((done.stdout, done.returncode), (b"", 1))
            self.assertIn(b"/no/such/model", done.stderr)
            self.assertEqual(subprocess.run([program], stderr=subprocess.DEVNULL,
                                            check=False).returncode, 2)


if __name__ == "__main__":
    unittest.main()
