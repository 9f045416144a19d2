"""Features: gridmf attach against its text, and training with them against a dense reference in NumPy, written from the
formulas in src/algo/features.c."""

import csv
import gzip
import json
import shutil
import subprocess
import unittest

import h5py
import numpy as np
import scipy.sparse

import harness
from harness import Ratings, random_dataset, read_factors, read_history, run, run_good, write_dataset
from test_oracle import OracleCase, Problem, Settings, read_biases

GENRES = ["Drama", "Film-Noir", "Crime, true", "Comedy", "Sci-Fi"]


def read_features(path, side="items"):
    """Names, and the matrix as SciPy reads AnnData's csr layout."""
    with h5py.File(path) as f:
        group = f[side + "/features"]
        matrix = scipy.sparse.csr_matrix((group["data"][()], group["indices"][()], group["indptr"][()]),
                                         shape=tuple(group.attrs["shape"]))
        return [name.decode() for name in f[side + "/feature_names"][()]], matrix.toarray()


def read_ids(path, side="items"):
    with h5py.File(path) as f:
        return f[side + "/id"][()]


def write_table(path, header, rows, **how):
    with open(path, "w", newline="", encoding=how.pop("encoding", "utf-8")) as f:
        writer = csv.writer(f, **how)
        writer.writerows([header, *rows])
    return path


def random_table(path, ids, seed=5):
    """Some genres, a studio and a year for each id, in an order of its own; some years are missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in rng.permutation(ids):
        genres = [g for g in GENRES if rng.random() < 0.4]
        year = "" if rng.random() < 0.1 else int(rng.integers(1930, 2020))
        rows.append([i, "|".join(genres), "studio %d" % rng.integers(3), year])
    return write_table(path, ["id", "genres", "studio", "year"], rows)


def attach(data, table, out, *words, side="items", n_ranks=1, **how):
    result = run_good(n_ranks, "attach", data, f"--{side}", table, "--id", "id", "--categories", "genres,|", "--categories",
                      "studio", "--numbers", "year", "-o", out, *words, **how)
    return result


# ---- attach ----------------------------------------------------------------------------------------------------------


class TestAttach(harness.Case):
    def test_values(self):
        """Categories are 1, numbers in units of their deviation; ids of both stand in one order, with their ratings."""
        data = write_dataset(self.out / "data.h5", 2, 3, [0, 0, 1], [0, 2, 1], [1, 2, 3], item_ids=[10, 20, 40])
        table = self.out / "t.csv"
        table.write_bytes(b'\xef\xbb\xbfName,ID,genres,year\r\n'
                          b'"A film, or ""two""",40,"Drama|""Crime|true""",1990\r\n'
                          b'B,5,Drama | Drama,2000\r\n'
                          b'\r\n'
                          b'C,20,,\r\n'
                          b'D,30,"Comedy, dark",1980')
        wanted = np.zeros((5, 4))
        wanted[0, [2, 3]] = 1, 10 / np.sqrt(200 / 3)
        wanted[3, [0, 3]] = 1, -10 / np.sqrt(200 / 3)
        wanted[4, [1, 2]] = 1
        for n_ranks in (1, 3, 7):
            out = self.out / f"{n_ranks}.h5"
            result = run_good(n_ranks, "attach", data, "--items", table, "--id", "id", "--categories", "genres,|", "--numbers",
                              "year", "-o", out)
            names, matrix = read_features(out)
            self.assertEqual(names, ["genres:Comedy, dark", "genres:Crime|true", "genres:Drama", "year"])
            np.testing.assert_allclose(matrix, wanted, atol=1e-6)
            self.assertEqual(list(read_ids(out)), [5, 10, 20, 30, 40])
            made, given = Ratings(out), Ratings(data)
            self.assertEqual(made.n_users, 2)
            self.assertEqual([5, 10, 20, 30, 40][made.items[0]], 10)
            np.testing.assert_array_equal(made.item_ids[made.items], given.item_ids[given.items])
            np.testing.assert_array_equal(made.values, given.values)
            with h5py.File(out) as f:
                np.testing.assert_allclose(f["items/feature_mean"][()], [0, 0, 0, 1990])
                np.testing.assert_allclose(f["items/feature_scale"][()], [1, 1, 1, np.sqrt(200 / 3)])
            self.assertIn("2 items have features and ratings; 2 have features only, and rows of their own; 1 have no features",
                          result.stderr)
            self.assertIn("1 empty fields of numbers", result.stderr)
            run_good(1, "verify", out)
            self.assertEqual(out.read_bytes(), (self.out / "1.h5").read_bytes())

    def test_ways_to_write_it(self):
        """Compressed, tab-separated, '::', columns by number: the same features."""
        data = random_dataset(self.out / "data.h5", 20, 9, 60)
        rows = [[i, f"T{i}", "Drama|Comedy" if i % 2 else "Noir", 1950 + i * i] for i in range(3, 12)]
        plain = write_table(self.out / "t.csv", ["id", "title", "genres", "year"], rows)
        named = ["--id", "id", "--categories", "genres,|", "--numbers", "year"]
        numbered = ["--categories", "3,|", "--numbers", "4"]
        text = plain.read_text()
        (self.out / "t.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
        subprocess.run(["zstd", "-q", plain, "-o", self.out / "t.csv.zst"], check=True)
        (self.out / "t.tsv").write_text(text.replace(",", "\t"))
        (self.out / "t.dat").write_text("".join("::".join(map(str, row)) + "\n" for row in rows))
        run_good(1, "attach", data, "--items", plain, *named, "-o", self.out / "plain.h5")
        names, matrix = read_features(self.out / "plain.h5")
        self.assertEqual(names, ["genres:Comedy", "genres:Drama", "genres:Noir", "year"])
        for name, words in (("t.csv.gz", named), ("t.csv.zst", named), ("t.tsv", named), ("t.dat", numbered)):
            out = self.out / (name + ".h5")
            run_good(2, "attach", data, "--items", self.out / name, *words, "-o", out)
            other_names, other = read_features(out)
            np.testing.assert_array_equal(other, matrix)
            self.assertEqual([n.split(":")[-1] for n in other_names][:3], ["Comedy", "Drama", "Noir"])

    def test_intercept(self):
        data = random_dataset(self.out / "data.h5", 10, 5, 20)
        (self.out / "t.csv").write_text("id,genres,year\n1,A|B,1990\n7,,2000\n")
        run_good(2, "attach", data, "--items", self.out / "t.csv", "--id", "id", "--categories", "genres,|", "--numbers", "year",
                 "--intercept", "-o", self.out / "o.h5")
        names, matrix = read_features(self.out / "o.h5")
        self.assertEqual(names, ["genres:A", "genres:B", "year", "(intercept)"])
        np.testing.assert_array_equal(matrix, [[1, 1, -1, 1]] + 4 * [[0] * 4] + [[0, 0, 1, 1]])

    def test_both_sides(self):
        """Users as well, with ids that are texts; features of the other side stay, those of the same are replaced."""
        ids = np.array([f"u{j:03d}" for j in range(30)])
        data = random_dataset(self.out / "data.h5", 30, 12, 200, user_ids=ids)
        users = random_table(self.out / "u.csv", [f"u{j:03d}" for j in range(20, 40)] + ["a much longer id than theirs"])
        attach(data, random_table(self.out / "i.csv", range(1, 13)), self.out / "i.h5")
        for n_ranks in (1, 3):
            out = self.out / f"{n_ranks}.h5"
            attach(self.out / "i.h5", users, out, side="users", n_ranks=n_ranks)
            self.assertEqual(len(read_ids(out, "users")), 41)
            self.assertEqual(sorted(read_ids(out, "users")), list(read_ids(out, "users")))
            np.testing.assert_array_equal(read_features(out)[1], read_features(self.out / "i.h5")[1])
            made, given = Ratings(out), Ratings(data)
            np.testing.assert_array_equal(made.user_ids[made.users], given.user_ids[given.users])
            np.testing.assert_array_equal(made.items, given.items)
            self.assertEqual(np.count_nonzero(read_features(out, "users")[1].any(axis=1)), 21)
        again = attach(self.out / "1.h5", users, self.out / "again.h5", side="users")
        self.assertIn("the features that users had are replaced", again.stderr)
        np.testing.assert_array_equal(read_features(self.out / "again.h5", "users")[1], read_features(out, "users")[1])

    BAD = [
        ("id,genres\n1,A\n", ["--categories", "genre"], 65, "there is no column 'genre'; the header has: id, genres"),
        ("id,genres\n1,A\n2,B\n1,C\n", ["--categories", "genres"], 65, "t.csv:4:1: id '1' stands on line 2 already"),
        ("id,year\n1,1990\n2,nan\n", ["--numbers", "year"], 65, "t.csv:3:3: year 'nan' is not a number"),
        ("id,year\n1,1e99\n", ["--numbers", "year"], 65, "year '1e99' is too large"),
        ("id,genres\n1,\"A|B\n", ["--categories", "genres,|"], 65, "t.csv:2:1: a quoted field does not end"),
        ("id,genres\n1,\"A|\"\"B|C\"\n", ["--categories", "genres,|"], 65, "has a category whose quotes do not end"),
        ("id,genres\ntt1,A\n", ["--categories", "genres"], 65, "id 'tt1' id is no integer, as all ids of the dataset are"),
        ("id,genres\n,A\n", ["--categories", "genres"], 65, "id '' id is empty"),
        ("id,genres,year\n1,A\n", ["--numbers", "year"], 65, "t.csv:2:1: 2 fields, and 3 are needed"),
        ("", ["--numbers", "year"], 65, "is empty"),
        ("id,genres\n", ["--categories", "genres"], 65, "no line has features"),
        ("id,genres\n1,A\n", [], 64, "--categories COLUMN[,SEPARATOR] or --numbers COLUMN,... is needed"),
    ]

    def test_bad_input(self):
        data = random_dataset(self.out / "data.h5", 10, 5, 20)
        for n, (text, words, code, message) in enumerate(self.BAD):
            table, out = self.out / "t.csv", self.out / "o.h5"
            table.write_text(text)
            for n_ranks in (1, 3) if n % 3 == 0 else (1,):
                with self.subTest(text=text, ranks=n_ranks):
                    result = run(n_ranks, "attach", data, "--items", table, "--id", "id", *words, "-o", out)
                    self.assertEqual(result.rc, code, result)
                    self.assertEqual(len(result.messages()), 1, result)
                    self.assertIn(message, result.messages()[0])
                    self.assertFalse(out.exists())
        both = run(1, "attach", data, "--items", table, "--users", table, "--categories", "genres", "-o", self.out / "o.h5")
        self.assertEqual(both.rc, 64)
        missing = run(3, "attach", data, "--items", self.out / "none.csv", "--categories", "genres", "-o", self.out / "o.h5")
        self.assertEqual(missing.rc, 66)

    def test_bad_lines_skipped(self):
        data = random_dataset(self.out / "data.h5", 10, 5, 20)
        (self.out / "t.csv").write_text("id,genres,year\n1,A|B,1990\nx,A|C,1990\n2,B,inf\n3,B,2000\n1,D,1991\n4,,\n")
        result = run_good(2, "attach", data, "--items", self.out / "t.csv", "--id", "id", "--categories", "genres,|",
                          "--numbers", "year", "--on-bad-line", "skip", "-o", self.out / "o.h5")
        self.assertIn("skipped 3 bad lines, the first: line 3: id 'x'", result.stderr)
        names, matrix = read_features(self.out / "o.h5")
        np.testing.assert_array_equal(matrix[:, names.index("genres:A")], [1, 0, 0, 0, 0])
        np.testing.assert_array_equal(matrix[:, names.index("year")], [-1, 0, 1, 0, 0])

    def test_export(self):
        """The features as NumPy and SciPy have them, of a dataset and of a model."""
        data = random_dataset(self.out / "data.h5", 20, 15, 100)
        attach(data, random_table(self.out / "i.csv", range(10, 25)), self.out / "i.h5")
        run_good(1, "train", self.out / "i.h5", "-o", self.out / "m.h5", "--algorithm", "als", "--factors", 3, "--iterations", 1,
                 "--item-features", "--quiet")
        names, matrix = read_features(self.out / "i.h5")
        for file in ("i.h5", "m.h5"):
            run_good(1, "export", self.out / file, "--to", "npz", "-o", self.out / "o.npz")
            with np.load(self.out / "o.npz") as z:
                rows = scipy.sparse.csr_matrix(tuple(z[f"item_features_{part}"] for part in ("data", "indices", "indptr")), matrix.shape)
                np.testing.assert_array_equal(rows.toarray(), matrix)
                self.assertEqual([name.decode() for name in z["item_feature_names"]], names)
                self.assertEqual(z["item_feature_weights"].shape if file == "m.h5" else (len(names), 3), (len(names), 3))

    def test_split_hands_features_on(self):
        data = random_dataset(self.out / "data.h5", 40, 15, 300)
        attach(data, random_table(self.out / "i.csv", range(10, 25)), self.out / "i.h5")
        attach(self.out / "i.h5", random_table(self.out / "u.csv", range(30, 50)), self.out / "both.h5", side="users")
        for method, extra in (("random", []), ("users", ["--fold-in", self.out / "f.h5"])):
            for n_ranks in (1, 3):
                run_good(n_ranks, "split", self.out / "both.h5", "--train", self.out / "a.h5", "--test", self.out / "b.h5",
                         "--method", method, "--fraction", 0.2, *extra)
                for part in ("a.h5", "b.h5", *(["f.h5"] if extra else [])):
                    for side in ("users", "items"):
                        names, matrix = read_features(self.out / part, side)
                        all_names, all_rows = read_features(self.out / "both.h5", side)
                        self.assertEqual(names, all_names)
                        place = {i: row for row, i in enumerate(read_ids(self.out / "both.h5", side))}
                        rows = [place[i] for i in read_ids(self.out / part, side)]
                        np.testing.assert_array_equal(matrix, all_rows[rows])


# ---- training --------------------------------------------------------------------------------------------------------


class FeatureProblem(Problem):
    """The dense problem with features [rows][p] of each side, or None."""

    def __init__(self, r, settings, features, lambda_features):
        super().__init__(r, settings)
        self.lambda_features = lambda_features
        self.features = features
        self.lambdas = [np.where(has, settings.lam * scale, 0) for has, scale in zip(self.has_ratings, self.scales)]
        self.b = [None if f is None else np.zeros((f.shape[1], settings.k)) for f in features]

    def half_sweep(self, side, fixed, fixed_bias):
        self.side, self.row = side, -1
        self.rows = iter(np.flatnonzero(self.has_ratings[side]))
        x, bias = super().half_sweep(side, fixed, fixed_bias)
        f = self.features[side]
        if f is not None:
            weighted = f.T * self.lambdas[side]
            self.b[side] = np.linalg.solve(weighted @ f + self.lambda_features * np.eye(f.shape[1]), weighted @ x)
        return x, bias

    def minimize(self, a, b, k):
        """Called for each row that has ratings, in their order."""
        row = next(self.rows)
        if self.features[self.side] is not None:
            b = b.copy()
            b[:k] += self.lambdas[self.side][row] * (self.features[self.side][row] @ self.b[self.side])
        return super().minimize(a, b, k)

    def objective(self, x, y, bx, by):
        total = super().objective(x, y, bx, by)
        for rows, f, b, lambdas in zip((x, y), self.features, self.b, self.lambdas):
            if f is not None:
                total += lambdas @ (((rows - f @ b) ** 2).sum(1) - (rows ** 2).sum(1)) + self.lambda_features * (b ** 2).sum()
        return total


class TestOracle(OracleCase):
    """Factors, weights, history and cold rows on 1 to 4 ranks, every solver, bias and loss."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plain = random_dataset(cls.folder / "plain.h5", 60, 37, 700,
                               values=lambda rng, n: rng.choice([-1, 1, 2, 3, 4, 5], n, p=[.1, .1, .2, .2, .2, .2]))
        attach(plain, random_table(cls.folder / "i.csv", range(5, 45)), cls.folder / "i.h5")
        attach(cls.folder / "i.h5", random_table(cls.folder / "u.csv", range(20, 66), seed=6), cls.folder / "both.h5",
               "--intercept", side="users")
        cls.data = cls.folder / "both.h5"

    def compare(self, settings, n_ranks, sides=("users", "items"), lambda_features=0.7, words=(), tolerance=1e-4, grid="auto"):
        words = [*[f"--{side[:-1]}-features" for side in sides], "--lambda-features", lambda_features, *words]
        start, model = self.out / "start.h5", self.out / "model.h5"
        run_good(1, "train", self.data, "-o", start, *settings.arguments(), "--iterations", 0, "--quiet")
        features = [read_features(self.data, side)[1].astype("f8") if side in sides else None for side in ("users", "items")]
        problem = FeatureProblem(Ratings(self.data).dense(), settings, features, lambda_features)
        x, y, bx, by, objectives = problem.sweeps(read_factors(start)[1], 3)
        run_good(n_ranks, "train", self.data, "-o", model, *settings.arguments(), "--iterations", 3, "--quiet", "--grid", grid,
                 *words)
        found = read_factors(model)
        for side, rows, wanted, has, f, b in zip(("users", "items"), found, (x, y), problem.has_ratings, features, problem.b):
            self.assertClose(rows[has], wanted[has], tolerance)
            if f is None:
                self.assertFalse(rows[~has].any())
                continue
            with h5py.File(model) as file:
                self.assertClose(file[side + "/feature_weights"][()], b, tolerance)
            cold = f[~has] @ b
            self.assertGreater(len(cold), 0)
            self.assertClose(rows[~has], np.maximum(cold, 0) if settings.nonnegative else cold, tolerance)
        if settings.bias:
            for rows, wanted in zip(read_biases(model), (bx, by)):
                self.assertClose(rows, wanted, tolerance)
        np.testing.assert_allclose(read_history(model), objectives, rtol=2e-6)
        return read_history(model)

    def test_ranks(self):
        for n_ranks in (1, 2, 3, 4):
            for algorithm in ("als", "ials"):
                with self.subTest(ranks=n_ranks, algorithm=algorithm):
                    self.compare(Settings(algorithm=algorithm, scale="count" if algorithm == "als" else "none"), n_ranks)

    def test_grids(self):
        for n_ranks, grid in ((2, "1x2"), (4, "2x2")):
            for algorithm in ("als", "ials"):
                with self.subTest(grid=grid, algorithm=algorithm):
                    self.compare(Settings(algorithm=algorithm), n_ranks, grid=grid)

    def test_layouts(self):
        """Heavy rows on a grid of their own, and fixed rows in panels."""
        for words in (["--heavy-items", "20:2x2", "--heavy-users", "none"], ["--heavy-users", "15:2x2", "--heavy-items", "25:2x2"],
                      ["--expand-memory", "4K"]):
            for algorithm, solver in (("als", "auto"), ("ials", "cg")):
                with self.subTest(words=words, algorithm=algorithm):
                    self.compare(Settings(algorithm=algorithm, solver=solver), 4, words=words)

    def test_solvers(self):
        """Short rows by their dual among them: k is larger than the number of ratings of most."""
        for algorithm, loss in (("als", "hkv"), ("ials", "hkv"), ("ials", "ials"), ("ials", "implicit")):
            for solver in ("cholesky", "cg", "auto"):
                with self.subTest(algorithm=algorithm, loss=loss, solver=solver):
                    self.compare(Settings(algorithm=algorithm, loss=loss, solver=solver, k=24 if solver == "auto" else 5), 2)

    def test_biases_and_signs(self):
        self.compare(Settings(bias=True, center="global", scale="count"), 3)
        self.compare(Settings(nonnegative=True), 2)
        self.compare(Settings(algorithm="ials", nonnegative=True), 1)

    def test_one_side(self):
        self.compare(Settings(algorithm="ials", scale="ials"), 2, sides=["items"])
        self.compare(Settings(), 3, sides=["users"], lambda_features=20)

    def test_objective_never_rises(self):
        for algorithm in ("als", "ials"):
            model = self.out / "m.h5"
            run_good(2, "train", self.data, "-o", model, "--algorithm", algorithm, "--factors", 8, "--iterations", 30,
                     "--item-features", "--user-features", "--quiet")
            history = read_history(model)
            self.assertTrue((np.diff(history) <= 1e-7 * history[:-1]).all(), history)

    def test_many_features(self):
        """More than are solved for on every rank: their regression goes through ScaLAPACK."""
        n = 2100
        rows = [[i, "|".join({f"tag {i * 61 % n}", f"tag {i * 17 % n}", *(f"tag {j}" for j in range(i * 45, i * 45 + 60))})]
                for i in range(1, 48)]
        table = write_table(self.out / "t.csv", ["id", "tags"], rows)
        run_good(2, "attach", self.data, "--items", table, "--id", "id", "--categories", "tags,|", "-o", self.out / "many.h5")
        self.data = self.out / "many.h5"
        self.assertGreater(read_features(self.data)[1].shape[1], 2048)
        for n_ranks in (1, 3):
            self.compare(Settings(), n_ranks, sides=["items"])
        refused = run(2, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "als", "--item-features", "--deterministic",
                      "--quiet")
        self.assertEqual(refused.rc, 64, refused)
        self.assertIn("--deterministic takes at most 2048 features", refused.messages()[0])


class TestRuns(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plain = random_dataset(cls.folder / "plain.h5", 90, 40, 900)
        cls.data = cls.folder / "data.h5"
        attach(plain, random_table(cls.folder / "i.csv", range(5, 60)), cls.data)

    def train(self, *words, n_ranks=1, data=None, out="m.h5", **how):
        model = self.out / out
        run_good(n_ranks, "train", data or self.data, "-o", model, "--factors", 6, "--iterations", 6, "--quiet", *words, **how)
        return model

    def assertSameArrays(self, a, b, names=("users/factors", "items/factors", "items/feature_weights")):
        with h5py.File(a) as f, h5py.File(b) as g:
            for name in names:
                np.testing.assert_array_equal(f[name][()], g[name][()])

    def test_nothing_is_plain(self):
        """Features without an entry, or none at all, change no bit."""
        for name, text in (("none", "id,genres\n3,\n4,\n"), ("constant", "id,genres,year\n3,,7\n4,,7\n")):
            (self.out / "t.csv").write_text(text)
            words = ["--categories", "genres"] + (["--numbers", "year"] if "year" in text else [])
            data = self.out / f"{name}.h5"
            run_good(1, "attach", self.data, "--items", self.out / "t.csv", "--id", "id", *words, "-o", data)
            for algorithm in ("als", "ials"):
                for n_ranks in (1, 3):
                    plain = self.train("--algorithm", algorithm, n_ranks=n_ranks, out="plain.h5")
                    with_features = self.train("--algorithm", algorithm, "--item-features", n_ranks=n_ranks, data=data)
                    self.assertSameArrays(plain, with_features, ["users/factors", "items/factors", "history/objective"])

    def test_resumed(self):
        for algorithm in ("als", "ials"):
            words = ["--algorithm", algorithm, "--item-features", "--checkpoint", self.out / algorithm, "--checkpoint-every", "0s"]
            through = self.train(*words, n_ranks=2, out="through.h5")
            for later in (self.out / algorithm).glob("00000[4-9].h5"):
                if later.name != "000004.h5":
                    later.unlink()
            resumed = self.train(*words, n_ranks=2, out="resumed.h5")
            self.assertSameArrays(through, resumed, ["users/factors", "items/factors", "items/feature_weights",
                                                     "history/objective"])

    def test_other_features_are_other_data(self):
        words = ["--algorithm", "als", "--item-features", "--checkpoint", self.out / "c", "--checkpoint-every", "0s"]
        self.train(*words)
        other = self.out / "other.h5"
        attach(self.folder / "plain.h5", random_table(self.out / "i.csv", range(5, 60), seed=9), other)
        result = run(2, "train", other, "-o", self.out / "m.h5", "--factors", 6, "--iterations", 9, "--quiet", *words)
        self.assertEqual(result.rc, 78, result)
        self.assertIn("belongs to dataset", result.messages()[0])

    def test_deterministic(self):
        for algorithm in ("als", "ials"):
            models = [self.train("--algorithm", algorithm, "--item-features", "--deterministic", n_ranks=n, out=f"{n}.h5")
                      for n in (1, 3)]
            models.append(self.train("--algorithm", algorithm, "--item-features", "--deterministic", "--threads", 2, out="t.h5"))
            for other in models[1:]:
                self.assertSameArrays(models[0], other)

    def test_best_sweep(self):
        """The weights of a model that early stopping went back to are those of its sweep."""
        run_good(1, "split", self.data, "--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "random",
                 "--fraction", 0.3)
        words = ["--algorithm", "als", "--lambda", 0.01, "--item-features"]
        stopped = self.train(*words, "--test", self.out / "b.h5", "--metrics", "rmse", "--early-stop", 2, data=self.out / "a.h5")
        with h5py.File(stopped) as f:
            best = f.attrs["best_iteration"]
        self.assertLess(best, 6)
        straight = self.train(*words, "--iterations", best, data=self.out / "a.h5", out="straight.h5")
        self.assertSameArrays(stopped, straight)

    def test_refusals(self):
        cases = [(["--algorithm", "svd", "--item-features"], 64, "has no --item-features"),
                 (["--algorithm", "als", "--user-features"], 65, "has no features of users for --user-features"),
                 (["--algorithm", "als", "--item-features", "--lambda-features", "-1"], 64, "--lambda-features")]
        for words, code, message in cases:
            for n_ranks in (1, 3):
                result = run(n_ranks, "train", self.data, "-o", self.out / "m.h5", "--quiet", *words)
                self.assertEqual(result.rc, code, result)
                self.assertIn(message, result.messages()[0])
        (self.out / "t.csv").write_text("id,a,b\n" + "".join(f"{i},x,x\n" for i in range(1, 30)))
        run_good(1, "attach", self.data, "--items", self.out / "t.csv", "--id", "id", "--categories", "a", "--categories", "b",
                 "-o", self.out / "twice.h5")
        singular = run(3, "train", self.out / "twice.h5", "-o", self.out / "m.h5", "--algorithm", "als", "--item-features",
                       "--lambda-features", 0, "--quiet")
        self.assertEqual(singular.rc, 3, singular)
        self.assertIn("singular at --lambda-features 0", singular.messages()[0])


# ---- questions -------------------------------------------------------------------------------------------------------


class TestQuery(harness.Case):
    """gridmf-query with features against NumPy on the arrays of the model."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        plain = random_dataset(cls.folder / "plain.h5", 50, 30, 500)
        attach(plain, random_table(cls.folder / "i.csv", range(5, 45)), cls.folder / "i.h5", "--intercept")
        attach(cls.folder / "i.h5", random_table(cls.folder / "u.csv", range(30, 60), seed=6), cls.folder / "data.h5", side="users")
        cls.model = cls.folder / "m.h5"
        run_good(2, "train", cls.folder / "data.h5", "-o", cls.model, "--algorithm", "als", "--bias", "--factors", 6, "--iterations", 4,
                 "--item-features", "--user-features", "--quiet")
        with h5py.File(cls.model) as f:
            cls.x, cls.y = f["users/factors"][()].astype("f8"), f["items/factors"][()].astype("f8")
            cls.bx, cls.by, cls.mean = f["users/bias"][()], f["items/bias"][()], f.attrs["global_mean"]
            cls.user_ids, cls.item_ids = f["users/id"][()], f["items/id"][()]
            cls.warm = f["items/count"][()] > 0
            cls.b, cls.bu = f["items/feature_weights"][()], f["users/feature_weights"][()]
            cls.means, cls.scales = f["items/feature_mean"][()], f["items/feature_scale"][()]
        cls.names, cls.f = read_features(cls.model)
        cls.known = cls.warm | cls.f.any(axis=1)
        cls.seen = Ratings(cls.folder / "data.h5").dense()

    def ask(self, *words, rc=0):
        result = harness.execute([harness.GRIDMF_QUERY, self.model, *words, "--format", "json"])
        self.assertEqual(result.rc, rc, result)
        return [json.loads(line) for line in result.stdout.splitlines()]

    def best(self, scores, candidates, top=5):
        rows = np.flatnonzero(candidates)
        return [(str(self.item_ids[i]), scores[i]) for i in rows[np.argsort(-scores[rows], kind="stable")][:top]]

    def assertList(self, items, wanted, key="item"):
        self.assertEqual([entry[key] for entry in items], [name for name, _ in wanted])
        np.testing.assert_allclose([entry["score"] for entry in items], [score for _, score in wanted], rtol=1e-4, atol=1e-5)

    def cosines(self, vector):
        lengths = np.linalg.norm(self.y, axis=1) * np.linalg.norm(vector)
        return self.y @ vector / np.maximum(lengths, 1e-30)

    def test_recommend(self):
        """Cold items enter lists when they are asked for, and otherwise change nothing."""
        user = 3
        scores = self.mean + self.bx[user] + self.by + self.y @ self.x[user]
        unseen = np.isnan(self.seen[user])
        plain = self.ask("recommend", "--user", self.user_ids[user], "--top", 45)[0]["items"]
        self.assertList(plain, self.best(scores, unseen & self.warm, 45))
        cold = self.ask("recommend", "--user", self.user_ids[user], "--top", 45, "--include-cold")[0]["items"]
        self.assertList(cold, self.best(scores, unseen & self.known, 45))
        self.assertGreater(len(cold), len(plain) + 3)
        none = self.ask("recommend", "--user", self.user_ids[-1])[0]
        self.assertEqual(none["status"], "cold")
        self.assertEqual(len(self.ask("recommend", "--user", self.user_ids[-1], "--include-cold")[0]["items"]), 10)

    def test_recommend_all(self):
        """The batch program has the same lists."""
        recs = self.out / "recs.h5"
        run_good(3, "recommend", self.model, "-o", recs, "--top", 5, "--include-cold", "--quiet")
        with h5py.File(recs) as f:
            items, scores, ids = f["top/item"][()], f["top/score"][()], f["users/id"][()]
        answers = self.ask("recommend", "--all", "--top", 5, "--include-cold")
        for row, user, answer in zip(items, ids, answers):
            self.assertEqual(answer["user"], str(user))
            self.assertEqual([str(self.item_ids[i]) for i in row if i >= 0], [entry["item"] for entry in answer["items"]])
        self.assertTrue(np.isfinite(scores).all())
        self.assertFalse(self.warm[items].all())
        plain = run(2, "recommend", self.folder / "plain.h5", "-o", recs, "--include-cold", "--quiet")
        self.assertEqual(plain.rc, 65)

    def test_single_rows(self):
        item = np.flatnonzero(~self.warm & self.known)[0]
        name = str(self.item_ids[item])
        score = self.ask("score", "--user", self.user_ids[0], "--item", name, "--include-cold")[0]["score"]
        self.assertAlmostEqual(score, self.mean + self.bx[0] + self.y[item] @ self.x[0], places=4)
        self.assertEqual(self.ask("score", "--user", self.user_ids[0], "--item", name)[0]["status"], "cold")
        others = np.arange(len(self.y)) != item
        similar = self.ask("similar-items", "--item", name, "--top", 5, "--include-cold")[0]["items"]
        self.assertList(similar, self.best(self.cosines(self.y[item]), self.known & others))
        warm = self.item_ids[np.flatnonzero(self.warm)[0]]
        without = self.ask("similar-items", "--item", warm, "--top", 44)[0]["items"]
        self.assertEqual(len(without), self.warm.sum() - 1)
        with_cold = self.ask("similar-items", "--item", warm, "--top", 44, "--include-cold")[0]["items"]
        self.assertEqual(len(with_cold), self.known.sum() - 1)

    def test_fold_in(self):
        words = ["fold-in", "--ratings", ",".join(f"{i}:{v}" for i, v in zip(self.item_ids[self.warm][:4], (5, 4, 1, 3))), "--top", 45]
        plain, cold = self.ask(*words)[0]["items"], self.ask(*words, "--include-cold")[0]["items"]
        self.assertEqual(len(plain), self.warm.sum() - 4)
        self.assertEqual(len(cold), self.known.sum() - 4)
        self.assertEqual([e for e in cold if e["item"] in {p["item"] for p in plain}], plain)

    def test_describe(self):
        """An item that no file has, by a category, one with a comma, and a number."""
        vector = (self.b[self.names.index("genres:Drama")] + self.b[self.names.index("genres:Crime, true")] +
                  self.b[self.names.index("year")] * (1985 - self.means[-2]) / self.scales[-2] + self.b[-1])
        words = ["describe", "--item-features", 'genres:Drama,"genres:Crime, true",year:1985', "--top", 5]
        answer = self.ask(*words, "--user", self.user_ids[2], "--user", 999)[0]
        self.assertList(answer["items"], self.best(self.cosines(vector), self.warm))
        self.assertAlmostEqual(answer["scores"][0]["score"], self.mean + self.bx[2] + vector @ self.x[2], places=4)
        self.assertEqual(answer["scores"][1], {"user": "999", "score": None, "status": "unknown"})
        self.assertList(self.ask(*words, "--include-cold")[0]["items"], self.best(self.cosines(vector), self.known))
        names = read_features(self.model, "users")[0]
        user = self.ask("describe", "--user-features", "genres:Comedy", "--top", 5)[0]
        scores = self.mean + self.by + self.y @ self.bu[names.index("genres:Comedy")]
        self.assertList(user["items"], self.best(scores, self.warm))
        table = harness.execute([harness.GRIDMF_QUERY, self.model, *words, "--user", str(self.user_ids[2])])
        self.assertIn(str(self.user_ids[2]), table.stdout)

    def test_features(self):
        names = [entry["feature"] for entry in self.ask("features", "--top", 3)]
        self.assertEqual(names, self.names)
        at = self.names.index("genres:Comedy")
        answer = self.ask("features", "--feature", "genres:Comedy", "--top", 3)[0]
        self.assertList(answer["items"], self.best(self.cosines(self.b[at]), self.warm, 3))
        unit = self.b / np.linalg.norm(self.b, axis=1)[:, None]
        likeness = unit @ unit[at]
        likeness[at] = -2
        best = np.argsort(-likeness, kind="stable")[:3]
        self.assertList(answer["features"], [(self.names[j], likeness[j]) for j in best], "feature")
        of_users = self.ask("features", "--of", "users", "--feature", "year", "--top", 2)[0]
        self.assertEqual(len(of_users["users"]), 2)
        text = harness.execute([harness.GRIDMF_QUERY, self.model, "features", "--top", 1, "--format", "csv"]).stdout.splitlines()
        self.assertEqual(text[0], "feature,kind,rank,id,score")
        self.assertEqual(len(text), 1 + 2 * len(self.names))

    def test_stream(self):
        requests = [{"id": 1, "verb": "describe", "item_features": ["genres:Drama"], "user": int(self.user_ids[1]), "top": 2},
                    {"id": 2, "verb": "features", "feature": "genres:Drama", "top": 2},
                    {"id": 3, "verb": "recommend", "user": int(self.user_ids[3]), "top": 45, "include_cold": True},
                    {"id": 4, "verb": "recommend", "user": int(self.user_ids[3]), "top": 45},
                    {"id": 5, "verb": "describe", "item_features": ["genres:None"]},
                    {"id": 6, "verb": "describe", "user": 1}]
        result = subprocess.run([harness.GRIDMF_QUERY, self.model, "stream"], input="\n".join(map(json.dumps, requests)), text=True,
                                capture_output=True, check=True)
        answers = [json.loads(line) for line in result.stdout.splitlines()]
        for n, words in enumerate((["describe", "--item-features", "genres:Drama", "--user", self.user_ids[1], "--top", 2],
                                   ["features", "--feature", "genres:Drama", "--top", 2],
                                   ["recommend", "--user", self.user_ids[3], "--top", 45, "--include-cold"],
                                   ["recommend", "--user", self.user_ids[3], "--top", 45])):
            self.assertEqual({k: v for k, v in answers[n].items() if k != "id"}, self.ask(*words)[0])
        self.assertEqual([a["error"]["code"] for a in answers[4:]], [65, 64])

    def test_errors(self):
        plain = self.out / "p.h5"
        run_good(1, "train", self.folder / "plain.h5", "-o", plain, "--algorithm", "als", "--factors", 4, "--iterations", 1, "--quiet")
        for model, words, code, message in (
                (self.model, ["describe", "--item-features", "genres:Drma"], 65, "has no feature 'genres:Drma'"),
                (self.model, ["describe"], 64, "describe needs --item-features"),
                (self.model, ["describe", "--item-features", '"genres:Drama'], 64, "quotes around a feature do not end"),
                (plain, ["features"], 65, "was trained without features of items"),
                (plain, ["describe", "--item-features", "genres:Drama"], 65, "was trained without features of items"),
                (plain, ["recommend", "--user", "1", "--include-cold"], 65, "was trained without features")):
            result = harness.execute([harness.GRIDMF_QUERY, model, *words])
            self.assertEqual(result.rc, code, result)
            self.assertIn(message, result.stderr)

    def test_damage(self):
        """Weights or features that do not fit are told, and not used."""
        def truncated(f):
            rows = f["items/feature_weights"][:-1]
            del f["items/feature_weights"]
            f["items/feature_weights"] = rows

        def not_finite(f):
            f["items/feature_weights"][0, 0] = np.nan

        def out_of_range(f):
            f["items/features/indices"][0] = 1000

        def wild(f):
            f["items/features/indptr"][3] = 1 << 40

        for damage in (truncated, not_finite, out_of_range, wild):
            model = self.out / "damaged.h5"
            shutil.copy(self.model, model)
            with h5py.File(model, "r+") as f:
                damage(f)
            result = harness.execute([harness.GRIDMF_QUERY, model, "features"])
            self.assertEqual(result.rc, 65, damage.__name__ + str(result))


if __name__ == "__main__":
    unittest.main()
