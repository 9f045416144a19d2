"""evaluate against NumPy: every metric from its definition, on models with many ties, on any number of ranks."""

import json
import shutil
import unittest

import h5py
import numpy as np
import scipy.stats

import harness
from harness import Ratings, random_dataset, run, run_good, write_dataset

LIST_METRICS = {  # hits: which of the first K candidates are in T; t: the size of T
    "recall": lambda hits, k, t: hits.sum() / t,
    "recall-min": lambda hits, k, t: hits.sum() / min(k, t),
    "precision": lambda hits, k, t: hits.sum() / k,
    "hit": lambda hits, k, t: float(hits.any()),
    "mrr": lambda hits, k, t: 1 / (1 + np.argmax(hits)) if hits.any() else 0,
    "map": lambda hits, k, t: sum(hits[:r + 1].mean() for r in np.flatnonzero(hits)) / min(k, t),
    "ndcg": lambda hits, k, t: (hits / np.log2(np.arange(len(hits)) + 2)).sum() / (1 / np.log2(np.arange(min(k, t)) + 2)).sum(),
}
METRICS = ",".join(["rmse", "mae", "auc", "coverage@1", "coverage@10"]
                   + [f"{name}@{k}" for name in LIST_METRICS for k in (1, 10, 200)])
COUNTS = ["n_users", "n_ratings", "n_test", "n_cold_users", "n_cold_ratings"]


def auc(positive, negative):
    """Mann and Whitney's U from mean ranks, over the number of pairs."""
    ranks = scipy.stats.rankdata(np.concatenate([positive, negative]))
    m, n = len(positive), len(negative)
    return (ranks[:m].sum() - m * (m + 1) / 2) / (m * n)


def texts(ids):
    return [i.decode() if isinstance(i, bytes) else str(i) for i in ids]


class Model:
    """A model file in memory: all scores in f8, and what was trained on and seen."""

    def __init__(self, path):
        with h5py.File(path) as f:
            x, y = (f[side + "/factors"][()].astype("f8") for side in ("users", "items"))
            self.scores = x @ y.T + f.attrs.get("global_mean", 0)
            if "users/bias" in f:
                self.scores = self.scores + f["users/bias"][()].astype("f8")[:, None] + f["items/bias"][()].astype("f8")
            self.rows = [{t: row for row, t in enumerate(texts(f[side + "/id"][()]))} for side in ("users", "items")]
            self.trained = [f[side + "/count"][()] > 0 for side in ("users", "items")]
            self.seen = np.zeros(self.scores.shape, bool)
            if "seen" in f:
                indptr = f["seen/indptr"][()]
                self.seen[np.repeat(np.arange(len(x)), np.diff(indptr)), f["seen/indices"][()]] = True

    def row(self, side, text):
        """The row of an id, -1 where it is missing or was not trained on."""
        row = self.rows[side].get(text, -1)
        return row if row >= 0 and self.trained[side][row] else -1


class Reference:
    """Every metric of a model on a test file. near: users whose list two orders of summation could change."""

    def __init__(self, model, test, metrics):
        self.model, self.test, self.near = Model(model), Ratings(test), 0
        self.errors, self.lists, self.listed = [], {m: [] for m in metrics}, {m: set() for m in metrics}
        self.counts = dict.fromkeys(COUNTS, 0)
        self.counts["n_test"] = self.test.nnz
        items = [self.model.row(1, t) for t in texts(self.test.item_ids)]
        for u, text in enumerate(texts(self.test.user_ids)):
            at = slice(self.test.indptr[u], self.test.indptr[u + 1])
            self.add_user(self.model.row(0, text), [items[i] for i in self.test.items[at]], self.test.values[at])

    def add_user(self, row, items, values):
        known = {i: float(v) for i, v in zip(items, values) if row >= 0 and i >= 0}
        self.counts["n_cold_users"] += row < 0 and len(items) > 0
        self.counts["n_cold_ratings"] += len(items) - len(known)
        self.counts["n_ratings"] += len(known)
        self.counts["n_users"] += len(known) > 0
        if known:
            self.rank(self.model.scores[row], known, self.model.trained[1] & ~self.model.seen[row])

    def rank(self, scores, known, candidate):
        self.errors += [scores[i] - value for i, value in known.items()]
        ranked = sorted(np.flatnonzero(candidate), key=lambda i: (-scores[i], i))
        gaps = -np.diff(scores[ranked])
        self.near += bool(((gaps > 0) & (gaps < 1e-6 * np.abs(scores).max())).any())
        hits = np.array([i in known for i in ranked], bool)
        for name in self.lists:
            kind, _, k = name.partition("@")
            if kind == "coverage":
                self.listed[name].update(ranked[:int(k)])
            elif kind in LIST_METRICS:
                self.lists[name].append(LIST_METRICS[kind](hits[:int(k)], int(k), len(known)))
            elif kind == "auc" and hits.any() and not hits.all():
                self.lists[name].append(auc(scores[ranked][hits], scores[ranked][~hits]))

    def value(self, name):
        if name == "rmse":
            return np.sqrt(np.mean(np.square(self.errors)))
        if name == "mae":
            return np.mean(np.abs(self.errors))
        if name.startswith("coverage"):
            return len(self.listed[name]) / self.model.trained[1].sum()
        return np.mean(self.lists[name]) if self.lists[name] else None

    def slack(self, name):
        """By how much a metric may differ: f4 scores, and lists that rounding can turn around."""
        return 1e-6 + (self.near / self.counts["n_users"] if name not in ("rmse", "mae") else 0)


class EvaluateCase(harness.Case):
    def evaluate(self, n_ranks, model, test, metrics=METRICS, options=(), **how):
        return run_good(n_ranks, "evaluate", model, test, "--metrics", metrics, "--json", "--quiet", *options, **how).json()

    def check_found(self, found, wanted, metrics, **slack):
        self.assertEqual(sorted(found), sorted(COUNTS + metrics.split(",")))
        for name in COUNTS:
            self.assertEqual(found[name], wanted.counts[name], name)
        for name in metrics.split(","):
            value = wanted.value(name)
            if value is None:
                self.assertIsNone(found[name], name)
            else:
                self.assertAlmostEqual(found[name], value, delta=slack.get("slack", wanted.slack(name)) * max(1, abs(value)),
                                       msg=name)

    def check(self, model, test, ranks=(1,), metrics=METRICS, **slack):
        wanted = Reference(model, test, metrics.split(","))
        for n_ranks in ranks:
            with self.subTest(ranks=n_ranks):
                self.check_found(self.evaluate(n_ranks, model, test, metrics), wanted, metrics, **slack)
        return wanted

    def train(self, data, *options, n_ranks=2):
        model = self.out / "model.h5"
        run_good(n_ranks, "train", data, "-o", model, "--quiet", *options)
        return model


def write_model(path, x, y, seen, algorithm="ials", trained=None, bias=None, mean=0.0, with_seen=True, **attributes):
    """A model file as design.md describes it. seen: bool [m][n]; bias: one array a side; trained: bool [n]."""
    m, n = seen.shape
    counts = seen.sum(1), seen.sum(0) if trained is None else trained.astype("i8")
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "gridmf-model", "format_version": "1.0", "complete": 1, "algorithm": algorithm,
                        "factors": x.shape[1], "global_mean": mean, **attributes})
        for side, rows, count, length in (("users", x, counts[0], m), ("items", y, counts[1], n)):
            f[side + "/id"] = np.arange(1, length + 1, dtype="i8")
            f[side + "/factors"] = rows.astype("f4")
            f[side + "/count"] = count.astype("i8")
            if bias is not None:
                f[side + "/bias"] = bias[side == "items"].astype("f4")
        if with_seen:
            f["seen/indptr"] = np.concatenate([[0], np.cumsum(seen.sum(1))]).astype("i8")
            f["seen/indices"] = np.nonzero(seen)[1].astype("i4")
    return path


class TestDefinitions(EvaluateCase):
    """Scores that are small integers: many ties, and exact in every order of summation."""

    def pair(self, m, n, density, held_out, seed, n_factors=3, **more):
        rng = np.random.default_rng(seed)
        x, y = rng.integers(-1, 3, (m, n_factors)), rng.integers(-1, 3, (n, n_factors))
        seen = rng.random((m, n)) < density
        seen[:, rng.random(n) < 0.1] = False  # items without training ratings
        seen[rng.random(m) < 0.1] = False     # users without
        users, items = np.nonzero((rng.random((m, n)) < held_out) & ~seen)
        test = write_dataset(self.out / "test.h5", m, n, users, items, rng.integers(1, 6, len(users)))
        return write_model(self.out / "model.h5", x, y, seen, **more), test

    def check_exactly(self, model, test, ranks=(1, 2, 3, 4)):
        wanted = self.check(model, test, ranks, slack=1e-9)
        self.assertEqual(wanted.near, 0)
        return wanted

    def test_many_ties(self):
        for seed in range(3):
            wanted = self.check_exactly(*self.pair(60, 150, 0.1, 0.08, seed), ranks=(1 + seed, 4))
            self.assertGreater(wanted.counts["n_cold_users"], 0)
            self.assertGreater(wanted.value("recall@10"), 0.02)

    def test_fewer_candidates_than_k(self):
        """Users who had nearly all; some of whom have nothing left but T, and no pair."""
        wanted = self.check_exactly(*self.pair(40, 12, 0.75, 0.5, 7))
        self.assertLess(len(wanted.lists["auc"]), wanted.counts["n_users"])

    def test_nothing_but_ties(self):
        model, test = self.pair(30, 40, 0.2, 0.2, 8)
        with h5py.File(model, "r+") as f:
            f["users/factors"][...] = 1
            f["items/factors"][...] = 1
        wanted = self.check_exactly(model, test, (1, 3))
        self.assertEqual(wanted.value("auc"), 0.5)

    def test_held_out_items_that_the_user_had(self):
        """They are in T, but no candidates."""
        model, _ = self.pair(30, 40, 0.4, 0.2, 9)
        rng = np.random.default_rng(9)
        test = random_dataset(self.out / "overlap.h5", 30, 40, 300, seed=4, values=lambda r, n: rng.integers(1, 6, n))
        self.check_exactly(model, test, (1, 4))

    def test_biases_and_mean(self):
        rng = np.random.default_rng(10)
        bias = rng.integers(-2, 3, 50), rng.integers(-2, 3, 70)
        model, test = self.pair(50, 70, 0.2, 0.1, 10, algorithm="als", bias=bias, mean=2.5, n_factors=15)
        self.check_exactly(model, test)

    def test_without_seen(self):
        model, test = self.pair(30, 40, 0.2, 0.2, 11, with_seen=False)
        self.check_exactly(model, test, (2,))

    def test_threads(self):
        model, test = self.pair(300, 150, 0.1, 0.08, 12)
        wanted = Reference(model, test, METRICS.split(","))
        for n_ranks in (1, 3):
            found = self.evaluate(n_ranks, model, test, env={"OMP_NUM_THREADS": "2"})
            self.check_found(found, wanted, METRICS, slack=1e-9)

    def test_one_metric_at_a_time(self):
        """What a metric needs is computed also when no other asks for it."""
        model, test = self.pair(40, 60, 0.15, 0.1, 13)
        for metrics in ("rmse", "auc", "coverage@5", "map@7", "recall-min@1"):
            self.check(model, test, (1, 3), metrics=metrics, slack=1e-9)

    def test_more_ranks_than_users(self):
        model, test = self.pair(60, 90, 0.2, 0.1, 14)
        few = Ratings(test)
        keep = few.users < 4
        path = write_dataset(self.out / "few.h5", 60, 90, few.users[keep], few.items[keep], few.values[keep])
        self.check_exactly(model, path, (1, 7))

    def test_lists_longer_than_a_batch_has_room_for(self):
        """A million entries are a list of all items; only few users then fit into a batch."""
        rng = np.random.default_rng(15)
        n = 100_000
        seen = np.zeros((200, n), bool)
        seen[:, ::1000] = True
        model = write_model(self.out / "model.h5", rng.integers(0, 9, (200, 1)), rng.integers(0, 9, (n, 1)), seen,
                            trained=np.ones(n, bool))
        users, items = np.repeat(np.arange(200), 2), rng.integers(0, n // 1000, 400) * 1000 + np.tile([1, 2], 200)
        test = write_dataset(self.out / "test.h5", 200, n, users, items, np.ones(400))
        self.check(model, test, (1, 2), metrics="map@1000000,recall@60000,coverage@50000", slack=1e-9)


class TestFiles(EvaluateCase):
    """Models as train writes them, test files of any origin."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        whole = cls.folder / "whole.h5"
        run_good(2, "synth", "-o", whole, "--users", 130, "--items", 80, "--ratings", 2000, "--quiet")
        cls.data, cls.test, cls.model = cls.folder / "train.h5", cls.folder / "test.h5", cls.folder / "model.h5"
        run_good(2, "split", whole, "--train", cls.data, "--test", cls.test, "--method", "random", "--fraction", 0.3,
                 "--quiet")
        run_good(2, "train", cls.data, "-o", cls.model, "--algorithm", "als", "--factors", 6, "--iterations", 5, "--quiet")

    def test_every_metric(self):
        wanted = self.check(self.model, self.test, ranks=(1, 2, 4, 7))
        self.assertGreater(wanted.value("recall@10"), 0.1)

    def test_ranks_and_threads_agree(self):
        wanted = self.evaluate(1, self.model, self.test)
        for n_ranks, threads in ((2, 1), (4, 1), (1, 2)):
            found = self.evaluate(n_ranks, self.model, self.test, env={"OMP_NUM_THREADS": str(threads)})
            for name, value in wanted.items():
                self.assertAlmostEqual(found[name], value, delta=1e-12)

    def test_ials(self):
        model = self.train(self.data, "--algorithm", "ials", "--factors", 6, "--iterations", 3, "--alpha", 1)
        self.check(model, self.test, ranks=(1, 3))

    def test_metrics_where_none_are_asked_for(self):
        found = run_good(1, "evaluate", self.model, self.test, "--json", "--quiet").json()
        self.assertEqual(sorted(set(found) - set(COUNTS)), ["hit@10", "mae", "ndcg@10", "precision@10", "recall@20", "rmse"])

    def test_other_ids_order_and_type(self):
        """A test file of another origin: text ids in no order, among them some that the model lacks."""
        t = Ratings(self.test)
        rng = np.random.default_rng(8)
        new_user, new_item = rng.permutation(t.n_users + 4), rng.permutation(t.n_items + 3)
        user_ids, item_ids = np.empty(t.n_users + 4, "U12"), np.empty(t.n_items + 3, "U12")
        user_ids[new_user] = [str(i) for i in t.user_ids] + ["nobody", "1.0", "-3", "100000"]
        item_ids[new_item] = [str(i) for i in t.item_ids] + ["nothing", "01", "99999"]
        users = np.concatenate([new_user[t.users], new_user[-4:], new_user[:3]])
        items = np.concatenate([new_item[t.items], new_item[:4], new_item[-3:]])
        values = np.concatenate([t.values, np.full(7, 3)])
        keys, first = np.unique(users * len(item_ids) + items, return_index=True)
        for kind, (uids, iids) in {"text": (user_ids, item_ids), "text users": (user_ids, None)}.items():
            if iids is None:
                iids = np.array([int(i) if i.isdigit() and i != "01" else 7000 + n for n, i in enumerate(item_ids)])
            path = write_dataset(self.out / "other.h5", len(uids), len(iids), users[first], items[first], values[first],
                                 user_ids=uids, item_ids=iids)
            with self.subTest(kind=kind):
                wanted = self.check(self.model, path, ranks=(1, 4))
                self.assertGreaterEqual(wanted.counts["n_cold_users"], 4)

    def test_model_with_text_ids(self):
        """Integers of the test file are matched as text: 7 is not 07."""
        ids = np.array(sorted(str(i) for i in range(1, 121)))
        ids[ids == "7"] = "07"
        data = random_dataset(self.out / "text.h5", 120, 40, 900, user_ids=np.sort(ids))
        test = random_dataset(self.out / "test.h5", 130, 40, 500, seed=2)
        model = self.train(data, "--algorithm", "als", "--factors", 3, "--iterations", 2)
        wanted = self.check(model, test, ranks=(1, 3))
        self.assertGreaterEqual(wanted.counts["n_cold_users"], 8)

    def test_text_ids_as_numpy_writes_them(self):
        """h5py stores numpy's S arrays as ASCII text, gridmf writes UTF-8: both are text."""
        path = random_dataset(self.out / "ascii.h5", 30, 20, 200, user_ids=np.array([b"u%02d" % i for i in range(30)]))
        self.train(path, "--algorithm", "als", "--iterations", 1)

    def test_rows_that_training_left_empty(self):
        r = Ratings(self.data)
        keep = (r.users % 5 > 0) & (r.items % 4 > 0)
        data = write_dataset(self.out / "thin.h5", r.n_users, r.n_items, r.users[keep], r.items[keep], r.values[keep])
        model = self.train(data, "--algorithm", "als", "--factors", 4, "--iterations", 2)
        wanted = self.check(model, self.test, ranks=(1, 3))
        self.assertGreater(wanted.counts["n_cold_users"], 10)

    def test_nothing_in_common(self):
        path = random_dataset(self.out / "strangers.h5", 5, 6, 9, user_ids=["a", "b", "c", "d", "e"])
        result = run(2, "evaluate", self.model, path, "--json", "--quiet")
        self.assertEqual((result.rc, result.stdout), (65, ""), str(result))
        self.assertIn("same dataset", result.messages()[0])

    def test_ranks_with_different_models(self):
        """As on nodes with copies of their own: an error, and no rank waits for another."""
        other = self.train(self.data, "--algorithm", "als", "--factors", 5, "--iterations", 1)
        command = [harness.GRIDMF, "evaluate"]
        result = harness.execute([*harness.MPIRUN, "-n", 1, *command, self.model, self.test, ":", "-n", 1, *command, other,
                                  self.test])
        self.assertEqual((result.rc, len(result.messages())), (65, 1), str(result))
        self.assertIn("all nodes share", result.messages()[0])

    def test_more_users_and_items_than_a_batch(self):
        """Over 1024 known users on a rank and over 4096 items: batches and panels have edges."""
        data = self.out / "large.h5"
        run_good(2, "synth", "-o", data, "--users", 2100, "--items", 5000, "--ratings", 30000, "--quiet")
        run_good(2, "split", data, "--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "random",
                 "--count", 2, "--quiet")
        model = self.train(self.out / "a.h5", "--algorithm", "ials", "--factors", 4, "--iterations", 2)
        self.check(model, self.out / "b.h5", ranks=(1, 2), metrics="rmse,recall@20,ndcg@10,auc,coverage@20")

    def test_table_and_formulas(self):
        said = run_good(1, "evaluate", self.model, self.test, "--explain").stdout
        for word in ("rmse", "mae", "recall@20", "ndcg@10", "log2", "sqrt"):
            self.assertIn(word, said)
        said = run_good(1, "evaluate", "--explain").stdout
        for name in ("rmse", "mae", "auc", "coverage@K", *(f"{name}@K" for name in LIST_METRICS)):
            self.assertIn("\n" + name + ": ", "\n" + said)


class TestPopularity(EvaluateCase):
    """The yardstick: a model of counts."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = random_dataset(cls.folder / "data.h5", 70, 40, 400, seed=3)
        r = Ratings(cls.data)
        keep = (r.users % 9 > 0) & (r.items % 7 > 0)  # rows without training ratings
        write_dataset(cls.data, 70, 40, r.users[keep], r.items[keep], r.values[keep])
        cls.test = random_dataset(cls.folder / "test.h5", 70, 40, 300, seed=4)

    def popularity(self, n_ranks=1, *options):
        return self.train(self.data, "--algorithm", "popularity", *options, n_ranks=n_ranks)

    def test_model(self):
        r = Ratings(self.data)
        for n_ranks, grid in ((1, "auto"), (3, "auto"), (4, "2x2"), (7, "1x7")):
            with self.subTest(ranks=n_ranks, grid=grid):
                x, y = harness.read_factors(self.popularity(n_ranks, "--grid", grid))
                np.testing.assert_array_equal(x[:, 0], r.degrees > 0)
                np.testing.assert_array_equal(y[:, 0], np.bincount(r.items, minlength=40))
                self.assertEqual((x.shape, y.shape), ((70, 1), (40, 1)))
                with h5py.File(self.out / "model.h5") as f:
                    self.assertEqual((f.attrs["algorithm"], f.attrs["factors"], f.attrs["global_mean"]), ("popularity", 1, 0))
                    self.assertNotIn("lambda", f.attrs)
                    np.testing.assert_array_equal(f["seen/indices"][()], r.items)
                    np.testing.assert_array_equal(f["items/count"][()], y[:, 0])
                    self.assertEqual(len(f["history/iteration"]), 0)
                run_good(1, "verify", self.out / "model.h5")

    def test_metrics(self):
        wanted = self.check(self.popularity(2), self.test, ranks=(1, 2, 3), slack=1e-9)
        self.assertEqual(wanted.near, 0)
        self.assertGreater(wanted.counts["n_cold_users"], 0)

    def test_metrics_where_none_are_asked_for(self):
        found = run_good(1, "evaluate", self.popularity(), self.test, "--json", "--quiet").json()
        self.assertEqual(sorted(set(found) - set(COUNTS)), ["hit@10", "ndcg@10", "precision@10", "recall@20"])

    @unittest.skipUnless(shutil.which(harness.GRIDMF_QUERY), "gridmf-query is not built")
    def test_query(self):
        model = self.popularity(2)
        m = Model(model)
        answer = harness.execute([harness.GRIDMF_QUERY, model, "recommend", "--user", 2, "--top", 5, "--format", "json"])
        items = [int(i["item"]) - 1 for i in json.loads(answer.stdout)["items"]]
        candidates = np.flatnonzero(m.trained[1] & ~m.seen[1])
        self.assertEqual(items, sorted(candidates, key=lambda i: (-m.scores[1, i], i))[:5])


if __name__ == "__main__":
    unittest.main()
