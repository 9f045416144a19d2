"""Rules that a machine can check: format, shell scripts, what must not be committed, the sample and the manual."""

import fcntl
import filecmp
import os
import pathlib
import pty
import re
import shutil
import struct
import subprocess
import tempfile
import termios
import unittest

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
GRIDMF = os.environ.get("GRIDMF")
QUERY = os.environ.get("GRIDMF_QUERY")


def files(*patterns):
    found = [p for pattern in patterns for p in SOURCE.glob(pattern) if "build" not in p.relative_to(SOURCE).parts]
    assert found, f"nothing matches {patterns}"
    return found


def run(*command):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False)


def run_on_terminal(command, columns):
    """Standard output of a command that has a terminal of so many columns there, or none."""
    if columns is None:
        return run(*command).stdout
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    with subprocess.Popen(command, stdout=terminal, close_fds=True) as child:
        os.close(terminal)
        out = b""
        try:
            while chunk := os.read(controller, 65536):
                out += chunk
        except OSError:  # the end, as Linux tells it
            pass
        child.wait()
    os.close(controller)
    return out.decode()


class Style(unittest.TestCase):
    @unittest.skipUnless(shutil.which("clang-format"), "clang-format is not installed")
    def test_format(self):
        done = run("clang-format", "--dry-run", "-Werror", *files("src/**/*.[ch]", "include/**/*.h", "tests/**/*.[ch]"))
        self.assertEqual(done.returncode, 0, done.stderr[:2000])

    @unittest.skipUnless(shutil.which("shellcheck"), "shellcheck is not installed")
    def test_shell(self):
        scripts = [p for p in files("scripts/**/*", "jobs/*", ".ci/*", "tests/**/*.sh")
                   if p.is_file() and re.match(rb"#!.*\b(ba)?sh\b|# shellcheck", p.read_bytes()[:64])]
        self.assertGreater(len(scripts), 3)
        done = run("shellcheck", "-x", "-P", SOURCE, *scripts)
        self.assertEqual(done.returncode, 0, done.stdout[:2000])

    def test_function_length(self):
        """A function can be seen at once: none over 80 lines, few over 50."""
        lengths = []
        for path in files("src/**/*.c"):
            begin = 0
            for number, line in enumerate(path.read_text(encoding="utf-8").split("\n")):
                if line == "{":
                    begin = number
                elif line == "}":
                    lengths.append((number - begin, f"{path}:{begin}"))
        self.assertLess(max(lengths)[0], 80, max(lengths))
        self.assertLess(sum(n > 50 for n, _ in lengths), 0.02 * len(lengths))

    def test_clocks(self):
        """Time is measured by clocks that nobody sets: a jump of the date must neither end a run nor keep it going. Dates
        are for provenance, and the ages of files."""
        wall = re.compile(r"CLOCK_REALTIME|\bgettimeofday\(|\btime\((NULL|0|&)")
        found = {path.name for path in files("src/**/*.[ch]") if wall.search(path.read_text(encoding="utf-8"))}
        self.assertEqual(found, {"provenance.c", "lock.c"})

    def test_nothing_private(self):
        """No path of a machine, no data set of others, nothing unfinished."""
        words = re.compile("TO" + "DO|FIX" + "ME|march=" + "native|/ho" + "me/|/wo" + "rk/")
        for path in files("src/**/*", "include/**/*", "scripts/**/*", "jobs/*", "tests/**/*", "*.md", "CMakeLists.txt"):
            if path.is_file() and path.suffix not in (".pyc", ".h5"):
                self.assertIsNone(words.search(path.read_text(encoding="utf-8", errors="replace")), path)

    def test_sample(self):
        with tempfile.TemporaryDirectory() as folder:
            done = run(SOURCE / "scripts" / "make-sample", "--output", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            for name in ("ratings.csv", "movies.csv"):
                self.assertTrue(filecmp.cmp(pathlib.Path(folder) / name, SOURCE / "inputs" / name, shallow=False), name)

    def test_manual(self):
        """The page has every option that the verbs' helps have, and mandoc reads it without errors."""
        page = run(GRIDMF, "--manual").stdout
        for verb in ("import", "split", "train", "evaluate", "synth", "info", "verify", "sweep"):
            for option in re.findall(r"^  (?:-o, )?--(\S+)", run(GRIDMF, verb, "--help").stdout, re.MULTILINE):
                self.assertIn(f"Fl -{option}", page, verb)
        if shutil.which("mandoc"):
            with tempfile.NamedTemporaryFile("w", suffix=".1") as file:
                file.write(page)
                file.flush()
                self.assertEqual(run("mandoc", "-Tlint", "-Werror", file.name).returncode, 0)

    def test_readme_leads_somewhere(self):
        """Links of the README, and the scripts and tests it names, are there; so are the options that it shows."""
        text = (SOURCE / "README.md").read_text(encoding="utf-8")
        tests = (SOURCE / "tests" / "CMakeLists.txt").read_text(encoding="utf-8")
        anchors = {re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"^#+ (.*)$", text, re.M)}
        links = re.findall(r"\]\(([^)\s]+)\)", text)
        self.assertGreater(len(links), 10)
        for link in links:
            self.assertTrue(link[1:] in anchors if link[0] == "#" else (SOURCE / link).exists(), link)
        for path in set(re.findall(r"(?<![\w/])(?:scripts|jobs|inputs|src)/[\w./-]*\w", text)):
            self.assertTrue((SOURCE / path).exists(), path)
        for name in set(re.findall(r"`(test_\w+)", text)):
            self.assertTrue(f"({name} " in tests, name)
        known = {word for program in (GRIDMF, QUERY) for word in re.findall(r" (--[\w-]+)", run(program, "--words").stdout)}
        for verb_line in re.findall(r"^(?:\$|   ) .*\bgridmf(?:-query \S+)? [a-z-]+ .*$", text, re.M):
            for option in re.findall(r" (--[\w-]+)", verb_line.split("|")[0]):
                self.assertTrue(option in known, (option, verb_line))

    def test_help_fits_the_terminal(self):
        """Lines of text end where the terminal does; 110 columns without one. Words are never cut."""
        for columns, longest in ((80, 80), (300, 110), (None, 110)):
            for command in ([GRIDMF, "train", "--help"], [GRIDMF, "import", "--help"], [QUERY, "--help"]):
                lines = run_on_terminal(command, columns).splitlines()
                text = [line for line in lines if not line.startswith(("usage:", "Usage:", "example:", "  gridmf"))
                        and re.match(r" {30}|\w", line)]
                self.assertGreater(len(text), 5)
                self.assertGreater(max(map(len, text)), longest - 20)
                self.assertLessEqual(max(map(len, text)), longest, command)


if __name__ == "__main__":
    unittest.main()
