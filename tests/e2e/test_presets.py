"""The presets of inputs/ and the scripts around them: data sets fetched and checked (from a folder of archives made here,
never from the network), presets read, published protocols run from the ratings to the table.
"""

import configparser
import csv
import hashlib
import os
import pathlib
import re
import shutil
import unittest
import zipfile

import h5py

import harness

SOURCE = pathlib.Path(os.environ.get("GRIDMF_SOURCE", pathlib.Path(__file__).parents[2]))
DATA = pathlib.Path(os.environ.get("GRIDMF_DATA", SOURCE.parent / "shared" / "data"))
SAMPLE = SOURCE / "inputs" / "ratings.csv"
PRESETS = sorted(SOURCE.glob("inputs/*.ini"))
VERBS = ("import", "split", "train", "evaluate")
FAIL = 1
REAL = unittest.skipUnless((DATA / "ml-latest-small" / "ratings.csv").exists(),
                           f"no ratings at {DATA}/ml-latest-small: set GRIDMF_DATA to the folder of that folder")

# Of each layout of MovieLens one: what its archive holds, how a line of it begins and goes on, and how many there are.
LAYOUTS = {
    "ml-latest-small": ("ml-latest-small/ratings.csv", b"userId,movieId,rating,timestamp\n", b"1,2,3.5,4\n", 100_004),
    "ml-1m": ("ml-1m/ratings.dat", b"", b"1::2::3::4\n", 1_000_209),
    "ml-100k": ("ml-100k/u.data", b"", b"1\t2\t3\t4\n", 100_000),
}


def script(name, *args, **how):
    return harness.execute([SOURCE / "scripts" / name, *args], **how)


class ScriptCase(harness.Case):
    def check_failure(self, result, says):
        """One message, which has all of `says`, and nothing on the standard output."""
        self.assertEqual((result.rc, result.stdout), (FAIL, ""), str(result))
        messages = [line for line in result.stderr.splitlines() if not line.startswith("Downloading ")]
        self.assertEqual(len(messages), 1, str(result))
        for words in says:
            self.assertIn(str(words), messages[0])


@unittest.skipUnless(shutil.which("curl") and shutil.which("unzip"), "curl and unzip are not installed")
class GetData(ScriptCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.mirror = cls.folder / "mirror"
        cls.mirror.mkdir()
        cls.md5 = {name: cls.make(name) for name in LAYOUTS}

    @classmethod
    def make(cls, name, n=None, folder=None):
        """Makes the archive of a data set, of n ratings; returns its md5."""
        member, header, line, published = LAYOUTS[name]
        path = (folder or cls.mirror) / f"{name}.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, header + line * (published if n is None else n))
            archive.writestr(f"{name}/README", "terms\n")
        return hashlib.md5(path.read_bytes()).hexdigest()

    def get(self, name, *args, mirror=None):
        return script("get-data", "--to", self.out, *args, name, env={"GRIDMF_MIRROR": f"file://{mirror or self.mirror}"})

    def left(self):
        return sorted(p.name for p in self.out.iterdir())

    def test_layouts(self):
        for name, (member, header, line, n) in LAYOUTS.items():
            with self.subTest(name=name):
                ratings = self.out / name / pathlib.Path(member).name
                first = self.get(name, "--md5", self.md5[name])
                self.assertEqual((first.rc, first.stdout), (0, f"{ratings}\n"), str(first))
                self.assertEqual(ratings.stat().st_size, len(header) + n * len(line))
                self.assertIn("Harper", first.stderr)
                # Once more, with nothing to download from: it is all there.
                before = ratings.stat().st_mtime_ns
                second = self.get(name, mirror=self.out / "none")
                self.assertEqual((second.rc, second.stdout), (0, first.stdout), str(second))
                self.assertNotIn("Downloading", second.stderr)
                self.assertEqual(ratings.stat().st_mtime_ns, before)
        self.assertEqual(self.left(), sorted([*LAYOUTS, *(f"{name}.zip" for name in LAYOUTS)]))

    def test_wrong_md5(self):
        published = "0e33842e24a9c977be4e0107933c0723"
        self.check_failure(self.get("ml-100k"), ["ml-100k.zip", self.md5["ml-100k"], published])
        self.assertEqual(self.left(), [])
        # An archive that somebody put there is theirs to remove.
        shutil.copy(self.mirror / "ml-100k.zip", self.out)
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k.zip", self.md5["ml-100k"], published, "remove"])
        self.assertEqual(self.left(), ["ml-100k.zip"])

    def test_wrong_count(self):
        for name, n in (("ml-100k", 99_999), ("ml-1m", 1_000_210), ("ml-latest-small", 89_999)):
            with self.subTest(name=name):
                md5 = self.make(name, n, self.out)
                self.check_failure(self.get(name, "--md5", md5), [self.out / f"{name}.zip", f"{n} ratings"])
                self.assertFalse((self.out / name).exists())
        self.assertEqual(self.left(), sorted(f"{name}.zip" for name in LAYOUTS))

    def test_damaged_folder(self):
        (self.out / "ml-100k").mkdir()
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k", "u.data"])
        (self.out / "ml-100k" / "u.data").write_bytes(b"1\t2\t3\t4\n" * 7)
        self.check_failure(self.get("ml-100k"), [self.out / "ml-100k", "7 ratings"])

    def test_out_of_reach(self):
        """Neither archive nor mirror: what could not be got, what to download, and where to put it."""
        for mirror in (self.out, self.out / "none"):
            with self.subTest(mirror=mirror):
                self.check_failure(self.get("ml-20m", mirror=mirror),
                                   [f"file://{mirror}/ml-20m.zip", self.out / "ml-20m.zip",
                                    "https://files.grouplens.org/datasets/movielens/ml-20m.zip"])
                self.assertEqual(self.left(), [])

    def test_archive_at_hand(self):
        shutil.copy(self.mirror / "ml-1m.zip", self.out)
        done = self.get("ml-1m", "--md5", self.md5["ml-1m"], mirror=self.out / "none")
        self.assertEqual((done.rc, done.stdout), (0, f"{self.out}/ml-1m/ratings.dat\n"), str(done))

    def test_resumes(self):
        """The half that came last time is kept: put together with the other half it has the checksum."""
        whole = (self.mirror / "ml-1m.zip").read_bytes()
        (self.out / "ml-1m.zip.part").write_bytes(whole[:len(whole) // 2])
        cut = self.out / "cut"
        cut.mkdir()
        (cut / "ml-1m.zip").write_bytes(b"-" * (len(whole) // 2) + whole[len(whole) // 2:])
        done = self.get("ml-1m", "--md5", self.md5["ml-1m"], mirror=cut)
        self.assertEqual(done.rc, 0, str(done))
        self.assertEqual(self.left(), ["cut", "ml-1m", "ml-1m.zip"])

    def test_broken_archive(self):
        """The one without a checksum: what is no whole archive is not unpacked."""
        whole = (self.mirror / "ml-latest-small.zip").read_bytes()
        for content in (whole[:-100], b"<html>moved</html>"):
            (self.out / "ml-latest-small.zip").write_bytes(content)
            self.check_failure(self.get("ml-latest-small"), [self.out / "ml-latest-small.zip", "remove"])
            self.assertEqual(self.left(), ["ml-latest-small.zip"])

    def test_usage(self):
        self.check_failure(script("get-data"), ["--help"])
        self.check_failure(script("get-data", "ml-3m"), ["ml-3m"])
        self.check_failure(script("get-data", "--colour", "ml-1m"), ["--colour"])
        self.check_failure(script("get-data", "ml-1m", "--md5"), ["--md5"])


class Presets(ScriptCase):
    def test_found(self):
        self.assertGreaterEqual(len(PRESETS), 5)

    def test_parsed(self):
        """Every verb finds its section, reads it, and has the values of the file in force."""
        for preset in PRESETS:
            parsed = configparser.ConfigParser()
            parsed.read_string(preset.read_text(encoding="utf-8"))
            self.assertEqual(tuple(parsed.sections()), VERBS, preset)
            for verb in VERBS:
                with self.subTest(preset=preset.stem, verb=verb):
                    shown = harness.run_good(1, verb, "--config", preset, "--print-config").stdout
                    in_force = dict(line.split(" = ", 1) for line in shown.splitlines())
                    for key, value in parsed[verb].items():
                        self.assertEqual(in_force[key], value, key)

    def test_comments(self):
        """What reproduce reads there: a data set that get-data knows, and figures of metrics that are evaluated."""
        known = script("get-data", "--help").stdout.split()
        explained = (SOURCE / "inputs" / "README.md").read_text(encoding="utf-8")
        for preset in PRESETS:
            with self.subTest(preset=preset.stem):
                text = preset.read_text(encoding="utf-8")
                self.assertEqual([name in known for name in re.findall(r"^; data: (.*)$", text, re.MULTILINE)], [True])
                metrics = re.search(r"^metrics = (.*)$", text, re.MULTILINE)[1].split(",")
                algorithm = re.search(r"^algorithm = (.*)$", text, re.MULTILINE)[1]
                for line in re.findall(r"^; published: (.*)$", text, re.MULTILINE):
                    model, metric, value = line.split()
                    self.assertIn(model, (algorithm, "popularity"))
                    self.assertIn(metric, metrics)
                    self.assertGreater(float(value), 0)
                self.assertIn(f"`{preset.name}`", explained)


class Reproduce(ScriptCase):
    def reproduce(self, preset, *args, n_ranks=2, program=harness.GRIDMF, **env):
        return script("reproduce", "--to", self.out, "--ranks", n_ranks, *args, preset, timeout=200,
                      env={"GRIDMF": program, "GRIDMF_DATA": str(self.out / "data"), **env})

    def table(self, result):
        """{(model, metric): (published, here)} of the table that ends the standard output."""
        self.assertEqual(result.rc, 0, str(result))
        head, _, rows = result.stdout.partition("model        metric          published       here\n")
        self.assertTrue(head and rows, str(result))
        return {tuple(line.split()[:2]): tuple(line.split()[2:]) for line in rows.splitlines()}

    def check_table(self, preset, table, *test):
        """The right column is what evaluate says of the models, the other what the preset says."""
        text = (SOURCE / "inputs" / f"{preset}.ini").read_text(encoding="utf-8")
        published = {tuple(line.split()[:2]): line.split()[2]
                     for line in re.findall(r"^; published: (.*)$", text, re.MULTILINE)}
        metrics = re.search(r"^metrics = (.*)$", text, re.MULTILINE)[1]
        models = ["als"] if "algorithm = als" in text else ["ials", "popularity"]
        self.assertEqual(sorted(table), sorted((model, metric) for model in models for metric in metrics.split(",")))
        for model in models:
            found = harness.run_good(1, "evaluate", self.out / preset / f"{model}.h5", self.out / preset / "test.h5",
                                     *test, "--metrics", metrics, "--json", "--quiet").json()
            for metric in metrics.split(","):
                self.assertEqual(table[model, metric][0], published.get((model, metric), "-"))
                self.assertAlmostEqual(float(table[model, metric][1]), found[metric], delta=2e-6)

    def test_explicit(self):
        for preset in ("ml-10m-als", "ml-latest-small-als"):
            with self.subTest(preset=preset):
                result = self.reproduce(preset, "--ratings", SAMPLE, "--set", "factors=8", "--set", "lambda=0.1",
                                        "--set", "split.seed=7", n_ranks=3)
                table = self.table(result)
                self.check_table(preset, table)
                self.assertLess(float(table["als", "rmse"][1]), 0.7)  # the noise of the sample and its rounding: 0.5
                self.assertIn("something else", result.stderr)
                with h5py.File(self.out / preset / "als.h5") as f:
                    self.assertEqual(f["items/factors"].shape[1], 8)
                    self.assertEqual(f.attrs["lambda"], 0.1)
                self.assertEqual((self.out / preset / "table.txt").read_text(), result.stdout[result.stdout.index("model "):])

    def test_rankings(self):
        for preset in ("ml-1m-leave-one-out", "ml-latest-small-ials"):
            with self.subTest(preset=preset):
                table = self.table(self.reproduce(preset, "--ratings", SAMPLE, "--set", "factors=8"))
                self.check_table(preset, table)
                for model, metric in table:
                    self.assertGreater(float(table["ials", metric][1]), 1.2 * float(table["popularity", metric][1]))
        with h5py.File(self.out / "ml-1m-leave-one-out" / "test.h5") as f:
            self.assertEqual(f["ratings/data"][()].tolist(), [1] * 1000)  # one of each user, as 1

    def test_strong_generalisation(self):
        preset, fold_in = "ml-20m-ials", self.out / "ml-20m-ials" / "fold-in.h5"
        table = self.table(self.reproduce(preset, "--ratings", SAMPLE, "--set", "factors=8", "--set", "split.count=150"))
        self.check_table(preset, table, "--fold-in", fold_in)
        for model, metric in table:
            self.assertGreater(float(table["ials", metric][1]), 1.2 * float(table["popularity", metric][1]))
        liked = {}
        with open(SAMPLE, encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if float(row["rating"]) >= 4:
                    liked.setdefault(int(row["userId"]), set()).add(int(row["movieId"]))
        liked = {user: items for user, items in liked.items() if len(items) >= 5}
        ids = {part: self.ids(self.out / preset / f"{part}.h5") for part in ("data", "train", "test", "fold-in")}
        self.assertEqual(ids["data"], set(liked))
        self.assertEqual(len(ids["test"]), 150)
        self.assertEqual(ids["test"], ids["fold-in"])
        self.assertEqual(ids["train"], ids["data"] - ids["test"])

    @staticmethod
    def ids(path):
        with h5py.File(path) as f:
            return set(f["users/id"][()].tolist())

    def test_slurm(self):
        """In a job the ranks are the job's, started by srun; here by something that notes its words and calls mpirun."""
        fake = self.out / "bin"
        fake.mkdir()
        srun = fake / "srun"
        srun.write_text('#!/bin/sh\necho "$@" >>"$SRUN_LOG"\n'
                        '[ "$1" != --mpi=list ] || { echo "MPI plugin types are... pmix_v4"; exit; }\n'
                        'shift 4\nunset SLURM_JOB_ID SLURM_NTASKS\nexec ' + " ".join(harness.MPIRUN) + ' -n 3 "$@"\n')
        srun.chmod(0o755)
        result = script("reproduce", "--to", self.out, "--ratings", SAMPLE, "--set", "factors=8", "ml-latest-small-als",
                        timeout=200, env={"GRIDMF": harness.GRIDMF, "PATH": f"{fake}:{os.environ['PATH']}",
                                          "SRUN_LOG": str(self.out / "log"), "SLURM_JOB_ID": "7", "SLURM_NTASKS": "3"})
        self.check_table("ml-latest-small-als", self.table(result))
        self.assertIn("3 ranks", result.stderr)
        for line in (self.out / "log").read_text().splitlines():
            self.assertTrue(line == "--mpi=list" or line.startswith("-K -n 3 --mpi=pmix gridmf "), line)

    def test_usage(self):
        def fails(says, *args, **how):
            self.check_failure(self.reproduce(*args, **how), says)

        self.check_failure(script("reproduce"), ["--help"])
        fails(["ml-3m"], "ml-3m")
        fails(["--ranks", "none"], "ml-10m-als", n_ranks="none")
        fails(["nowhere.csv"], "ml-10m-als", "--ratings", self.out / "nowhere.csv")
        fails(["GRIDMF", "nowhere"], "ml-10m-als", "--ratings", SAMPLE, program="nowhere")
        for setting in ("factors", "factors=", "verify.quiet=yes", "Factors=8"):
            fails([setting], "ml-10m-als", "--ratings", SAMPLE, "--set", setting)
        self.assertEqual(list(self.out.iterdir()), [])
        for setting, key in (("fectors=8", "factors"), ("evaluate.metric=rmse", "metrics")):
            result = self.reproduce("ml-10m-als", "--ratings", SAMPLE, "--set", setting)
            self.assertEqual(result.rc, 78, str(result))
            self.assertEqual(len(result.messages()), 1, str(result))
            self.assertIn(key, result.messages()[0])
            self.assertFalse((self.out / "ml-10m-als" / "data.h5").exists())

    def test_data_out_of_reach(self):
        result = self.reproduce("ml-20m-ials", GRIDMF_MIRROR=f"file://{self.out}/none")
        self.check_failure(result, ["ml-20m.zip", self.out / "data" / "ml-20m.zip"])

    @REAL
    def test_real_data(self):
        result = self.reproduce("ml-latest-small-als", GRIDMF_DATA=str(DATA))
        table = self.table(result)
        self.check_table("ml-latest-small-als", table)
        self.assertLessEqual(float(table["als", "rmse"][1]), 0.88)
        self.assertNotIn("something else", result.stderr)

    @REAL
    def test_real_rankings(self):
        table = self.table(self.reproduce("ml-latest-small-ials", GRIDMF_DATA=str(DATA)))
        self.check_table("ml-latest-small-ials", table)
        for metric in ("recall@20", "ndcg@100"):
            self.assertGreater(float(table["ials", metric][1]), 1.4 * float(table["popularity", metric][1]))


if __name__ == "__main__":
    unittest.main()
