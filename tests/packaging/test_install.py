"""cmake --install: everything is there, works from any prefix, and bash completes what the programs take."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "e2e"))
import harness  # pylint: disable=wrong-import-position
from harness import GRIDMF, GRIDMF_QUERY, execute  # pylint: disable=wrong-import-position

BUILD = pathlib.Path(os.environ["GRIDMF_BUILD"])
SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))


def output(*command, **how):
    result = execute(command, **how)
    if result.rc != 0:
        raise AssertionError(str(result))
    return result.stdout


def verbs():
    """Those that the programs know, in their order."""
    return list(dict.fromkeys(line.split()[0] for line in output(GRIDMF, "--words").splitlines()))


class InstallCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        first = cls.folder / "first"
        output("cmake", "--install", BUILD, "--prefix", first)
        cls.prefix = cls.folder / "moved here"  # with a blank, and nothing left where it was installed
        first.rename(cls.prefix)


class TestFiles(InstallCase):
    def test_programs(self):
        environment = {"PATH": f"{self.prefix}/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": ""}
        self.assertIn("gridmf", output("gridmf", "--version", env=environment))
        self.assertIn("libgridmf", output("ldd", self.prefix / "bin/gridmf-query"))
        self.assertNotIn("not found", output("ldd", self.prefix / "bin/gridmf-query"))
        self.assertIn("gridmf-query", output("gridmf-query", "--version", env=environment))

    def test_man_pages(self):
        """A page for each program and each verb, which names every option of the verb's help."""
        pages = self.prefix / "share/man/man1"
        self.assertEqual({page.name for page in pages.iterdir()}, {f"gridmf{end}.1" for end in ["", "-query", *(f"-{v}" for v in verbs())]})
        self.assertEqual((pages / "gridmf.1").read_text(), output(GRIDMF, "--manual"))
        for verb in verbs():
            page = (pages / f"gridmf-{verb}.1").read_text()
            options = re.findall(r"^  (?:-o, )?--(\S+)", output(GRIDMF, verb, "--help"), re.MULTILINE)
            self.assertGreater(len(options), 4, verb)
            self.assertEqual(re.findall(r"^\.It (?:Fl o , )?Fl -(\S+)", page, re.MULTILINE), options)
            self.assertIn(f".Xr gridmf-{verb} 1", (pages / "gridmf.1").read_text())
        if shutil.which("mandoc"):
            output("mandoc", "-Tlint", "-Werror", *pages.iterdir())

    def test_everything_else(self):
        share = self.prefix / "share"
        for folder in ("jobs", "inputs"):
            self.assertEqual({path.name for path in (SOURCE / folder).iterdir()}, {path.name for path in (share / "gridmf" / folder).iterdir()})
        for path in ("gridmf/jobs/pipeline.sh", "gridmf/jobs/workstation.sh", "gridmf/scripts/demo"):
            self.assertTrue(os.access(share / path, os.X_OK), path)
        for path in ("doc/gridmf/LICENSE", "doc/gridmf/README.md", "../include/gridmf/query.h"):
            self.assertTrue((share / path).is_file(), path)
        self.assertEqual(len(list(share.glob("gridmf/modulefiles/gridmf/*.lua"))), 1)

    def test_demo(self):
        """The demonstration needs nothing but what is installed; and a job script finds its common part."""
        environment = {"PATH": "/usr/bin:/bin"}
        result = execute([self.prefix / "share/gridmf/scripts/demo", "--keep", "kept"], cwd=self.out, env=environment, timeout=120)
        self.assertEqual(result.rc, 0, str(result))
        self.assertIn("Western", result.stdout)
        self.assertTrue((self.out / "kept/model.h5").exists())
        self.assertEqual(execute([self.prefix / "share/gridmf/jobs/workstation.sh", "kept/train.h5", "m.h5", "--algorithm", "popularity"],
                                 cwd=self.out, env={"PATH": f"{self.prefix}/bin:/usr/bin:/bin"}).rc, 0)


class TestCompletion(InstallCase):
    def complete(self, *words, program="gridmf"):
        """What bash offers for the last word, by the function that `complete` names for the program."""
        script = f"""
source "$1/share/bash-completion/completions/{program}"
shift
COMP_WORDS=({program} "$@")
COMP_CWORD=$#
call=$(complete -p {program})
call=${{call##*-F }}
"${{call%% *}}" {program} "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
        return [line for line in output("bash", "-c", script, "bash", self.prefix, *words, cwd=self.out).splitlines() if line]

    def setUp(self):
        super().setUp()
        (self.out / "train.h5").touch()
        (self.out / "two words.h5").touch()
        (self.out / "folder").mkdir()

    def test_verbs(self):
        self.assertEqual(self.complete(""), verbs())
        self.assertEqual(self.complete("tr"), ["train"])
        self.assertEqual(self.complete("m.h5", "re", program="gridmf-query")[0], "recommend")
        self.assertEqual(self.complete("tr", program="gridmf-query"), ["train.h5"])

    def test_options(self):
        """All options of each verb, and those only."""
        for verb in verbs():
            options = re.findall(r"^  (?:-o, )?--(\S+)", output(GRIDMF, verb, "--help"), re.MULTILINE)
            wanted = {f"--{name}" for option in options for name in ([option] if "[no-]" not in option else [option[5:], "no-" + option[5:]])}
            self.assertEqual(set(self.complete(verb, "--")), wanted | {"--help", "--version"}, verb)
        self.assertEqual(self.complete("train", "x.h5", "--lambda-s"), ["--lambda-scale"])
        self.assertEqual(self.complete("synth", "--lambda"), [])
        self.assertEqual(self.complete("m.h5", "recommend", "--include", program="gridmf-query"),
                         ["--include-cold", "--include-seen"])

    def test_values(self):
        self.assertEqual(self.complete("train", "--lambda-scale", ""), ["none", "count", "ials"])
        self.assertEqual(self.complete("train", "--lambda-scale", "c"), ["count"])
        self.assertEqual(self.complete("train", "--lambda-scale", "=", "c"), ["count"])
        self.assertEqual(self.complete("train", "--lambda-scale", "="), ["none", "count", "ials"])
        self.assertEqual(self.complete("train", "--factors", ""), [])
        self.assertEqual(self.complete("m.h5", "recommend", "--format", "j", program="gridmf-query"), ["json"])

    def test_files(self):
        for words in (["train", "t"], ["train", "--test", "t"], ["train", "-o", "t"], ["train", "--bias", "t"], ["split", "--train", "=", "t"]):
            self.assertEqual(sorted(self.complete(*words)), ["train.h5", "two words.h5"], words)
        self.assertEqual(self.complete("train", "--checkpoint", ""), ["folder"])
        self.assertEqual(self.complete("m.h5", "recommend", "--titles", "tw", program="gridmf-query"), ["two words.h5"])


if __name__ == "__main__":
    unittest.main()
