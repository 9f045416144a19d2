"""synth, split, train, info and verify, one after the other, against NumPy; evaluate has its own file."""

import json
import pathlib
import shutil
import subprocess
import unittest

import h5py
import numpy as np

import harness
from harness import Ratings, execute, launch, random_dataset, read_factors, read_history, run, run_good, write_dataset

LAYOUTS = [(2, "auto"), (3, "auto"), (4, "auto"), (6, "auto"), (7, "auto"), (4, "1x4"), (4, "2x2"), (4, "4x1"), (6, "2x3"),
           (6, "3x2")]


def train(data, model, *options, n_ranks=2, **how):
    run_good(n_ranks, "train", data, "-o", model, "--quiet", *options, **how)
    return model


class TestSynth(harness.Case):
    OPTIONS = ["--users", 301, "--items", 200, "--ratings", 6007, "--factors", 3, "--seed", 5, "--quiet"]

    def synth(self, n_ranks, *options):
        path = self.out / ("synth-%d.h5" % n_ranks)
        run_good(n_ranks, "synth", "-o", path, *options)
        return path

    def check_valid(self, r, n_users, n_items, nnz):
        self.assertEqual((r.n_users, r.n_items, r.nnz), (n_users, n_items, nnz))
        self.assertEqual((r.indptr[0], r.indptr[-1]), (0, nnz))
        self.assertTrue((r.degrees >= 0).all())
        self.assertTrue((np.diff(r.keys()) > 0).all(), "pairs ascend and are distinct")
        self.assertTrue(((r.items >= 0) & (r.items < n_items)).all())
        np.testing.assert_array_equal(r.user_ids, np.arange(1, n_users + 1))
        np.testing.assert_array_equal(r.item_ids, np.arange(1, n_items + 1))

    def test_same_bytes_for_any_number_of_ranks(self):
        for kind in ([], ["--implicit"]):
            wanted = self.synth(1, *self.OPTIONS, *kind).read_bytes()
            for n_ranks in (2, 3, 7):
                with self.subTest(ranks=n_ranks, kind=kind):
                    self.assertEqual(self.synth(n_ranks, *self.OPTIONS, *kind).read_bytes(), wanted)

    def test_explicit(self):
        r = Ratings(self.synth(2, *self.OPTIONS))
        self.check_valid(r, 301, 200, 6007)
        self.assertTrue((np.isin(r.values, np.arange(1, 11) / 2)).all(), "half stars")
        self.assertTrue((r.degrees > 0).all())
        self.assertGreater(r.values.std(), 0.5)
        self.assertLess(abs(r.values.mean() - 3.4), 0.3)

    def test_implicit(self):
        r = Ratings(self.synth(2, *self.OPTIONS, "--implicit"))
        self.check_valid(r, 301, 200, 6007)
        self.assertTrue(((r.values >= 1) & (r.values == np.floor(r.values))).all(), "counts")
        self.assertGreater(r.values.max(), 2)

    def test_degrees_have_a_heavy_tail(self):
        r = Ratings(self.synth(3, "--users", 4000, "--items", 1000, "--ratings", 60000, "--quiet"))
        self.check_valid(r, 4000, 1000, 60000)
        users, items = np.sort(r.degrees)[::-1], np.sort(np.bincount(r.items, minlength=1000))[::-1]
        self.assertGreater(users[0], 8 * users.mean())
        self.assertLess(np.median(users), users.mean())
        self.assertGreater(items[:100].sum(), 0.3 * r.nnz)
        # A Pareto tail of index 2: the share of users above x falls as x^-2.
        x = 2 * np.median(users)
        index = np.log2((users > x).sum() / max(1, (users > 2 * x).sum()))
        self.assertTrue(1.3 < index < 2.7, index)

    def test_planted_rank_can_be_learned(self):
        data = self.synth(2, "--users", 300, "--items", 150, "--ratings", 15000, "--factors", 2, "--noise", 0.1, "--quiet")
        run_good(2, "split", data, "--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "random",
                 "--fraction", 0.1, "--quiet")
        train(self.out / "a.h5", self.out / "m.h5", "--algorithm", "als", "--factors", 4)
        rmse = run_good(1, "evaluate", self.out / "m.h5", self.out / "b.h5", "--metrics", "rmse", "--json").json()["rmse"]
        self.assertLess(rmse, 0.7 * Ratings(self.out / "b.h5").values.std())

    # Of one side: rows, least, median and most ratings of a row.
    SHAPES = {"ml-100k": (100000, (943, 20, 65, 737), (1682, 1, 27, 583)),
              "ml-latest-small": (100004, (671, 20, 71, 2391), (9066, 1, 3, 341)),
              "ml-1m/4": (250052, (1510, 20, 96, 2314 * 0.6), (3706, 0.25, 123 / 4, 3428 / 4)),
              "msd/500": (96747, (2039, 10, 27, 800), (384546, 0, 0, 110479 / 500))}

    def test_the_shape_of_a_dataset(self):
        for name, (nnz, users, items) in self.SHAPES.items():
            for kind in ([], ["--implicit"]):
                with self.subTest(shape=name, kind=kind):
                    r = Ratings(self.synth(2, "--like", name, "--factors", 2, "--quiet", *kind))
                    self.check_valid(r, users[0], items[0], nnz)
                    counts = np.bincount(r.items, minlength=items[0])
                    self.assertLessEqual(abs(r.degrees.min() - users[1]), 1)
                    self.assertLessEqual(abs(np.median(r.degrees) - users[2]), 2)
                    if "/" in name:  # the largest of a part is not the largest of the whole
                        self.assertTrue(0.5 < r.degrees.max() / users[3] < 2, r.degrees.max())
                    else:
                        self.assertLessEqual(abs(r.degrees.max() - users[3]), 1)
                    # Items are drawn: their numbers spread as Poisson's do, or less.
                    self.assertLess(abs(np.median(counts) - items[2]), 3 * items[2] ** 0.5 + 0.15 * items[2] + 1)
                    self.assertLess(abs(counts.max() - items[3]), 4 * items[3] ** 0.5 + 0.02 * items[3])
                    whole_counts = bool(kind) or name.startswith("msd")
                    steps = 1 if whole_counts or name != "ml-latest-small" else 2
                    self.assertTrue((r.values * steps == np.floor(r.values * steps)).all())
                    self.assertEqual(r.values.max() > 5, whole_counts)
                    self.assertTrue(steps == 1 or (r.values != np.floor(r.values)).any(), "half stars")

    def test_a_shape_has_the_same_bytes_for_any_number_of_ranks(self):
        for kind in ([], ["--implicit"]):
            options = ["--like", "ml-100k/3", "--factors", 3, "--seed", 9, "--quiet", *kind]
            wanted = self.synth(1, *options).read_bytes()
            for n_ranks in (2, 3):
                with self.subTest(ranks=n_ranks, kind=kind):
                    self.assertEqual(self.synth(n_ranks, *options).read_bytes(), wanted)

    def test_shapes_that_cannot_be(self):
        for options, text in ((["--like", "ml-2m"], "did you mean ml-"), (["--like", "ml-1m/0"], "whole number"),
                              (["--like", "ml-1m/x"], "whole number"), (["--like", "ml-1m/6041"], "whole number"),
                              (["--like", "msd/1019318"], "too few"),
                              (["--like", "ml-1m", "--users", 5], "leave out")):
            for n_ranks in (1, 2):
                with self.subTest(options=options, ranks=n_ranks):
                    result = run(n_ranks, "synth", "-o", self.out / "none.h5", *options)
                    self.assertEqual(result.rc, 64, result.stderr)
                    self.assertIn(text, result.stderr)
                    self.assertFalse((self.out / "none.h5").exists())

    def test_every_pair(self):
        for n_ranks in (1, 3):
            r = Ratings(self.synth(n_ranks, "--users", 13, "--items", 7, "--ratings", 91, "--quiet"))
            self.check_valid(r, 13, 7, 91)
            self.assertTrue((r.degrees == 7).all())

    def test_sizes_at_the_edge(self):
        for users, items, ratings in ((1, 1, 1), (5, 3, 1), (5, 3, 14), (1, 100, 60), (100, 1, 60), (3, 50, 4)):
            for n_ranks in (1, 7):
                for kind in ([], ["--implicit"]):
                    if kind and n_ranks == 7:
                        continue
                    with self.subTest(users=users, items=items, ratings=ratings, ranks=n_ranks, kind=kind):
                        path = self.synth(n_ranks, "--users", users, "--items", items, "--ratings", ratings, "--quiet",
                                          *kind)
                        self.check_valid(Ratings(path), users, items, ratings)


class TestTrain(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data.h5"
        run_good(2, "synth", "-o", cls.data, "--users", 150, "--items", 90, "--ratings", 3000, "--factors", 4, "--quiet")

    @staticmethod
    def top(scores, seen, n=10):
        """The n best of each row that are not seen."""
        scores = np.where(seen, -np.inf, scores)
        return np.argsort(-scores, axis=1, kind="stable")[:, :n]

    def check_same_top(self, a, b, seen, tolerance):
        """Lists of two score matrices agree but for swaps of scores that differ by less than the tolerance."""
        ta, tb = self.top(a, seen), self.top(b, seen)
        rows = np.arange(len(a))[:, None]
        difference = np.abs(a[rows, ta] - a[rows, tb])
        self.assertLessEqual(difference.max(), 2 * tolerance)

    def test_same_model_on_any_layout(self):
        seen = ~np.isnan(Ratings(self.data).dense())
        for algorithm in ("als", "ials"):
            options = ["--algorithm", algorithm, "--factors", 8, "--iterations", 6]
            wanted = None
            for n_ranks, grid in [(1, "auto")] + LAYOUTS:
                model = train(self.data, self.out / "m.h5", *options, "--grid", grid, n_ranks=n_ranks)
                x, y = read_factors(model)
                scores = (x @ y.T).astype("f8")
                if wanted is None:
                    wanted, tolerance = scores, 1e-4 * np.abs(scores).max()
                with self.subTest(algorithm=algorithm, ranks=n_ranks, grid=grid):
                    self.assertLessEqual(np.abs(scores - wanted).max(), tolerance)
                    self.check_same_top(wanted, scores, seen, tolerance)

    def test_seed_changes_the_start(self):
        models = [train(self.data, self.out / ("%d.h5" % s), "--algorithm", "als", "--iterations", 0, "--seed", s)
                  for s in (1, 2)]
        a, b = (read_factors(m)[0] for m in models)
        self.assertLess(abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]), 0.05)

    def test_model_file(self):
        """What design.md section 2 promises, and what a user can read in three lines."""
        model = train(self.data, self.out / "m.h5", "--algorithm", "ials", "--factors", 6, "--iterations", 4, "--lambda",
                      0.25, "--alpha", 3, "--seed", 9, "--grid", "2x2", n_ranks=4)
        with h5py.File(model) as f:
            ids, x, y = f["users/id"][()], f["users/factors"][()], f["items/factors"][()]
        data = Ratings(self.data)
        np.testing.assert_array_equal(ids, data.user_ids)
        self.assertEqual((x.dtype, x.shape, y.dtype, y.shape), (np.dtype("<f4"), (150, 6), np.dtype("<f4"), (90, 6)))
        with h5py.File(model) as f:
            wanted = {"format": "gridmf-model", "format_version": "1.0", "complete": 1, "algorithm": "ials", "factors": 6,
                      "iterations": 4, "lambda": 0.25, "lambda_scale": "none", "alpha": 3.0, "loss": "hkv", "seed": 9,
                      "solver": "auto", "n_users": 150, "n_items": 90, "nnz": 3000, "global_mean": 0}
            for name, value in wanted.items():
                self.assertEqual(f.attrs[name], value, name)
            np.testing.assert_array_equal(f["items/id"][()], data.item_ids)
            np.testing.assert_array_equal(f["users/count"][()], data.degrees)
            np.testing.assert_array_equal(f["items/count"][()], np.bincount(data.items, minlength=90))
            for name, array in (("indptr", data.indptr), ("indices", data.items), ("data", data.values)):
                np.testing.assert_array_equal(f["seen"][name][()], array)
            self.assertEqual(list(f["seen"].attrs["shape"]), [150, 90])
            self.assertEqual(f["seen"].attrs["encoding-type"], "csr_matrix")
            np.testing.assert_array_equal(f["history/iteration"][()], [1, 2, 3, 4])
            self.assertTrue((f["history/seconds"][()] > 0).all())
            p = dict(f["provenance"].attrs)
        self.assertEqual((p["software"], p["ranks"], p["threads"], p["grid"]), ("gridmf", 4, 1, "2x2"))
        self.assertIn("--lambda 0.25", p["command_line"])
        for name in ("softwareVersion", "git_commit", "compiler", "mpi", "hdf5", "host", "date", "kernels", "blas", "dataset"):
            self.assertTrue(p[name], name)

    def test_kernels_of_blas(self):
        """The user's choice stands; without one, no kernels for CPUs of 2004 where this one has AVX2."""
        def kernels(env):
            path, unset = self.out / "m.h5", [] if env else ["-u", "OPENBLAS_CORETYPE"]
            result = harness.execute(["env", *unset, harness.GRIDMF, "train", self.data, "-o", path, "--algorithm", "als",
                                      "--iterations", 1], env=env)
            self.assertEqual(result.rc, 0, str(result))
            with h5py.File(path) as f:
                return f["provenance"].attrs["blas"]

        own = kernels({})
        if "avx2" in pathlib.Path("/proc/cpuinfo").read_text():
            self.assertNotEqual(own, "Prescott")
        if own != "unknown":
            self.assertEqual(kernels({"OPENBLAS_CORETYPE": "Prescott"}), "Prescott")

    def test_without_seen(self):
        with h5py.File(train(self.data, self.out / "m.h5", "--algorithm", "als", "--iterations", 1, "--no-seen")) as f:
            self.assertNotIn("seen", f)

    def test_text_ids(self):
        users, items = ["user-%02d" % i for i in range(20)], ["фильм %d" % i for i in range(9)]
        data = random_dataset(self.out / "text.h5", 20, 9, 80, user_ids=users, item_ids=items)
        for n_ranks in (1, 3):
            with h5py.File(train(data, self.out / "m.h5", "--algorithm", "als", "--factors", 3, n_ranks=n_ranks)) as f:
                self.assertEqual([i.decode() for i in f["users/id"]], users)
                self.assertEqual([i.decode() for i in f["items/id"]], items)

    def test_configuration_file(self):
        options = ["--algorithm", "ials", "--factors", 7, "--iterations", 2, "--lambda", 0.3, "--alpha", 1.5]
        printed = run_good(1, "train", *options, "--print-config").stdout
        (self.out / "run.ini").write_text("; a comment\n[train]\n" + printed)
        again = run_good(3, "train", "--config", self.out / "run.ini", "--print-config").stdout
        keys = [dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line) for text in (printed, again)]
        for ignored in ("config", "print-config"):
            for k in keys:
                k.pop(ignored, None)
        self.assertEqual(*keys)
        model = train(self.data, self.out / "m.h5", "--config", self.out / "run.ini", "--factors", 4)
        with h5py.File(model) as f:
            self.assertEqual((f.attrs["factors"], f.attrs["lambda"], f.attrs["alpha"]), (4, 0.3, 1.5))

    def test_log_json(self):
        log = self.out / "log.jsonl"
        train(self.data, self.out / "m.h5", "--algorithm", "als", "--iterations", 3, "--log-json", log)
        events = [json.loads(line) for line in log.read_text().splitlines()]
        sweeps = [e for e in events if e["event"] == "sweep"]
        self.assertEqual([e["n"] for e in sweeps], [1, 2, 3])
        np.testing.assert_allclose([e["objective"] for e in sweeps], read_history(self.out / "m.h5"), rtol=1e-10)
        self.assertEqual(sorted(e["elapsed"] for e in events), [e["elapsed"] for e in events])

    def test_replaces_an_older_model(self):
        model = self.out / "m.h5"
        model.write_text("something else")
        train(self.data, model, "--algorithm", "als", "--iterations", 1)
        self.assertEqual(len(read_history(model)), 1)
        self.assertEqual([p.name for p in self.out.iterdir()], ["m.h5"])

    @unittest.skipUnless(shutil.which(harness.GRIDMF_QUERY), "gridmf-query is not built")
    def test_query_gives_the_same_lists_as_numpy(self):
        data = Ratings(self.data)
        for algorithm in ("als", "ials"):
            model = train(self.data, self.out / "m.h5", "--algorithm", algorithm, "--factors", 8, "--iterations", 5)
            answer = execute([harness.GRIDMF_QUERY, model, "recommend", "--all", "--top", 10, "--format", "json"])
            self.assertEqual(answer.rc, 0, answer)
            lists = [json.loads(line) for line in answer.stdout.splitlines()]
            self.assertEqual([entry["user"] for entry in lists], [str(i) for i in data.user_ids])
            x, y = read_factors(model)
            scores = (x @ y.T).astype("f8")
            seen = ~np.isnan(data.dense())
            wanted = self.top(scores, seen)
            n_equal = 0
            for u, entry in enumerate(lists):
                rows = [int(np.searchsorted(data.item_ids, int(i["item"]))) for i in entry["items"]]
                best = wanted[u, :min(10, (~seen[u]).sum())]
                np.testing.assert_allclose(scores[u, rows], scores[u, best], rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose([i["score"] for i in entry["items"]], scores[u, rows], rtol=1e-5, atol=1e-6)
                n_equal += rows == list(best)
            self.assertGreaterEqual(n_equal, len(lists) - 1)


class TestInfoAndVerify(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data, cls.model = cls.folder / "data.h5", cls.folder / "model.h5"
        run_good(2, "synth", "-o", cls.data, "--users", 40, "--items", 30, "--ratings", 300, "--quiet")
        train(cls.data, cls.model, "--algorithm", "ials", "--factors", 5, "--iterations", 2)

    def test_info_as_json(self):
        for n_ranks in (1, 3):
            info = run_good(n_ranks, "info", self.model, "--json").json()
            self.assertEqual((info["format"], info["factors"], info["algorithm"]), ("gridmf-model", 5, "ials"))
            self.assertEqual(info["arrays"]["users/factors"], "float32 [40, 5]")
            self.assertEqual(info["provenance"]["ranks"], 2)
        info = run_good(1, "info", self.data, "--json").json()
        self.assertEqual((info["format"], info["nnz"]), ("gridmf-dataset", 300))

    def test_info_as_text(self):
        said = run_good(1, "info", self.model).stdout
        for word in ("gridmf-model", "ials", "users/factors", "float32 [40, 5]", "command_line"):
            self.assertIn(word, said)

    def test_statistics_of_a_dataset(self):
        r = Ratings(self.data)
        with h5py.File(self.data) as f:
            self.assertEqual((f.attrs["n_users"], f.attrs["n_items"], f.attrs["nnz"]), (40, 30, 300))
            self.assertEqual((f.attrs["min_rating"], f.attrs["max_rating"]), (r.values.min(), r.values.max()))
            self.assertAlmostEqual(f.attrs["mean_rating"], r.values.mean(dtype="f8"), places=9)

    def test_good_files(self):
        for n_ranks in (1, 2, 7):
            said = run_good(n_ranks, "verify", self.data, self.model).stdout.splitlines()
            self.assertEqual(len(said), 2)
            self.assertTrue(all(": good: " in line for line in said), said)

    def damaged(self, path, offset, bit):
        copy = self.out / "damaged.h5"
        content = bytearray(path.read_bytes())
        content[offset] ^= 1 << bit
        copy.write_bytes(content)
        return copy

    def test_one_flipped_bit_in_any_dataset(self):
        n_checked = 0
        for path in (self.data, self.model):
            for name, (offset, size) in harness.extents(path).items():
                if name.startswith("integrity") and path == self.data:
                    continue
                with self.subTest(file=path.name, dataset=name):
                    at = n_checked * 7919 % size
                    result = run(1 if n_checked % 4 else 3, "verify", self.damaged(path, offset + at, n_checked % 8))
                    self.assertEqual(result.rc, 65, result)
                    self.assertEqual(len(result.messages()), 1, result)
                    self.assertIn("/" + name.removeprefix("integrity/"), result.messages()[0])
                    n_checked += 1
        self.assertGreater(n_checked, 25)

    def test_truncated_files(self):
        content = self.model.read_bytes()
        for length in (100, 4096, len(content) // 2, len(content) - 1):
            for n_ranks in (1, 3):
                with self.subTest(length=length, ranks=n_ranks):
                    (self.out / "short.h5").write_bytes(content[:length])
                    result = run(n_ranks, "verify", self.out / "short.h5")
                    self.assertEqual((result.rc, len(result.messages())), (65, 1), result)


class TestLaunch(harness.Case):
    def test_many_without_launcher(self):
        """Runs that begin and end beside each other have nothing in common, and say nothing of MPI's own."""
        line = ('for k in $(seq 12); do "$1" synth -o "$2" --users 50 --items 40 --ratings 300 --quiet || echo "exit code $?"; '
                "done 2>&1")
        runs = [subprocess.Popen(["sh", "-c", line, "sh", harness.GRIDMF, self.out / f"{i}.h5"], stdout=subprocess.PIPE,
                                 text=True) for i in range(8)]
        self.assertEqual([started.communicate(timeout=300)[0] for started in runs], [""] * 8)
        self.assertEqual(len(list(self.out.iterdir())), 8)

    def test_help_and_version_are_printed_once(self):
        for words in (["--version"], ["--help"], ["train", "--help"]):
            one = execute([*launch(1), harness.GRIDMF, *words])
            four = execute([*launch(4), harness.GRIDMF, *words])
            self.assertEqual((one.rc, four.rc, four.stdout), (0, 0, one.stdout))
        self.assertIn("--lambda-scale", one.stdout)

    def test_quiet_means_quiet(self):
        result = run_good(2, "synth", "-o", self.out / "a.h5", "--users", 9, "--items", 9, "--ratings", 20, "--quiet")
        self.assertEqual((result.stdout, result.stderr), ("", ""))


if __name__ == "__main__":
    unittest.main()
