"""gridmf recommend: the lists of gridmf-query, on any number of ranks, of any users; what it refuses."""

import csv
import io
import unittest

import h5py
import numpy as np

import harness
from harness import GRIDMF_QUERY, run, run_good

USAGE, DATA, NO_INPUT, PLAN = 64, 65, 66, 69
ARRAYS = ("users/id", "items/id", "top/item", "top/score", "top/count")
N_USERS, N_ITEMS = 2600, 700
MODELS = {
    "als": ["--algorithm", "als", "--bias", "--factors", 7, "--iterations", 2],
    "ials": ["--algorithm", "ials", "--factors", 20, "--iterations", 1],
    "svd": ["--algorithm", "svd", "--factors", 5, "--center", "both"],
    "popularity": ["--algorithm", "popularity"],
    "item-knn": ["--algorithm", "item-knn"],
    "ease": ["--algorithm", "ease"],
}


def read(path):
    with h5py.File(path) as f:
        return {name: f[name][()] for name in ARRAYS}


def lists(path):
    """{user: [(item, score), ...]} of a file of recommendations, and that its padding is as it should be."""
    r, found = read(path), {}
    for u, user in enumerate(r["users/id"]):
        n = r["top/count"][u]
        assert (r["top/item"][u, n:] == -1).all() and np.isnan(r["top/score"][u, n:]).all(), user
        assert (r["top/item"][u, :n] >= 0).all(), user
        found[user] = [(r["items/id"][i], s) for i, s in zip(r["top/item"][u, :n], r["top/score"][u])]
    return found


class Recommend(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        rng = np.random.default_rng(3)
        # The last users and some items have no ratings.
        pairs = rng.choice((N_USERS - 30) * N_ITEMS, 20000, replace=False)
        users, items = pairs // N_ITEMS, pairs % N_ITEMS
        kept = items % 50 != 7
        cls.users, cls.items = users[kept], items[kept]
        cls.cold = np.flatnonzero(np.bincount(cls.users, minlength=N_USERS) == 0)
        cls.data = harness.write_dataset(cls.folder / "data.h5", N_USERS, N_ITEMS, cls.users, cls.items,
                                         rng.integers(1, 11, kept.sum()) / 2)
        cls.models = {}
        for name, options in MODELS.items():
            cls.models[name] = cls.folder / f"{name}.h5"
            run_good(2, "train", cls.data, "-o", cls.models[name], *options, "--quiet")
        cls.model = cls.models["als"]

    def recommend(self, n_ranks, model, *options):
        path = self.out / f"recs{n_ranks}.h5"
        run_good(n_ranks, "recommend", model, "-o", path, *options, "--quiet")
        return path

    def ask(self, model, *options):
        """What gridmf-query answers, in the form of lists()."""
        result = harness.execute([GRIDMF_QUERY, model, "recommend", *options, "--format", "csv"])
        self.assertEqual(result.rc, 0, str(result))
        found = {}
        for row in csv.DictReader(io.StringIO(result.stdout)):
            found.setdefault(int(row["user"]), []).append((int(row["item"]), np.float32(row["score"])))
        return found

    def refuse(self, status, says, *words, n_ranks=2):
        path = self.out / "refused.h5"
        result = run(n_ranks, "recommend", *words, "-o", path)
        self.assertEqual(result.rc, status, str(result))
        self.assertEqual(len(result.messages()), 1, str(result))
        self.assertRegex("\n".join(result.said()), says)
        self.assertEqual(list(self.out.iterdir()), [])

    def test_every_model_on_every_number_of_ranks(self):
        for name, model in self.models.items():
            with self.subTest(model=name):
                one = self.recommend(1, model, "--top", 12)
                asked = self.ask(model, "--all", "--top", 12)
                found = lists(one)
                self.assertEqual({u: e for u, e in found.items() if e}, asked)
                self.assertEqual(sorted(set(found) - set(asked)), (self.cold + 1).tolist())
                for n_ranks in (2, 3, 4):
                    other = read(self.recommend(n_ranks, model, "--top", 12))
                    for array, values in read(one).items():
                        self.assertEqual(values.tobytes(), other[array].tobytes(), f"{array} on {n_ranks} ranks")

    def test_against_numpy(self):
        """Scores from the factors, seen and cold items left out, ties to the lower row."""
        r = read(self.recommend(3, self.model, "--top", 25, "--threads", 2))
        with h5py.File(self.model) as f:
            scores = (f["users/factors"][()].astype("f8") @ f["items/factors"][()].T.astype("f8")
                      + f["users/bias"][()][:, None] + f["items/bias"][()] + f.attrs["global_mean"])
        scores[self.users, self.items] = -np.inf
        scores[:, np.bincount(self.items, minlength=N_ITEMS) == 0] = -np.inf
        for u in np.setdiff1d(np.arange(N_USERS), self.cold):
            best = np.argsort(-scores[u], kind="stable")[:25]
            np.testing.assert_allclose(r["top/score"][u], scores[u, best], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(scores[u, r["top/item"][u]], scores[u, best], rtol=1e-4, atol=1e-4)

    def test_ties(self):
        """All users have the same scores, many of them equal: ties go to the lower row."""
        r = read(self.recommend(2, self.models["popularity"], "--top", 40, "--include-seen"))
        count = np.bincount(self.items, minlength=N_ITEMS)
        best = np.argsort(-count, kind="stable")[:40]
        for u in np.setdiff1d(np.arange(N_USERS), self.cold):
            self.assertEqual(r["top/item"][u].tolist(), best.tolist())

    def test_seen_and_lists_of_items(self):
        allow, deny = self.out / "allow", self.out / "deny"
        allow.write_text("".join(f"{i}\n" for i in range(1, 60)) + "9999\n")
        deny.write_text("3\n\n44\n")
        for options in (["--include-seen"], ["--allow", allow], ["--deny", deny], ["--allow", allow, "--deny", deny]):
            with self.subTest(options=options):
                found = lists(self.recommend(2, self.model, "--top", 5, *options))
                asked = self.ask(self.model, "--all", "--top", 5, *options)
                self.assertEqual({u: e for u, e in found.items() if e}, asked)
        with h5py.File(self.out / "recs2.h5") as f:
            self.assertEqual(len(f.attrs["candidates"]), 32)

    def test_some_users(self):
        wanted = [7, 2599, 3, 4, 5, 1200, 7]
        users = self.out / "users"
        users.write_text("\ufeff" + "".join(f"{u}\r\n" for u in wanted[:3]) + "nobody\n" +
                         "".join(f"  {u} \n" for u in wanted[3:]))
        r = read(self.recommend(3, self.model, "--users", users, "--top", 4))
        whole = read(self.recommend(1, self.model, "--top", 4))
        self.assertEqual(r["users/id"].tolist(), wanted)
        for array in ("top/item", "top/score", "top/count"):
            np.testing.assert_array_equal(r[array], whole[array][np.array(wanted) - 1])
        told = run_good(2, "recommend", self.model, "-o", self.out / "told.h5", "--users", users)
        self.assertRegex(told.stderr, r"users: 1 of 8 users are not in the model and left out; the first one is 'nobody'")

    def test_ranges(self):
        """The pieces are the whole; a range of no users is a file all the same."""
        whole = read(self.recommend(1, self.model, "--top", 6))
        for text, begin, end in ((":1000", 0, 1000), ("1000:1001", 1000, 1001), ("1001:", 1001, N_USERS), ("5:5", 5, 5)):
            path = self.recommend(2, self.model, "--top", 6, "--users-range", text)
            piece = read(path)
            for array in set(ARRAYS) - {"items/id"}:
                np.testing.assert_array_equal(piece[array], whole[array][begin:end], f"{array} of {text}")
            with h5py.File(path) as f:
                self.assertEqual((f.attrs["users_begin"], f.attrs["users_total"], f.attrs["n_users"]),
                                 (begin, N_USERS, end - begin))

    def test_more_than_there_are(self):
        r = read(self.recommend(2, self.model, "--top", 2 * N_ITEMS, "--users-range", "0:50"))
        known = len(np.unique(self.items))
        self.assertEqual(r["top/item"].shape, (50, 2 * N_ITEMS))
        n_seen = np.bincount(self.users, minlength=N_USERS)[:50]
        np.testing.assert_array_equal(r["top/count"], np.where(n_seen > 0, known - n_seen, 0))
        lists(self.out / "recs2.h5")

    def test_text_ids(self):
        rng = np.random.default_rng(5)
        names = [f"naïve {i}" for i in range(40)]
        data = harness.random_dataset(self.folder / "text.h5", 60, 40, 600, item_ids=sorted(names),
                                      user_ids=np.array(sorted(f"user{i}" for i in rng.permutation(60))))
        run_good(1, "train", data, "-o", self.folder / "text-model.h5", *MODELS["als"], "--quiet")
        one = self.recommend(1, self.folder / "text-model.h5")
        three = self.recommend(3, self.folder / "text-model.h5")
        for array in ARRAYS:
            self.assertEqual(read(one)[array].tobytes(), read(three)[array].tobytes())
        with h5py.File(one) as f:
            self.assertEqual(f["items/id"].asstr()[()].tolist(), sorted(names))

    def test_file(self):
        """What other verbs say of it."""
        path = self.recommend(2, self.model, "--top", 3)
        run_good(3, "verify", path)
        info = run_good(1, "info", path, "--json").json()
        self.assertEqual((info["format"], info["algorithm"], info["top"], info["include_seen"], info["n_users"]),
                         ("gridmf-recommendations", "als", 3, "no", N_USERS))
        self.assertEqual(info["arrays"]["top/item"], f"int64 [{N_USERS}, 3]")
        with h5py.File(path, "r+") as f:
            f["top/score"][N_USERS - 40, 1] += 1
        self.assertEqual(run(2, "verify", path).rc, DATA)

    def test_memory(self):
        """Batches shrink with what is allowed; what does not fit is refused at once."""
        self.refuse(PLAN, "does not fit into memory.*--memory-limit", self.model, "--memory-limit", "1M")
        log = self.out / "log"
        path = self.out / "small.h5"
        run_good(1, "recommend", self.model, "-o", path, "--top", 300, "--memory-limit", "120M", "--log-json", log, "--quiet")
        whole = read(self.recommend(1, self.model, "--top", 300))
        for array, values in read(path).items():
            np.testing.assert_array_equal(values, whole[array])

    def test_refusals(self):
        empty, nobody = self.folder / "empty", self.folder / "nobody"
        empty.write_text("\n\n")
        nobody.write_text("x\ny\n")
        for words in (["--users-range", "5"], ["--users-range", "5:3"], ["--users-range", "a:3"],
                      ["--users-range", f"0:{N_USERS + 1}"], ["--users-range", "-1:3"], ["--top", 0]):
            self.refuse(USAGE, "--users-range .*: A:B is needed|--top 0", self.model, *words)
        self.refuse(USAGE, "takes one model", self.model, self.model)
        self.refuse(DATA, "holds no user id", self.model, "--users", empty)
        self.refuse(DATA, "none of its 2 users is in the model; the first one is 'x'", self.model, "--users", nobody)
        self.refuse(NO_INPUT, "no-such-file", self.model, "--allow", self.folder / "no-such-file")
        self.refuse(NO_INPUT, "no-such-model", self.folder / "no-such-model")
        self.refuse(DATA, "dataset", self.data)
        result = run(2, "recommend", self.model)
        self.assertEqual((result.rc, result.messages()), (USAGE, ["gridmf: -o RECS.h5 is needed"]))
        result = run(2, "recommend", self.model, "-o", self.model)
        self.assertEqual(result.rc, USAGE, str(result))


if __name__ == "__main__":
    unittest.main()
