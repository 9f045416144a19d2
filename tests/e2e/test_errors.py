"""Bad input, at 1 and at 4 ranks: the documented exit code, one message that says what and where, nothing left behind."""

import os
import pathlib
import shutil
import subprocess
import unittest

import h5py
import numpy as np

import harness
from harness import GRIDMF, MPIRUN, execute, launch, run, run_good, write_dataset

NUMERIC, USAGE, DATA, NO_INPUT, CREATE, IO, CONFIG = 3, 64, 65, 66, 73, 74, 78
RANKS = (1, 4)
TRACES = ("HDF5-DIAG", "Traceback", "Segmentation", "Fatal error in", "*** Process received", "MPI_ERRORS_ARE_FATAL",
          "AddressSanitizer", "runtime error:", "*** buffer overflow", "free(): ", "malloc")
LEAST = ["--factors", 2, "--iterations", 1]


class ErrorCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.model = cls.folder / "data.h5", cls.folder / "model.h5"
        run_good(1, "synth", "-o", cls.data, "--users", 30, "--items", 20, "--ratings", 200, "--quiet")
        run_good(1, "train", cls.data, "-o", cls.model, "--algorithm", "als", *LEAST, "--quiet")
        cls.made = cls.folder / "made"
        cls.made.mkdir()

    def check_result(self, result, status, says):
        self.assertEqual(result.rc, status, result)
        self.assertEqual(len(result.messages()), 1, result)
        for word in says:
            self.assertIn(str(word), result.messages()[0], result)
        for trace in TRACES:
            self.assertNotIn(trace, "\n".join(result.said()), result)

    def check(self, status, says, *args, ranks=RANKS, quiet=True, **how):
        """args may hold OUT, which becomes an empty folder that must be empty afterwards."""
        for n_ranks in ranks:
            with self.subTest(args=[str(a) for a in args], ranks=n_ranks):
                words = [str(a).replace("OUT", str(self.out)) for a in args] + (["--quiet"] if quiet else [])
                result = run(n_ranks, *words, **how)
                self.check_result(result, status, says)
                if quiet:
                    self.assertEqual(len(result.said()), 1, result)
                self.assertEqual(result.stdout, "")
                self.assertEqual(sorted(p.name for p in self.out.iterdir()), [], "left behind")

    def file(self, name, content=b""):
        path = self.made / name
        path.write_bytes(content)
        return path

    def changed(self, name, change, source=None):
        """A copy of a file, changed by change(h5py file)."""
        path = self.made / name
        shutil.copy(source or self.data, path)
        with h5py.File(path, "r+") as f:
            change(f)
        return path

    def check_train(self, status, says, data, *options, **how):
        self.check(status, says, "train", data, "-o", "OUT/model.h5", "--algorithm", "als", *LEAST, *options, **how)


class TestFiles(ErrorCase):
    def test_missing(self):
        missing = self.made / "none.h5"
        self.check_train(NO_INPUT, [missing, "No such file"], missing)
        self.check(NO_INPUT, [missing], "split", missing, "--train", "OUT/a.h5", "--test", "OUT/b.h5", "--method", "random",
                   "--fraction", 0.5)
        self.check(NO_INPUT, [missing], "evaluate", self.model, missing)
        self.check(NO_INPUT, [missing], "evaluate", missing, self.data)
        self.check(NO_INPUT, [missing], "verify", missing, quiet=False)
        self.check(NO_INPUT, [missing], "info", missing, quiet=False)

    def test_folder(self):
        self.check_train(NO_INPUT, [self.made, "folder"], self.made)

    def test_pipe(self):
        """HDF5 cannot read from a pipe, and opening one must not wait for a writer."""
        os.mkfifo(self.made / "pipe.h5")
        self.check_train(NO_INPUT, [self.made / "pipe.h5"], self.made / "pipe.h5", ranks=(1,), timeout=10)

    def test_empty(self):
        path = self.file("empty.h5")
        self.check_train(DATA, [path, "empty"], path)

    def test_html(self):
        path = self.file("page.h5", b"<!DOCTYPE html>\n<html><body>404 Not Found</body></html>\n")
        self.check_train(DATA, [path, "HTML"], path)
        self.check(DATA, [path, "HTML"], "evaluate", path, self.data, ranks=(1,))
        self.check(DATA, [path, "HTML"], "verify", path, quiet=False, ranks=(4,))

    def test_text(self):
        path = self.file("ratings.csv", b"user,item,rating\n1,2,3\n")
        self.check_train(DATA, [path, "import"], path)

    def test_compressed(self):
        self.check_train(DATA, ["gzip"], self.file("data.h5.gz", b"\x1f\x8b\x08\0" + bytes(range(99))), ranks=(1,))

    def test_truncated(self):
        content = self.data.read_bytes()
        for length in (200, 5000, len(content) - 1):
            path = self.file("truncated.h5", content[:length])
            says = [path] if length == 200 else [path, "is cut off: %d of its %d bytes" % (length, len(content))]
            self.check_train(DATA, says, path, ranks=(1, 4) if length == 5000 else (1,))

    def test_dataset_and_model_exchanged(self):
        self.check_train(DATA, [self.model, "gridmf-model", "gridmf-dataset"], self.model)
        self.check(DATA, [self.data, "gridmf-model"], "evaluate", self.data, self.data)
        self.check(DATA, [self.model, "gridmf-dataset"], "evaluate", self.model, self.model)

    def test_hdf5_of_somebody_else(self):
        path = self.made / "other.h5"
        with h5py.File(path, "w") as f:
            f["x"] = np.arange(9)
        self.check_train(DATA, [path, "not one that gridmf wrote"], path)
        self.check(DATA, [path], "verify", path, quiet=False)

    def test_incomplete(self):
        path = self.changed("incomplete.h5", lambda f: f.attrs.modify("complete", 0))
        self.check_train(DATA, [path, "not complete"], path)
        self.check(DATA, [path, "not complete"], "verify", path, quiet=False, ranks=(1,))
        path = self.changed("unsealed.h5", lambda f: f.attrs.pop("complete"))
        self.check_train(DATA, [path, "not complete"], path, ranks=(1,))

    def test_later_format(self):
        path = self.changed("later.h5", lambda f: f.attrs.modify("format_version", "2.0"))
        self.check_train(DATA, [path, "2.0"], path)

    def test_no_ratings(self):
        path = write_dataset(self.made / "none.h5", 3, 2, np.zeros(0, int), np.zeros(0, int), [])
        self.check_train(DATA, [path, "no ratings"], path)

    def test_no_users_and_no_items(self):
        path = write_dataset(self.made / "nothing.h5", 0, 0, np.zeros(0, int), np.zeros(0, int), [])
        self.check_train(DATA, [path], path)


class TestDamagedArrays(ErrorCase):
    def damaged(self, name, dataset, change):
        """A copy with one array changed in place by change(array)."""

        def put(f):
            array = f[dataset][()]
            change(array)
            f[dataset][...] = array

        return self.changed(name, put)

    def replaced(self, name, dataset, array):
        def put(f):
            del f[dataset]
            if array is not None:
                f[dataset] = array

        return self.changed(name, put)

    def check_everywhere(self, path, says):
        self.check_train(DATA, [path, *says], path)
        self.check(DATA, [path, *says], "split", path, "--train", "OUT/a.h5", "--test", "OUT/b.h5", "--method", "random",
                   "--fraction", 0.5, ranks=(4,))
        self.check(DATA, [path, *says], "evaluate", self.model, path, ranks=(1,))

    def test_indptr(self):
        def swap(a):
            a[10], a[11] = a[11] + 5, a[10]

        def negative(a):
            a[3] = -7

        def late(a):
            a[0] = 2

        def beyond(a):
            a[-1] += 1000

        def huge(a):
            a[15] = 1 << 60

        for name, change in (("swap", swap), ("negative", negative), ("late", late), ("beyond", beyond), ("huge", huge)):
            path = self.damaged("indptr-%s.h5" % name, "ratings/indptr", change)
            self.check_train(DATA, [path, "indptr"], path)
        self.check_everywhere(path, ["indptr"])

    def test_indices(self):
        for value in (20, -1, 1 << 30):
            path = self.damaged("indices.h5", "ratings/indices", lambda a: a.__setitem__(77, value))
            self.check_train(DATA, [path, "indices", 77], path)
        self.check_everywhere(path, ["indices"])

    def test_not_finite(self):
        for value in (np.nan, np.inf):
            path = self.damaged("nan.h5", "ratings/data", lambda a: a.__setitem__(150, value))
            self.check_train(DATA, [path, "data", 150, "finite"], path)
        self.check_everywhere(path, ["data"])

    def test_lengths(self):
        for dataset, array in (("ratings/data", np.ones(199, "f4")), ("ratings/indptr", np.arange(30)),
                               ("users/id", np.arange(29))):
            path = self.replaced("length.h5", dataset, array)
            self.check_train(DATA, [path], path, ranks=(4,))

    def test_shapes_and_types(self):
        for dataset, array in (("ratings/data", np.ones((200, 3), "f4")), ("ratings/indices", np.ones((200, 50), "i4")),
                               ("ratings/indptr", np.zeros((31, 40), "i8")), ("users/id", np.ones((30, 2), "i8")),
                               ("items/id", np.ones((20, 200), "i8")), ("ratings/data", np.array([b"x"] * 200)),
                               ("items/id", np.ones(20, "f8")), ("ratings/data", np.float32(1))):
            path = self.replaced("%s-%s.h5" % (dataset.replace("/", "-"), "x".join(map(str, np.shape(array)))), dataset, array)
            self.check_train(DATA, [path, dataset], path, ranks=(1,), timeout=20)
            for left in self.out.iterdir():  # of a run that crashed
                left.unlink()

    def test_missing_arrays(self):
        for dataset in ("ratings/data", "ratings/indices", "ratings/indptr", "users/id", "items/id"):
            path = self.replaced("missing.h5", dataset, None)
            self.check_train(DATA, [path, dataset], path, ranks=(1,))
        self.check_train(DATA, [path], path, ranks=(4,))

    def test_model_with_a_factor_that_is_no_number(self):
        def put(f):
            f["items/factors"][3, 1] = np.nan

        path = self.changed("nan-model.h5", put, self.model)
        self.check(DATA, [path], "evaluate", path, self.data)


class TestCommandLine(ErrorCase):
    def test_verbs(self):
        self.check(USAGE, ["verb"], quiet=False)
        self.check(USAGE, ["trian", "train"], "trian", self.data, quiet=False)
        self.check(USAGE, ["frobnicate", "evaluate"], "frobnicate", quiet=False, ranks=(1,))

    def test_unknown_option(self):
        self.check_train(USAGE, ["--lamda", "--lambda"], self.data, "--lamda", 3)
        self.check_train(USAGE, ["--iteration", "--iterations"], self.data, "--iteration=3", ranks=(1,))
        self.check(USAGE, ["--fraction"], "train", self.data, "-o", "OUT/m.h5", "--fraction", 0.5, ranks=(1,))
        self.check(USAGE, ["-x"], "train", self.data, "-x", ranks=(1,))

    def test_environment_of_one_rank(self):
        """A rank whose environment is wrong must not leave the others waiting."""
        info = [GRIDMF, "info", self.data]
        result = execute([*MPIRUN, "-n", "2", *info, ":", "-n", "1", "env", "GRIDMF_ISA=sse", *info])
        self.assertEqual(result.rc, USAGE, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertIn("GRIDMF_ISA=sse", result.messages()[0])

    def test_other_program_on_one_rank(self):
        """As on a cluster where one node has an older installation; here a copy with another commit in it."""
        commit = run(1, "--version").stdout.split("(")[1].split(")")[0].encode()
        other = self.out / "gridmf"
        program = pathlib.Path(GRIDMF).read_bytes()
        self.assertIn(commit, program)
        other.write_bytes(program.replace(commit, b"x" * len(commit)))
        other.chmod(0o755)
        result = execute([*MPIRUN, "-n", "2", GRIDMF, "info", self.data, ":", "-n", "1", other, "info", self.data])
        self.assertEqual(result.rc, CONFIG, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertRegex(result.messages()[0], r"on \S+ runs gridmf .*xxx.*use one installation on all nodes \(rank 2\)$")

    def test_missing_value(self):
        for n_ranks in RANKS:
            self.check(USAGE, ["--lambda"], "train", self.data, "--lambda", quiet=False, ranks=(n_ranks,))

    def test_no_algorithm(self):
        self.check(USAGE, ["--algorithm", "als", "ials"], "train", self.data, "-o", "OUT/m.h5")
        self.check(USAGE, ["--algorithm", "alss", "als"], "train", self.data, "-o", "OUT/m.h5", "--algorithm", "alss",
                   ranks=(1,))

    def test_values(self):
        for option, value, says in (("--factors", "1e3", ["whole number"]), ("--factors", "99999", ["from 1 to"]),
                                    ("--factors", "0", ["from 1 to"]), ("--factors", "", []),
                                    ("--iterations", "-1", ["from 0 to"]), ("--lambda", "nan", []),
                                    ("--lambda", "inf", []), ("--lambda", "-1", ["from 0 to"]), ("--lambda", "0.1x", []),
                                    ("--alpha", "-2", []), ("--lambda-scale", "cuont", ["none", "count"]),
                                    ("--seed", "99999999999999999999", []), ("--grid", "2", ["2"]),
                                    ("--grid", "0x4", ["0x4"]), ("--grid", "axb", ["axb"])):
            four = option == "--factors" or value == "nan"
            self.check(USAGE, [option, value, *says], "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", option,
                       value, ranks=RANKS if four else (1,))

    def test_grid_that_does_not_fit(self):
        self.check(USAGE, ["3x3", "9", "4"], "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--grid", "3x3",
                   ranks=(4,))
        self.check(USAGE, ["2x2"], "train", self.data, "-o", "OUT/m.h5", "--algorithm", "als", "--grid", "2x2",
                   ranks=(1,))

    def test_layouts_that_do_not_fit(self):
        als = ["train", self.data, "-o", "OUT/m.h5", "--algorithm", "als"]
        for side in ("--heavy-users", "--heavy-items"):
            for value, says in (("3", "N:RxC"), ("x:1x1", "N:RxC"), ("0:1x1", "N:RxC"), ("-1:1x1", "N:RxC"),
                                ("99999999999999999999:1x1", "N:RxC"), ("5:2", "RxC"), ("5:1x", "RxC"), ("5:2x2", "2x2"),
                                ("atuo", "N:RxC")):
                self.check(USAGE, [side, value, says], *als, side, value, ranks=(1,))
        self.check(USAGE, ["--heavy-items", "5:2x3", "6 places", "4 ranks"], *als, "--heavy-items", "5:2x3", ranks=(4,))
        self.check(USAGE, ["--heavy-items", "--grid 1x2", "leave out"], *als, "--grid", "1x2", "--heavy-items", "5:1x2",
                   ranks=(2,))
        self.check(USAGE, ["--deterministic", "--heavy-users"], *als, "--deterministic", "--heavy-users", "5:1x2",
                   ranks=(2,))
        self.check(USAGE, ["svd", "--heavy-users"], *als[:-1], "svd", "--heavy-users", "5:1x1", ranks=(1,))

    def test_arguments(self):
        self.check(USAGE, ["-o"], "train", self.data, "--algorithm", "als")
        self.check(USAGE, ["dataset"], "train", "-o", "OUT/m.h5", "--algorithm", "als", ranks=(1,))
        self.check(USAGE, ["dataset"], "train", self.data, self.data, "-o", "OUT/m.h5", "--algorithm", "als", ranks=(1,))
        self.check(USAGE, ["test set"], "evaluate", self.model, ranks=(1,))
        self.check(USAGE, ["-o"], "synth", ranks=(1,))
        self.check(USAGE, ["hold"], "synth", "-o", "OUT/a.h5", "--users", 3, "--items", 3, "--ratings", 10)

    def test_empty_argument(self):
        """As of a variable of the shell that is not set, in quotes."""
        self.check_train(USAGE, ["argument 2 is empty"], "")

    def test_options_of_no_use(self):
        """What another algorithm or another option would need: a model without biases must not pass for one with them, and
        what would have changed nothing is told."""
        self.check(USAGE, ["ials", "--bias", "leave it out"], "train", self.data, "-o", "OUT/m.h5", "--algorithm", "ials",
                   "--bias")
        for words, idle in ((["als", "--alpha", 3, "--metrics", "rmse", "--keep", 4], "--alpha, --keep, --metrics"),
                            (["ials", "--loss", "ials", "--alpha", 3, "--alpha0", 0.2], "--alpha"),
                            (["als", "--test", self.data, "--metrics", "rmse", "--checkpoint", self.out / "c", "--keep", 4], ""),
                            (["als", "--cg-steps", 5], "--cg-steps"), (["als", "--solver", "cg", "--cg-steps", 5], ""),
                            (["ease", "--factors", 3], "--factors"), (["popularity"], "")):
            least = [] if words[0] in ("ease", "popularity") else LEAST
            said = "\n".join(run_good(1, "train", self.data, "-o", self.out / "m.h5", "--algorithm", *words, *least).said())
            self.assertEqual(("warning: nothing in this run makes use of %s;" % idle) in said, idle != "", said)
            self.assertEqual("warning:" in said, idle != "", said)

    def test_metrics(self):
        for text, says in (("rsme", "rmse"), ("recall", "recall@20"), ("rmse@3", "@K"), ("recall@0", "list length"),
                           ("recall@x", "list length"), ("recall@", "list length"), ("rmse,,mae", "needed")):
            self.check(USAGE, ["--metrics", says], "evaluate", self.model, self.data, "--metrics", text,
                       ranks=RANKS if text == "rsme" else (1,))

    def test_split(self):
        parts = ["--train", "OUT/a.h5", "--test", "OUT/b.h5"]
        self.check(USAGE, ["--method"], "split", self.data, *parts, "--fraction", 0.5)
        self.check(USAGE, ["--fraction", "--count"], "split", self.data, *parts, "--method", "random", ranks=(1,))
        self.check(USAGE, ["--fraction", "1.5"], "split", self.data, *parts, "--method", "random", "--fraction", 1.5,
                   ranks=(1,))
        self.check(USAGE, ["same file"], "split", self.data, "--train", "OUT/a.h5", "--test", "OUT/a.h5", "--method",
                   "random", "--count", 1, ranks=(1,))
        self.check(DATA, [self.data, "times"], "split", self.data, *parts, "--method", "leave-last", "--count", 1)

    def test_configuration_file(self):
        for content, says in ((b"[train]\nfactors = 3\nfactros = 3\n", ["3:", "factros", "factors"]),
                              (b"factors = many\n", ["1:", "many"]), (b"factors = 3\n\nnonsense\n", ["3:"])):
            path = self.file("bad.ini", content)
            self.check_train(CONFIG, [str(path) + ":" + says[0], *says[1:]], self.data, "--config", path)
        missing = self.made / "none.ini"
        self.check_train(NO_INPUT, [missing], self.data, "--config", missing)


class TestSingular(ErrorCase):
    """Users with fewer ratings than factors have singular systems without regularisation."""

    def check_singular(self, ids, layouts):
        # Users 0 to 3 have one rating or two; the others and all items have at least six.
        rng = np.random.default_rng(1)
        pairs = {(u, i) for u in range(4, 20) for i in rng.choice(12, 8, replace=False)} | {(0, 1), (1, 2), (2, 3), (3, 3)}
        users, items = np.array(sorted(pairs)).T
        path = write_dataset(self.made / "singular.h5", 20, 12, users, items, rng.integers(1, 6, len(users)), user_ids=ids)
        for n_ranks, grid in layouts:
            with self.subTest(ranks=n_ranks, grid=grid):
                result = run(n_ranks, "train", path, "-o", self.out / "m.h5", "--algorithm", "als", "--factors", 4,
                             "--lambda", 0, "--grid", grid, "--quiet")
                self.check_result(result, NUMERIC, ["singular", "--lambda", "4 factors"])
                named = result.messages()[0].split(" of user ")[1].split(" ")[0]
                self.assertIn(named, [str(i) for i in ids[:4]], result)
                self.assertEqual(list(self.out.iterdir()), [])

    def test_integer_ids(self):
        self.check_singular(np.arange(20) * 1000 + 77, [(1, "auto"), (4, "auto"), (4, "2x2"), (2, "1x2")])

    def test_text_ids(self):
        self.check_singular(np.array(["имя-%02d" % i for i in range(20)]), [(1, "auto"), (4, "auto")])

    def test_more_lambda_helps(self):
        path = write_dataset(self.made / "lonely.h5", 1, 1, [0], [0], [3])
        self.check(NUMERIC, ["singular"], "train", path, "-o", "OUT/m.h5", "--algorithm", "als", "--factors", 2, "--lambda",
                   0)
        run_good(1, "train", path, "-o", self.out / "m.h5", "--algorithm", "als", "--factors", 2, "--lambda", 1e-3)

    def test_ratings_too_large_for_single_precision(self):
        path = write_dataset(self.made / "large.h5", 3, 3, [0, 1, 2], [0, 1, 2], [3e38, 1e38, 2])
        for algorithm in ("als", "ials"):
            result = run(2, "train", path, "-o", self.out / "m.h5", "--algorithm", algorithm, *LEAST, "--quiet")
            if result.rc == 0:  # no NaN or Inf ever reaches a model
                with h5py.File(self.out / "m.h5") as f:
                    self.assertTrue(np.isfinite(f["users/factors"]).all() and np.isfinite(f["items/factors"]).all())
            else:
                self.check_result(result, NUMERIC, [])


class TestOutput(ErrorCase):
    def writers(self, folder):
        return (("train", self.data, "-o", folder + "/m.h5", "--algorithm", "als", *LEAST),
                ("synth", "-o", folder + "/s.h5", "--users", 9, "--items", 9, "--ratings", 9),
                ("split", self.data, "--train", folder + "/a.h5", "--test", folder + "/b.h5", "--method", "random", "--count",
                 1))

    def test_folder_is_missing(self):
        for command in self.writers("OUT/none"):
            self.check(CREATE, ["none", "cannot be created"], *command)

    def test_folder_is_a_file(self):
        path = self.file("file")
        for command in self.writers(str(path)):
            self.check(CREATE, [path], *command)

    def test_name_is_a_folder(self):
        self.check(CREATE, [self.made, "folder"], "train", self.data, "-o", self.made, "--algorithm", "als", *LEAST)

    def test_name_is_no_regular_file(self):
        """A pipe or a device (-o /dev/null, as root!) is not to be replaced by a file of that name."""
        pipe = self.made / "pipe"
        os.mkfifo(pipe)
        self.check(CREATE, [pipe], "train", self.data, "-o", pipe, "--algorithm", "als", *LEAST)
        self.assertTrue(pipe.is_fifo())

    def test_output_is_the_input(self):
        """The ratings are not replaced by their model."""
        data = self.made / "precious.h5"
        shutil.copy(self.data, data)
        (self.made / "link.h5").symlink_to(data)
        for command in (("train", data, "-o", data, "--algorithm", "als", *LEAST),
                        ("train", data, "-o", self.made / "." / "link.h5", "--algorithm", "als", *LEAST),
                        ("split", data, "--train", data, "--test", "OUT/b.h5", "--method", "random", "--count", 1)):
            self.check(USAGE, [command[3]], *command, ranks=(1,))
            self.assertEqual(data.read_bytes(), self.data.read_bytes())

    def test_failure_keeps_the_older_model(self):
        old = self.made / "old.h5"
        shutil.copy(self.model, old)
        self.check(NUMERIC, ["singular"], "train", self.data, "-o", old, "--algorithm", "als", "--factors", 40, "--lambda", 0)
        self.assertEqual(old.read_bytes(), self.model.read_bytes())

    def test_name_is_too_long(self):
        self.check(CREATE, ["too long"], "train", self.data, "-o", "OUT/" + "x" * 300, "--algorithm", "als", *LEAST,
                   ranks=(1,))

    def test_second_output_of_split(self):
        """No first half where the second cannot be made."""
        self.check(CREATE, ["none"], "split", self.data, "--train", "OUT/a.h5", "--test", "OUT/none/b.h5", "--method",
                   "random", "--count", 1)

    @unittest.skipUnless(os.geteuid() == 0, "needs root, to become somebody else")
    def test_folder_is_read_only(self):
        if shutil.which("setpriv") is None or not os.access(GRIDMF, os.X_OK):
            self.skipTest("setpriv is missing")
        os.chmod(self.folder, 0o755)
        os.chmod(self.made, 0o555)
        program = shutil.copy(GRIDMF, self.folder / "gridmf")
        result = execute(["setpriv", "--reuid", 65534, "--clear-groups", program, "train", self.data, "-o",
                          self.made / "m.h5", "--algorithm", "als", *LEAST, "--quiet"])
        os.chmod(self.made, 0o755)
        self.check_result(result, CREATE, [self.made, "Permission denied"])

    def test_log(self):
        self.check_train(CREATE, [self.made / "none" / "log"], self.data, "--log-json", self.made / "none" / "log")

    def test_standard_output_is_full(self):
        with open("/dev/full", "wb") as full:
            for args in (["evaluate", self.model, self.data, "--json", "--quiet"], ["info", self.model, "--json"]):
                with self.subTest(verb=args[0]):
                    self.assertEqual(execute([GRIDMF, *args], stdout=full).rc, IO)

    def on_small_disk(self, kilobytes, n_ranks, *args):
        """Runs with SMALL as a new disk of that size; what is left on it stands in the standard output."""
        small = self.out / "small"
        small.mkdir(exist_ok=True)
        script = ('mount -t tmpfs -o size=%dk none "$0" || exit 99; "$@"; rc=$?; ls -A "$0"; exit $rc' % kilobytes)
        words = [str(a).replace("SMALL", str(small)) for a in args]
        return execute(["unshare", "-m", "sh", "-c", script, small, *launch(n_ranks), GRIDMF, *words])

    def mixed(self, hidden, *args):
        """Three ranks, of which the second has a `hidden` folder of its own, as another node would."""
        own = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', hidden]
        command = [*map(str, args)]
        return execute([*MPIRUN, "-n", "1", GRIDMF, *command, ":", "-n", "1", *own, GRIDMF, *command, ":", "-n", "1", GRIDMF,
                        *command])

    @unittest.skipUnless(subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"],
                                        capture_output=True).returncode == 0 if shutil.which("unshare") else False,
                         "mounting a small disk is not permitted here")
    def test_folder_of_one_node(self):
        local = self.out / "local"
        local.mkdir()
        result = self.mixed(local, "train", self.data, "-o", local / "m.h5", "--algorithm", "als", *LEAST, "--quiet")
        self.assertEqual(result.rc, 73, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertIn("all nodes share", result.messages()[0])
        self.assertEqual(list(local.iterdir()), [])

    @unittest.skipUnless(subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"],
                                        capture_output=True).returncode == 0 if shutil.which("unshare") else False,
                         "mounting a small disk is not permitted here")
    def test_full_disk(self):
        synth = ["synth", "-o", "SMALL/s.h5", "--users", 2000, "--items", 500, "--ratings", 60000, "--quiet"]
        self.assertEqual(self.on_small_disk(4000, 2, *synth).rc, 0)
        big = self.folder / "big.h5"
        run_good(2, *[str(w).replace("SMALL/s.h5", str(big)) for w in synth])
        train = ["train", big, "-o", "SMALL/m.h5", "--algorithm", "als", *LEAST, "--quiet"]
        split = ["split", big, "--train", "SMALL/a.h5", "--test", "SMALL/b.h5", "--method", "random", "--fraction", 0.5,
                 "--quiet"]
        for size, command in ((300, synth), (300, train), (300, split), (4, synth), (40, train)):
            for n_ranks in RANKS if size == 300 else (1,):
                with self.subTest(size=size, verb=command[0], ranks=n_ranks):
                    result = self.on_small_disk(size, n_ranks, *command)
                    self.check_result(result, IO, ["/small/"])
                    self.assertEqual(result.stdout, "", "left behind")


@unittest.skipIf(run(1, "import", "--help").rc != 0, "this gridmf has no import")
class TestImport(ErrorCase):
    def check_import(self, status, says, *files_and_options, **how):
        self.check(status, says, "import", *files_and_options, "-o", "OUT/data.h5", **how)

    def lines(self, n=3000):
        return [b"user,item,rating"] + [b"%d,%d,%d" % (i // 50, i % 50, 1 + i % 5) for i in range(n)]

    def test_missing_and_empty(self):
        missing, empty = self.made / "none.csv", self.file("empty.csv")
        self.check_import(NO_INPUT, [missing], missing)
        self.check_import(DATA, [empty], empty)
        self.check_import(USAGE, ["file"], ranks=(1,))
        self.check_import(NO_INPUT, [missing], self.file("good.csv", b"\n".join(self.lines())), missing, ranks=(4,))

    def test_malformed_line_in_the_middle(self):
        for at, bad, column in ((1500, b"7,8,9x", 5), (1500, b"7,8", None), (2999, b"7,8,nan", 5), (1, b"7,8,inf", 5),
                                (2000, b"7,9223372036854775808,1", None)):
            lines = self.lines()
            lines[at] = bad
            path = self.file("bad.csv", b"\n".join(lines) + b"\n")
            where = "%s:%d:" % (path, at + 1)
            says = [where + str(column)] if column else [where]
            if b"92233" in bad:  # an id beyond 2^63 makes the column text, or is refused; nothing in between
                for n_ranks in RANKS:
                    result = run(n_ranks, "import", path, "-o", self.out / "d.h5", "--quiet")
                    if result.rc == 0:
                        with h5py.File(self.out / "d.h5") as f:
                            self.assertIn(b"9223372036854775808", f["items/id"][()].tolist())
                        (self.out / "d.h5").unlink()
                    else:
                        self.check_result(result, DATA, [where])
            else:
                self.check_import(DATA, says, path)

    def test_separator(self):
        """A file of another kind than its name says: what it has between columns is told."""
        for between, shown in ((";", "';'"), (" ", "blanks"), ("\t", "tabs; --format tsv"), ("::", "'::'; --format dat")):
            path = self.file("s.csv", between.join(["7", "8", "5"]).encode() + b"\n")
            self.check_import(DATA, [f"{path}:1:1: ", "csv has ',' between columns, and this line has " + shown], path,
                              ranks=(1,))
        path = self.file("s.csv", b"7\n")
        self.check_import(DATA, ["1 column, expected at least 2 ("], path, ranks=(1,))

    def test_html(self):
        path = self.file("page.csv", b"<!DOCTYPE html>\n<html><body>404</body></html>\n")
        self.check_import(DATA, [path], path)

    def test_binary(self):
        self.check_import(DATA, [self.data], self.data)

    def test_columns(self):
        path = self.file("c.csv", b"\n".join(self.lines(60)))
        self.check_import(DATA, [path, "usr", "header"], path, "--columns", "user=usr,item=item", ranks=(1,))
        self.check_import(USAGE, ["colour"], path, "--columns", "colour=user,item=item", ranks=(1,))

    def test_output(self):
        path = self.file("d.csv", b"\n".join(self.lines(60)))
        self.check(CREATE, ["none"], "import", path, "-o", "OUT/none/data.h5")
        self.check(USAGE, ["-o"], "import", path, ranks=(1,))


if __name__ == "__main__":
    unittest.main()
