"""README.md's programs and commands are taken from the page and run, so that what is copied from there
works: the C program as a stranger compiles it against an installed libsot, the commands, the Python."""
import os
import re
import subprocess
import sys
import tempfile
import unittest

from programs import BUILD, ROOT, TIMEOUT, environment, needs_demo, sanitized


def readme():
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        return file.read()


def blocks(language):
    """The fenced blocks of that language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", readme(), re.MULTILINE | re.DOTALL)


def block_with(language, text):
    found = [block for block in blocks(language) if text in block]
    assert len(found) == 1, f"README.md has {len(found)} {language} blocks with {text!r}"
    return found[0]


def coverage_build():
    with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as file:
        return re.search(r"^SOT_COVERAGE:\w+=ON$", file.read(), re.MULTILINE) is not None


def needs_plain_build(test):
    """Skips, saying so, where neither an ordinary program nor Python can load the library."""
    if not sanitized() and not coverage_build():
        return test
    print("SKIPPED: an instrumented library does not go into an ordinary program", file=sys.stderr)
    return unittest.skip("instrumented library")(test)


def shell(commands, folder, **changes):
    """What they print; they must succeed, and say nothing on standard error."""
    done = subprocess.run(["sh", "-euc", commands], cwd=folder, capture_output=True, check=False,
                          timeout=TIMEOUT, env=environment(**changes))
    assert done.returncode == 0 and done.stderr == b"", (commands, done)
    return done.stdout.decode()


class Readme(unittest.TestCase):
    def test_program_is_the_one_in_examples(self):
        with open(os.path.join(ROOT, "examples", "minimal.c"), encoding="utf-8") as file:
            text = file.read()
        self.assertEqual(block_with("c", "int main"), text[text.index("#include"):])

    @needs_demo
    @needs_plain_build
    def test_program_compiles_as_stated_and_answers(self):
        commands = block_with("sh", "pkg-config").splitlines()
        self.assertEqual(commands[:2], ["cmake --preset release -DSOT_TESTS=OFF && "
                                        "cmake --build build -j",
                                        "sudo cmake --install build && sudo ldconfig"])
        with tempfile.TemporaryDirectory() as folder:
            shell(f"cmake --install '{BUILD}' --prefix '{folder}/usr' >installed", folder)
            pc = [os.path.join(where, name) for where, _, names in os.walk(f"{folder}/usr")
                  for name in names if name == "libsot.pc"]
            self.assertEqual(len(pc), 1)
            os.symlink(os.path.join(ROOT, "examples"), f"{folder}/examples")
            with open(f"{folder}/minimal.c", "w", encoding="utf-8") as file:
                file.write(block_with("c", "int main"))
            answer = shell("\n".join(commands[2:]), folder,
                           PKG_CONFIG_PATH=os.path.dirname(pc[0]),
                           LD_LIBRARY_PATH=os.path.dirname(os.path.dirname(pc[0])))
            self.assertRegex(answer, r"^1\. .*\n(.*\n)*3\. ")

    @needs_demo
    def test_commands_run(self):
        for command in block_with("sh", "build/examples/sot ask").splitlines():
            self.assertTrue(shell(command.replace("build/", f"'{BUILD}'/", 1), ROOT))

    @needs_demo
    @needs_plain_build
    def test_python_runs(self):
        program = block_with("python", "import sot")
        done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True,
                              check=False, timeout=TIMEOUT, env=environment(
                                  PYTHONPATH=os.path.join(ROOT, "bindings", "python", "src"),
                                  PYTHONDONTWRITEBYTECODE="1",
                                  SOT_LIBRARY=os.path.join(BUILD, "libsot.so")))
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertRegex(done.stdout.decode(), r"^1 \w.*\n2 \w")

    def test_links_lead_to_files(self):
        links = re.findall(r"\]\(([^)#]+)\)", readme())
        self.assertGreater(len(links), 10)
        for link in links:
            if not link.startswith("http"):
                self.assertTrue(os.path.exists(os.path.join(ROOT, link)), link)

    def test_two_commands_are_there(self):
        for command in block_with("sh", "demo.sh").splitlines():
            script = command.split("#")[0].split()[1]
            self.assertTrue(os.path.isfile(os.path.join(ROOT, script)), script)
            subprocess.run(["sh", "-n", script], cwd=ROOT, check=True)

    @needs_demo
    @needs_plain_build
    def test_demo_answers_in_both_modes(self):
        if os.path.realpath(BUILD) != os.path.join(ROOT, "build"):
            print("SKIPPED: demo.sh builds in build/ alone", file=sys.stderr)
            self.skipTest("another build folder")
        if subprocess.run(["sh", "-c", ". tests/packages.sh && dpkg-query -W $BUILD_PACKAGES"],
                          cwd=ROOT, capture_output=True, check=False).returncode != 0:
            print("SKIPPED: demo.sh would install packages", file=sys.stderr)
            self.skipTest("packages are missing")
        said = shell("sh examples/demo.sh 'What is a good picnic?'", ROOT)
        self.assertIn("What is a good picnic?", said)
        self.assertRegex(said, r"(?m)^1\. .*\n(.*\n)*2\. ")


if __name__ == "__main__":
    unittest.main()
