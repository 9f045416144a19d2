"""train --algorithm item-knn and ease against dense NumPy, and everything that their models answer."""

import json
import unittest

import h5py
import numpy as np
import scipy.sparse

import harness
from harness import GRIDMF_QUERY, Ratings, execute, run, run_good
from test_real_data import DATA, REAL  # where the real ratings are

RANKS = (1, 2, 3, 4, 6)
NUMERIC, USAGE, BAD_DATA, PLAN = 3, 64, 65, 69


def make_data(path, m, n, share, seed, popular=True, **how):
    """Half stars; the popular items come first in work and not in order; item 5 and user 7 have no ratings."""
    rng = np.random.default_rng(seed)
    weight = rng.permutation(np.arange(1, n + 1.0) ** -0.7) if popular else np.ones(n)
    a = np.where(rng.random((m, n)) < np.minimum(1, share * weight / weight.mean()), rng.integers(1, 11, (m, n)) / 2, 0)
    if n > 5:
        a[:, 5] = 0
    if m > 7:
        a[7] = 0
    u, i = np.nonzero(a)
    harness.write_dataset(path, m, n, u, i, a[u, i], **how)
    return a


def weights_of(path):
    """W of a model file, dense, as f8; and the element type."""
    with h5py.File(path) as f:
        if "items/weights" in f:
            return f["items/weights"][()].astype("f8"), f["items/weights"].dtype
        g = f["items/similarity"]
        assert g.attrs["encoding-type"] == "csr_matrix" and g.attrs["encoding-version"] == "0.1.0"
        w = scipy.sparse.csr_matrix((g["data"][()].astype("f8"), g["indices"][()], g["indptr"][()]), shape=tuple(g.attrs["shape"]))
        assert w.has_sorted_indices and w.has_canonical_format
        return w.toarray(), g["data"].dtype


# ---- what NumPy makes of it ------------------------------------------------------------------------------------------


def similarities(a, kind, values="ratings", shrinkage=0, k1=1.2, b=0.75):
    """All of them, n x n, by the formulas of the papers; those of benfred/implicit for tfidf and bm25."""
    rated = a != 0
    x = rated.astype(float) if values == "binary" else a.astype(float)
    common = rated.T.astype(float) @ rated
    n_items, degrees, counts = a.shape[1], rated.sum(1), rated.sum(0)
    idf = np.log(n_items) - np.log1p(degrees)[:, None]
    if kind == "jaccard":
        s = common / np.maximum(counts[:, None] + counts[None] - common, 1)
    else:
        if kind == "adjusted-cosine":
            x = np.where(rated, x - (x.sum(1) / np.maximum(degrees, 1))[:, None], 0)
        if kind == "tfidf":
            x = np.sqrt(x) * idf
        if kind == "bm25":
            length = 1 - b + b * x.sum(0) / x.sum(0).mean()
            x = np.where(rated, x * (k1 + 1) / (k1 * length[None] + x), 0) * idf
        if kind != "bm25":
            norms = np.linalg.norm(x, axis=0)
            x = x / np.where(norms > 0, norms, 1)
        s = x.T @ x
    if shrinkage:
        s = s * common / (common + shrinkage)
    np.fill_diagonal(s, 0)
    return s


def ease(a, lam, values="binary"):
    x = (a != 0).astype(float) if values == "binary" else a
    p = np.linalg.inv(x.T @ x + lam * np.eye(a.shape[1]))
    b = -p / np.diag(p)
    np.fill_diagonal(b, 0)
    return b


def largest_of_columns(b, n):
    kept = np.zeros_like(b)
    for i in range(b.shape[1]):
        best = np.argsort(-np.abs(b[:, i]), kind="stable")[:n]
        kept[best, i] = b[best, i]
    return kept


class ItemCase(harness.Case):
    M, N = 83, 61

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.data = cls.folder / "data.h5"
        cls.a = make_data(cls.data, cls.M, cls.N, 0.2, 1)

    def train(self, *words, ranks=1, data=None, name="model.h5", **how):
        path = self.out / name
        self.run_ = run_good(ranks, "train", data or self.data, "-o", path, *words, **how)
        return path

    def query(self, model, *words, rc=0):
        done = execute([GRIDMF_QUERY, model, *words, "--format", "json"])
        self.assertEqual(done.rc, rc, str(done))
        return [json.loads(line) for line in done.stdout.splitlines()]


# ---- nearest neighbours ----------------------------------------------------------------------------------------------


class Neighbours(ItemCase):
    def check(self, w, s, k, limit=1e-8):
        """Rows of W are the k largest of S above zero; where rounding decides between equals, either will do."""
        for i, (mine, all_) in enumerate(zip(w, s)):
            kept = np.flatnonzero(mine)
            positive = (all_ > limit).sum()
            self.assertLessEqual(abs(mine[kept] - all_[kept]).max(initial=0), limit, f"item {i}")
            self.assertEqual(len(kept), min(k, positive), f"item {i}")
            left = np.delete(all_, [*kept, i])
            if len(kept) and len(left):
                self.assertGreaterEqual(mine[kept].min(), left.max() - limit, f"item {i}")

    def test_against_numpy(self):
        for words in (dict(kind="cosine"), dict(kind="cosine", values="binary", shrinkage=10), dict(kind="adjusted-cosine"),
                      dict(kind="jaccard", values="binary"), dict(kind="tfidf"), dict(kind="bm25"),
                      dict(kind="bm25", k1=3, b=0.2, shrinkage=5)):
            options = ["--similarity", words["kind"], "--values", words.get("values", "ratings"), "--shrinkage", words.get("shrinkage", 0)]
            if "k1" in words:
                options += ["--bm25-k1", words["k1"], "--bm25-b", words["b"]]
            s = similarities(self.a, **words)
            for ranks, k in ((1, 5), (4, 9)):
                with self.subTest(words=words, ranks=ranks, k=k):
                    path = self.train("--algorithm", "item-knn", "--neighbours", k, "--store", "f8", *options, ranks=ranks)
                    w, dtype = weights_of(path)
                    self.assertEqual(dtype, np.dtype("f8"))
                    self.check(w, s, k)

    def test_any_number_of_ranks_and_threads(self):
        """The same bits; each pair of items is looked at once."""
        rated = (self.a != 0).astype(float)
        common = rated.T @ rated
        pairs, products = np.triu(common > 0, 1).sum(), np.triu(common, 1).sum()
        first = None
        for ranks, threads in [(r, 1) for r in (*RANKS, 7)] + [(1, 3), (2, 2)]:
            with self.subTest(ranks=ranks, threads=threads):
                log = self.out / f"{ranks}-{threads}.json"
                path = self.train("--algorithm", "item-knn", "--neighbours", 7, "--store", "f8", "--log-json", log,
                                  "--threads", threads, ranks=ranks)
                w, _ = weights_of(path)
                first = w if first is None else first
                self.assertTrue((w == first).all())
                event = [e for e in map(json.loads, log.read_text().splitlines()) if e["event"] == "item-knn"][0]
                self.assertEqual((event["pairs"], event["products"]), (pairs, products))
        self.check(first, similarities(self.a, "cosine"), 7)

    def test_ties_go_to_the_lower_row(self):
        """All items are alike."""
        data = harness.write_dataset(self.out / "ties.h5", 4, 9, np.repeat(np.arange(4), 9), np.tile(np.arange(9), 4), np.ones(36))
        for ranks in (1, 3, 4):
            w, _ = weights_of(self.train("--algorithm", "item-knn", "--neighbours", 3, ranks=ranks, data=data))
            for i, row in enumerate(w):
                self.assertEqual(np.flatnonzero(row).tolist(), [j for j in range(9) if j != i][:3])

    def test_stored_in_single_precision_unless_asked(self):
        w, dtype = weights_of(self.train("--algorithm", "item-knn"))
        self.assertEqual(dtype, np.dtype("f4"))
        self.check(w, similarities(self.a, "cosine"), 20, 1e-7)

    def test_ratings_below_zero(self):
        data = harness.write_dataset(self.out / "negative.h5", 3, 2, [0, 0, 1], [0, 1, 1], [1, -1, 2])
        for kind in ("tfidf", "bm25"):
            done = run(2, "train", data, "-o", self.out / "m.h5", "--algorithm", "item-knn", "--similarity", kind)
            self.assertEqual(done.rc, BAD_DATA, str(done))
            self.assertRegex(done.messages()[0], f"--similarity {kind}.*--values binary")
        self.train("--algorithm", "item-knn", data=data)


# ---- EASE ------------------------------------------------------------------------------------------------------------


class Ease(ItemCase):
    def test_against_numpy(self):
        for ranks in RANKS:
            for lam, values in ((20, "binary"),) if ranks != 4 else ((20, "binary"), (500, "ratings")):
                with self.subTest(ranks=ranks, lam=lam, values=values):
                    b, dtype = weights_of(self.train("--algorithm", "ease", "--lambda", lam, "--values", values, "--store",
                                                     "f8", ranks=ranks))
                    self.assertEqual(dtype, np.dtype("f8"))
                    self.assertLess(abs(b - ease(self.a, lam, values)).max(), 1e-12)

    def test_several_panels(self):
        """More items than the 512 columns that are worked on at a time, and blocks of 64."""
        data = self.out / "large.h5"
        a = make_data(data, 900, 1100, 0.02, 3, popular=False)
        expected = ease(a, 3)
        for ranks, precision, limit in ((1, "f8", 1e-12), (6, "f8", 1e-12), (3, "f4", 2e-5)):
            with self.subTest(ranks=ranks, precision=precision):
                b, _ = weights_of(self.train("--algorithm", "ease", "--lambda", 3, "--store", "f8", "--precision", precision,
                                             ranks=ranks, data=data))
                self.assertLess(abs(b - expected).max(), limit)

    def test_keep_per_item(self):
        full = ease(self.a, 20)
        for ranks in (1, 3):
            w, dtype = weights_of(self.train("--algorithm", "ease", "--lambda", 20, "--keep-per-item", 6, ranks=ranks))
            self.assertEqual(dtype, np.dtype("f4"))
            self.assertLess(abs(w - largest_of_columns(full, 6)).max(), 1e-7)
        w, _ = weights_of(self.train("--algorithm", "ease", "--lambda", 20, "--keep-per-item", 1000))
        self.assertLess(abs(w - full).max(), 1e-7)

    def test_singular(self):
        """Without regularisation: an item has no ratings, two are the same, or f4 cannot tell."""
        same = harness.write_dataset(self.out / "same.h5", 5, 3, [0, 0, 1, 1, 2, 3, 3], [0, 2, 0, 2, 1, 0, 2], np.ones(7))
        for data, item, ranks in ((self.data, 6, 1), (self.data, 6, 4), (same, 3, 1), (same, 3, 2)):
            with self.subTest(data=data.name, ranks=ranks):
                done = run(ranks, "train", data, "-o", self.out / "m.h5", "--algorithm", "ease", "--lambda", 0)
                self.assertEqual(done.rc, NUMERIC, str(done))
                self.assertEqual(len(done.messages()), 1)
                self.assertRegex(done.messages()[0], rf"singular.*item {item}\b.*larger --lambda")
                self.assertFalse((self.out / "m.h5").exists())

    def test_memory_is_planned(self):
        done = run(2, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "ease", "--memory-limit", "1M")
        self.assertEqual(done.rc, PLAN, str(done))
        self.assertRegex("\n".join(done.said()), r"--precision f4(?s:.*)dense matrix +0\.0 MB")
        done = run(2, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "item-knn", "--memory-limit", "1M")
        self.assertEqual(done.rc, PLAN, str(done))
        self.assertRegex("\n".join(done.said()), r"fewer --neighbours(?s:.*)lists of neighbours")


# ---- both ------------------------------------------------------------------------------------------------------------


class Shapes(ItemCase):
    def test_few_items(self):
        """One item, and fewer items than ranks."""
        for n, ranks in ((1, 1), (1, 3), (3, 6), (4, 7)):
            data = self.out / f"{n}.h5"
            rng = np.random.default_rng(n)
            a = np.where(rng.random((9, n)) < 0.7, 1.0, 0)
            a[0] = 1
            u, i = np.nonzero(a)
            harness.write_dataset(data, 9, n, u, i, a[u, i])
            with self.subTest(items=n, ranks=ranks):
                w, _ = weights_of(self.train("--algorithm", "ease", "--lambda", 2, "--store", "f8", data=data, ranks=ranks))
                self.assertLess(abs(w - ease(a, 2)).max(), 1e-12)
                w, _ = weights_of(self.train("--algorithm", "item-knn", "--store", "f8", data=data, ranks=ranks))
                self.assertLess(abs(w - similarities(a, "cosine")).max(), 1e-12)

    def test_what_they_have_not(self):
        for words, message in ((["--checkpoint", self.out], "has no --checkpoint"), (["--no-seen"], "has no --no-seen"),
                               (["--test", self.data], "has no --test"), (["--grid", "1x1"], "has no --grid")):
            for algorithm in ("ease", "item-knn"):
                done = run(1, "train", self.data, "-o", self.out / "m.h5", "--algorithm", algorithm, *words)
                self.assertEqual(done.rc, USAGE, str(done))
                self.assertIn(f"--algorithm {algorithm} {message}", done.messages()[0])
        done = run(1, "train", self.data, "-o", self.out / "m.h5", "--algorithm", "item-knn", "--similarity", "adjusted-cosine",
                   "--values", "binary")
        self.assertEqual(done.rc, USAGE, str(done))


class Answers(ItemCase):
    """Scores are the ratings times the weights, whoever is asked."""

    MODELS = {"dense": ["--algorithm", "ease", "--lambda", 20],
              "kept": ["--algorithm", "ease", "--lambda", 20, "--keep-per-item", 8, "--values", "ratings"],
              "knn": ["--algorithm", "item-knn", "--neighbours", 7]}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.models = {}
        for name, words in cls.MODELS.items():
            path = cls.folder / f"{name}.h5"
            run_good(2, "train", cls.data, "-o", path, *words, "--quiet")
            x = cls.a if name != "dense" else (cls.a != 0).astype(float)
            w, _ = weights_of(path)
            cls.models[name] = (path, w, x @ w, x)
        cls.cold_item, cls.cold_user = 5, 7

    def best(self, scores, without, n):
        scores = np.where(without, -np.inf, scores).astype("f4")
        return [int(i) for i in np.lexsort((np.arange(len(scores)), -scores))[:n]]

    def check_list(self, answer, scores, without, n=6):
        """By scores: rounding may decide between neighbours that are equal to 1e-5."""
        expected = np.sort(np.where(without, -np.inf, scores))[::-1][:n]
        items = [int(e["item"]) - 1 for e in answer["items"]]
        self.assertEqual(len(set(items)), n)
        self.assertFalse(without[items].any())
        np.testing.assert_allclose([e["score"] for e in answer["items"]], scores[items], rtol=2e-5, atol=1e-6)
        np.testing.assert_allclose(scores[items], expected, rtol=2e-5, atol=1e-6)

    def test_lists_and_scores(self):
        cold = np.arange(self.N) == self.cold_item
        for name, (path, _, scores, _) in self.models.items():
            with self.subTest(model=name):
                answers = self.query(path, "recommend", "--all", "--top", "6")
                self.assertEqual(len(answers), self.M)
                for u, answer in enumerate(answers):
                    if u == self.cold_user:
                        self.assertEqual(answer["items"], [])
                        continue
                    self.check_list(answer, scores[u], (self.a[u] != 0) | cold)
                one = self.query(path, "recommend", "--user", "3", "--top", "6", "--include-seen")[0]
                self.check_list(one, scores[2], cold)
                pairs = self.query(path, "score", "--user", "3", *[w for i in (1, 2, 40) for w in ("--item", str(i))])
                np.testing.assert_allclose([p["score"] for p in pairs], scores[2, [0, 1, 39]], rtol=2e-5, atol=1e-6)
                listed = {e["item"]: e["score"] for e in one["items"]}
                again = self.query(path, "score", "--user", "3", *[w for i in listed for w in ("--item", i)])
                self.assertEqual({p["item"]: p["score"] for p in again}, listed)
                self.assertEqual(self.query(path, "score", "--user", "3", "--item", str(self.cold_item + 1))[0]["status"], "cold")

    def test_allow_and_deny(self):
        path, _, scores, _ = self.models["knn"]
        allow, deny = self.out / "allow", self.out / "deny"
        allow.write_text("".join(f"{i}\n" for i in range(1, 31)))
        deny.write_text("4\n9\n")
        answer = self.query(path, "recommend", "--user", "3", "--top", "5", "--allow", allow, "--deny", deny)[0]
        allowed = np.arange(self.N) < 30
        allowed[[3, 8, self.cold_item]] = False
        self.check_list(answer, scores[2], ~allowed | (self.a[2] != 0), 5)

    def test_recommend_on_ranks(self):
        """gridmf recommend has the lists of gridmf-query."""
        for name, (path, *_) in self.models.items():
            recs = self.out / f"{name}.h5"
            run_good(3, "recommend", path, "-o", recs, "--top", 4, "--quiet")
            answers = self.query(path, "recommend", "--all", "--top", "4")
            with h5py.File(recs) as f:
                items, scores = f["top/item"][()], f["top/score"][()]
            for u, answer in enumerate(answers):
                self.assertEqual([int(e["item"]) - 1 for e in answer["items"]], items[u][items[u] >= 0].tolist())

    def test_similar_items(self):
        for name, (path, w, *_) in self.models.items():
            row = w[11].copy()
            without = np.arange(self.N) == 11
            without |= (np.arange(self.N) == self.cold_item) | ((row == 0) & (name != "dense"))
            n = min(4, (~without).sum())
            self.check_list(self.query(path, "similar-items", "--item", "12", "--top", "4")[0], row, without, n)
        done = execute([GRIDMF_QUERY, path, "similar-users", "--user", "1"])
        self.assertEqual(done.rc, USAGE, str(done))

    def test_explanations_sum_to_the_score(self):
        for name, (path, w, scores, x) in self.models.items():
            answer = self.query(path, "explain", "--user", "3", "--item", "40", "--top", "1000")[0]
            self.assertAlmostEqual(answer["score"], scores[2, 39], delta=1e-5)
            adds = {e["item"]: e["contribution"] for e in answer["ratings"]} if "ratings" in answer else None
            self.assertIsNotNone(adds, f"{name}: {answer}")
            self.assertAlmostEqual(sum(adds.values()), scores[2, 39], delta=1e-5)
            for item, value in adds.items():
                j = int(item) - 1
                self.assertAlmostEqual(value, x[2, j] * w[j, 39], delta=1e-6)

    def test_fold_in_of_a_users_own_ratings(self):
        for name, (path, _, scores, _) in self.models.items():
            rated = np.flatnonzero(self.a[2])
            text = ",".join(f"{i + 1}:{self.a[2, i]:g}" for i in rated)
            mine = self.query(path, "fold-in", "--ratings", text, "--top", "6")[0]
            self.assertEqual(mine["items"], self.query(path, "recommend", "--user", "3", "--top", "6")[0]["items"], name)

    def test_evaluate(self):
        """Metrics of users of the model and of users who are folded in, against NumPy; on any number of ranks."""
        train, test, fold = (self.out / f"{name}.h5" for name in ("train", "test", "fold"))
        run_good(1, "split", self.data, "--train", train, "--test", test, "--fold-in", fold, "--method", "users",
                 "--fraction", 0.3, "--quiet")
        for words in (["--algorithm", "ease", "--lambda", 20], ["--algorithm", "item-knn", "--shrinkage", 3]):
            model = self.train(*words, data=train)
            w, _ = weights_of(model)
            known, held, had = Ratings(train), Ratings(test), Ratings(fold)
            trained = np.isin(np.arange(known.n_items), known.items)
            got = [run_good(ranks, "evaluate", model, test, "--fold-in", fold, "--metrics", "recall@10,ndcg@20,auc", "--json").json()
                   for ranks in (1, 3)]
            self.assertEqual(got[0], got[1])
            self.assertAlmostEqual(got[0]["recall@10"], self.recall(w, known.item_ids, held, had, trained, 10, "ease" in words), delta=1e-6)

    def recall(self, w, trained_ids, held, had, trained, k, binary):
        place = {i: n for n, i in enumerate(had.user_ids)}
        of_item = {i: n for n, i in enumerate(trained_ids)}
        values = []
        for u in range(held.n_users):
            relevant = {of_item.get(held.item_ids[i], -1) for i in held.items[held.indptr[u]:held.indptr[u + 1]]} - {-1}
            relevant = {i for i in relevant if trained[i]}
            if held.user_ids[u] not in place or not relevant:
                continue
            v = place[held.user_ids[u]]
            part = slice(had.indptr[v], had.indptr[v + 1])
            x = np.zeros(len(w))
            items = [of_item[had.item_ids[i]] for i in had.items[part]]
            x[items] = 1 if binary else had.values[part]
            if not trained[items].any():
                continue
            without = ~trained
            without[items] = True
            best = self.best(x @ w, without, k)
            values.append(len(relevant & set(best)) / min(k, len(relevant)))
        return np.mean(values)


@REAL
class OnRealRatings(harness.Case):
    def test_neighbours_are_those_of_scipy(self):
        """The sorted similarities of every movie of ml-latest-small."""
        data, model = self.out / "data.h5", self.out / "model.h5"
        run_good(2, "import", DATA / "ratings.csv", "-o", data, "--quiet")
        run_good(3, "train", data, "-o", model, "--algorithm", "item-knn", "--neighbours", 20, "--store", "f8", "--quiet")
        r = Ratings(data)
        x = scipy.sparse.csc_matrix((r.values.astype("f8"), (r.users, r.items)), shape=(r.n_users, r.n_items))
        x = x @ scipy.sparse.diags(1 / np.maximum(np.sqrt(np.asarray(x.multiply(x).sum(0)).ravel()), 1e-300))
        s = scipy.sparse.csr_matrix(x.T @ x)
        s.setdiag(0)
        with h5py.File(model) as f:
            indptr, values = f["items/similarity/indptr"][()], f["items/similarity/data"][()]
        for i in range(r.n_items):
            expected = np.sort(s.data[s.indptr[i]:s.indptr[i + 1]])[::-1]
            expected = expected[expected > 0][:20]
            np.testing.assert_allclose(np.sort(values[indptr[i]:indptr[i + 1]])[::-1], expected, rtol=1e-10)


if __name__ == "__main__":
    unittest.main()
