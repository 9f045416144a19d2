"""`gmf split`: what each method holds out, against NumPy, the same bytes on any number of ranks."""

import errno
import os
import unittest

import h5py
import numpy as np

import harness
from harness import Ratings, random_dataset, run, run_good, write_dataset

RANKS = (2, 3, 4, 7)
USAGE, DATA = 64, 65
FAULTIO = os.environ.get("FAULTIO", "")


def floor(x):
    return int(np.floor(x + 1e-9))


def provenance(path):
    with h5py.File(path) as f:
        return dict(f["provenance"].attrs)


class SplitCase(harness.Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Times with many ties, in no order of items; users of one to many ratings, some with none.
        cls.data = random_dataset(cls.folder / "data.h5", 61, 47, 700, times=lambda rng, n: rng.integers(1000, 1012, n),
                                  weights=lambda rng, n: rng.integers(0, 9, n) / 4)
        rng = np.random.default_rng(3)
        users = np.repeat(np.arange(40), rng.integers(0, 9, 40))
        items = np.concatenate([rng.choice(30, n, replace=False) for n in np.bincount(users, minlength=40)])
        cls.short = write_dataset(cls.folder / "short.h5", 40, 30, users, items, np.ones(len(users)),
                                  times=rng.integers(-5, 5, len(users)))
        cls.whole, cls.whole_short = Ratings(cls.data), Ratings(cls.short)

    def split(self, data, *options, n_ranks=2, names=("train", "test")):
        """Splits a dataset quietly; the paths of its parts."""
        paths = [self.out / ("%s-%d.h5" % (name, n_ranks)) for name in names]
        files = [word for name, path in zip(names, paths) for word in ("--" + name, path)]
        run_good(n_ranks, "split", data, *files, "--quiet", *options)
        return paths

    def check_ranks(self, data, *options, names=("train", "test")):
        """The same bytes at 1, 2, 3, 4 and 7 ranks."""
        wanted = [p.read_bytes() for p in self.split(data, *options, n_ranks=1, names=names)]
        for n_ranks in RANKS:
            with self.subTest(options=options, ranks=n_ranks):
                found = [p.read_bytes() for p in self.split(data, *options, n_ranks=n_ranks, names=names)]
                self.assertTrue(found == wanted)

    def check_parts(self, whole, paths):
        """The union is the whole, nothing is in both, ids and order stay; returns what is held out, in file order."""
        parts = [Ratings(p) for p in paths]
        for part in parts:
            np.testing.assert_array_equal(part.user_ids, whole.user_ids)
            np.testing.assert_array_equal(part.item_ids, whole.item_ids)
            self.assertTrue((np.diff(part.keys()) > 0).all())
        keys = np.concatenate([p.keys() for p in parts])
        order = np.argsort(keys)
        np.testing.assert_array_equal(keys[order], whole.keys())
        for name in ("values", "times", "weights"):
            arrays = [getattr(p, name) for p in parts]
            if getattr(whole, name) is None:
                self.assertEqual(arrays, [None, None], name)
            else:
                np.testing.assert_array_equal(np.concatenate(arrays)[order], getattr(whole, name), name)
        with h5py.File(paths[1]) as f:
            self.assertEqual(f.attrs["nnz"], parts[1].nnz)
        return np.isin(whole.keys(), parts[1].keys())


class TestRandom(SplitCase):
    def test_fraction(self):
        for fraction in (0, 0.25, 1):
            held_out = self.check_parts(self.whole, self.split(self.data, "--method", "random", "--fraction", fraction))
            slack = 5 * (700 * fraction * (1 - fraction)) ** 0.5
            self.assertLessEqual(abs(held_out.sum() - 700 * fraction), slack)

    def test_count(self):
        for data, whole in ((self.data, self.whole), (self.short, self.whole_short)):
            paths = self.split(data, "--method", "random", "--count", 3, "--seed", 4)
            held_out = self.check_parts(whole, paths)
            counts = np.bincount(whole.users[held_out], minlength=whole.n_users)
            np.testing.assert_array_equal(counts, np.where(whole.degrees > 3, 3, 0))
            p = provenance(paths[1])
            self.assertEqual((p["method"], p["part"], p["count"], p["seed"]), ("random", "test", 3, 4))
            self.assertNotIn("fraction", p)

    def test_seed(self):
        parts = [self.check_parts(self.whole, self.split(self.data, "--method", "random", "--fraction", 0.5, "--seed", s))
                 for s in (1, 2)]
        self.assertLess(abs((parts[0] == parts[1]).mean() - 0.5), 0.12, "draws of two seeds are independent")

    def test_same_bytes_for_any_number_of_ranks(self):
        self.check_ranks(self.data, "--method", "random", "--fraction", 0.3)
        self.check_ranks(self.short, "--method", "random", "--count", 2)

    def test_text_ids_and_no_times(self):
        data = random_dataset(self.out / "text.h5", 9, 5, 30, user_ids=["u%d" % i for i in range(9)],
                              item_ids=["é%d" % i for i in range(5)])
        paths = self.split(data, "--method", "random", "--count", 1, n_ranks=3)
        for path in paths:
            part = Ratings(path)
            self.assertEqual([i.decode() for i in part.item_ids], ["é%d" % i for i in range(5)])
            self.assertEqual((part.times, part.weights), (None, None))


class TestLeaveLast(SplitCase):
    def latest(self, whole, n_of_degree):
        """Which ratings are the n latest of their user; equal times: the higher item is later."""
        held_out = np.zeros(whole.nnz, bool)
        for u in range(whole.n_users):
            at = np.arange(whole.indptr[u], whole.indptr[u + 1])
            order = at[np.lexsort((whole.items[at], whole.times[at]))]
            n = n_of_degree(len(at))
            held_out[order[len(at) - n:]] = True
        return held_out

    def test_count(self):
        for count in (1, 4):
            for data, whole in ((self.data, self.whole), (self.short, self.whole_short)):
                held_out = self.check_parts(whole, self.split(data, "--method", "leave-last", "--count", count))
                np.testing.assert_array_equal(held_out, self.latest(whole, lambda d: count if d > count else 0))

    def test_fraction(self):
        for fraction in (0, 0.3, 1):
            paths = self.split(self.data, "--method", "leave-last", "--fraction", fraction)
            held_out = self.check_parts(self.whole, paths)
            np.testing.assert_array_equal(held_out, self.latest(self.whole, lambda d: floor(fraction * d)))
            p = provenance(paths[0])
            self.assertEqual((p["method"], p["part"], p["fraction"]), ("leave-last", "train", fraction))

    def test_same_bytes_for_any_number_of_ranks(self):
        self.check_ranks(self.data, "--method", "leave-last", "--count", 2)


class TestTime(SplitCase):
    def check_time(self, data, whole, target, *options, n_ranks=2):
        """Everything from a time on is held out; the next earlier time would make it more than the target."""
        paths = self.split(data, "--method", "time", *options, n_ranks=n_ranks)
        held_out = self.check_parts(whole, paths)
        times = np.unique(whole.times)
        counts = np.array([(whole.times >= t).sum() for t in times])
        within = times[counts <= target]
        wanted = whole.times >= within[0] if len(within) else np.zeros(whole.nnz, bool)
        np.testing.assert_array_equal(held_out, wanted)
        for path in paths:
            p = provenance(path)
            self.assertEqual(p["method"], "time")
            if len(within):
                self.assertEqual(p["cut_time"], within[0])
            else:
                self.assertNotIn("cut_time", p)
        return held_out.sum()

    def test_fraction(self):
        for fraction in (0, 0.01, 0.1, 0.25, 0.5, 0.999, 1):
            with self.subTest(fraction=fraction):
                self.check_time(self.data, self.whole, floor(fraction * 700), "--fraction", fraction)

    def test_count(self):
        sizes = {self.check_time(self.data, self.whole, count, "--count", count)
                 for count in (1, 57, 58, 59, 60, 130, 699, 700, 10**15)}
        self.assertGreater(len(sizes), 3)

    def test_times_of_any_kind(self):
        """Each kind of time on its own: all different, all the same, negative, at the ends of 64 bits."""
        top = np.iinfo("i8").max
        kinds = {"different": lambda rng, n: rng.permutation(n) * 86400 + 10**9, "same": lambda rng, n: np.full(n, 7),
                 "negative": lambda rng, n: rng.integers(-300, 5, n),
                 "extreme": lambda rng, n: rng.choice([-top - 1, -top, -1, 0, 1, top - 1, top], n),
                 "wide": lambda rng, n: rng.integers(-top - 1, top, n, endpoint=True)}
        for name, times in kinds.items():
            data = random_dataset(self.out / (name + ".h5"), 23, 17, 150, times=times)
            for fraction in (0.1, 0.5, 1):
                with self.subTest(times=name, fraction=fraction):
                    self.check_time(data, Ratings(data), floor(fraction * 150), "--fraction", fraction, n_ranks=3)

    def test_few_ratings_on_many_ranks(self):
        data = write_dataset(self.out / "few.h5", 3, 2, [0, 2, 2], [1, 0, 1], [1, 2, 3], times=[5, 3, 4])
        for n_ranks in (1, 7):
            for count in (1, 2, 3):
                self.check_time(data, Ratings(data), count, "--count", count, n_ranks=n_ranks)

    def test_what_is_said(self):
        files = ["--train", self.out / "a.h5", "--test", self.out / "b.h5", "--method", "time"]
        result = run_good(2, "split", self.data, *files, "--count", 100)
        self.assertIn("held out: ratings at time 1011 or later", result.stderr)
        result = run_good(2, "split", self.data, *files, "--count", 1)
        self.assertIn("held out: nothing", result.stderr)
        result = run(2, "split", random_dataset(self.out / "timeless.h5", 5, 5, 9), *files, "--count", 1)
        self.assertEqual((result.rc, len(result.messages())), (DATA, 1), result)
        self.assertIn("--columns time=", result.messages()[0])

    def test_same_bytes_for_any_number_of_ranks(self):
        self.check_ranks(self.data, "--method", "time", "--fraction", 0.3)


class TestUsers(SplitCase):
    NAMES = ("train", "test", "fold-in")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Users with 0 to 12 ratings, many about 5; items of all degrees, of which some lose all their raters.
        rng = np.random.default_rng(11)
        cls.n_users, cls.n_items = 120, 150
        degrees = rng.choice([0, 1, 4, 5, 6, 9, 10, 12], cls.n_users)
        users = np.repeat(np.arange(cls.n_users), degrees)
        weight = 1 / np.arange(1, cls.n_items + 1)
        items = np.concatenate([rng.choice(cls.n_items, n, replace=False, p=weight / weight.sum()) for n in degrees])
        n = len(users)
        ids = {"user_ids": np.array(sorted("user-%d" % i for i in range(cls.n_users))),
               "item_ids": np.array(sorted("é" * (i % 5) + "%03d" % i for i in range(cls.n_items)))}
        arrays = [users, items, rng.integers(1, 11, n) / 2]
        more = {"times": rng.integers(0, 10**6, n), "weights": rng.random(n)}
        cls.people = write_dataset(cls.folder / "people.h5", cls.n_users, cls.n_items, *arrays, **more)
        cls.named = write_dataset(cls.folder / "named.h5", cls.n_users, cls.n_items, *arrays, **more, **ids)
        cls.n_active = int((degrees > 0).sum())

    def split_users(self, data, *options, n_ranks=2):
        return self.split(data, "--method", "users", *options, n_ranks=n_ranks, names=self.NAMES)

    def table(self, r):
        """{(user id, item id): what the rating carries}"""
        extra = [a if a is not None else np.zeros(r.nnz) for a in (r.times, r.weights)]
        return {(u, i): rest for u, i, *rest in zip(r.user_ids[r.users], r.item_ids[r.items], r.values, *extra)}

    def check_users(self, data, n_held_out, test_fraction, *options, n_ranks=2):
        """The protocol, step by step; returns the parts and the ids of the held-out users."""
        whole = Ratings(data)
        paths = self.split_users(data, *options, n_ranks=n_ranks)
        train, test, fold_in = parts = [Ratings(p) for p in paths]
        for part in parts:
            self.assertTrue((np.diff(part.keys()) > 0).all(), "ratings ascend and are distinct")
            self.assertTrue((part.user_ids[:-1] < part.user_ids[1:]).all(), "ids ascend")
        # Who is held out: exactly so many of the users with ratings.
        active = set(whole.user_ids[whole.degrees > 0])
        held_out, kept = set(test.user_ids), set(train.user_ids)
        self.assertEqual(len(held_out), n_held_out)
        self.assertEqual(held_out | kept, active)
        self.assertFalse(held_out & kept)
        # TRAIN is compact; the others have its items, row by row, and the same users.
        self.assertTrue((train.degrees > 0).all())
        self.assertTrue((np.bincount(train.items, minlength=train.n_items) > 0).all())
        for part in (test, fold_in):
            np.testing.assert_array_equal(part.item_ids, train.item_ids)
            self.assertEqual(part.item_ids.dtype, train.item_ids.dtype)
            np.testing.assert_array_equal(part.user_ids, test.user_ids)
        # Every rating is where it belongs, with all it carries.
        everything, tables = self.table(whole), [self.table(p) for p in parts]
        self.assertEqual(tables[0], {k: v for k, v in everything.items() if k[0] in kept})
        known_items = set(train.item_ids)
        known = {k: v for k, v in everything.items() if k[0] in held_out and k[1] in known_items}
        self.assertFalse(set(tables[1]) & set(tables[2]))
        self.assertEqual({**tables[1], **tables[2]}, known)
        degree = {u: sum(k[0] == u for k in known) for u in held_out}
        for u, n in zip(test.user_ids, test.degrees):
            self.assertEqual(n, floor(test_fraction * degree[u]) if degree[u] >= 5 else 0, u)
        p = provenance(paths[2])
        self.assertEqual((p["method"], p["part"], p["test_fraction"]), ("users", "fold-in", test_fraction))
        self.assertEqual(p["n_dropped"], len([k for k in everything if k[0] in held_out]) - len(known))
        return parts, held_out, p["n_dropped"]

    def test_protocol(self):
        n = self.n_active
        for data in (self.people, self.named):
            for options, n_held_out, test_fraction in ((["--count", 30], 30, 0.2), (["--fraction", 0.25], floor(n / 4), 0.2),
                                                       (["--count", 50, "--test-fraction", 0.5], 50, 0.5),
                                                       (["--fraction", 0.1, "--test-fraction", 1], floor(n / 10), 1),
                                                       (["--fraction", 0.9, "--test-fraction", 0], floor(0.9 * n), 0)):
                with self.subTest(data=data.name, options=options):
                    parts, _, n_dropped = self.check_users(data, n_held_out, test_fraction, *options)
                    self.assertGreater(n_dropped, 0, "items without training ratings are not tested")
                    p = provenance(self.out / "train-2.h5")
                    self.assertEqual((p["part"], p["seed"], p["n_held_out_users"]), ("train", 1, n_held_out))
                    self.assertEqual(p[options[0][2:]], options[1])

    def test_text_ids_are_as_wide_as_the_longest_left(self):
        for path in self.split_users(self.named, "--fraction", 0.9):
            with h5py.File(path) as f:
                for side in ("users", "items"):
                    ids = f[side + "/id"]
                    self.assertEqual(ids.dtype.itemsize, max(len(i) for i in ids[()]))

    def test_same_bytes_for_any_number_of_ranks(self):
        for data in (self.people, self.named):
            self.check_ranks(data, "--method", "users", "--fraction", 0.3, names=self.NAMES)
        self.check_ranks(self.data, "--method", "users", "--count", 20, "--seed", 5, names=self.NAMES)

    def test_seed_and_count(self):
        """One order of users a seed: a larger count holds out more of it, another seed gives another order."""
        few, more, other = (self.check_users(self.people, count, 0.2, "--count", count, "--seed", seed)[1]
                            for count, seed in ((20, 1), (50, 1), (50, 2)))
        self.assertLess(few, more)
        self.assertLess(len(more & other), 40)
        self.assertGreater(len(more & other), 10)

    def test_choice_is_fair(self):
        """Users, and ratings within users, are drawn alike, whatever their place and number of ratings."""
        n_users, n_items, degree = 3000, 40, 10
        users, items = np.repeat(np.arange(n_users), degree), np.concatenate(
            [np.sort(np.random.default_rng(u).choice(n_items, degree, replace=False)) for u in range(n_users)])
        data = write_dataset(self.out / "fair.h5", n_users, n_items, users, items, np.ones(n_users * degree))
        _, test, fold_in = (Ratings(p) for p in self.split_users(data, "--count", 1500, n_ranks=3))
        third = np.bincount((test.user_ids - 1) // 1000, minlength=3)
        self.assertLess(np.abs(third - 500).max(), 5 * (1000 / 4 * 2 / 3) ** 0.5)
        self.assertEqual((test.nnz, fold_in.nnz), (3000, 12000))
        place = np.array([(fold_in.items[fold_in.indptr[u]:fold_in.indptr[u + 1]] < i).sum() + t
                          for u in range(1500) for t, i in enumerate(test.items[test.indptr[u]:test.indptr[u + 1]])])
        np.testing.assert_allclose(np.bincount(place, minlength=10), 300, atol=5 * (3000 * 0.1 * 0.9) ** 0.5)

    def test_users_of_four_five_and_nine_ratings(self):
        """Where dropping an item leaves a user four of five ratings, nothing of that user is tested."""
        rows = {0: range(5), 1: range(4), 2: range(9), 3: [*range(4), 9], 4: range(9)}
        users, items = zip(*[(u, i) for u, at in rows.items() for i in at])
        data = write_dataset(self.out / "edges.h5", 5, 10, users, items, np.ones(len(users)))
        seen = set()
        for seed in range(1, 25):
            (train, test, fold_in), held_out, n_dropped = self.check_users(data, 4, 0.2, "--count", 4, "--seed", seed)
            seen.add((tuple(train.user_ids), n_dropped))
            if tuple(train.user_ids) == (3,):  # nine ratings each; item 10 is gone, and with it user 4's fifth rating
                self.assertEqual([test.degrees.tolist(), fold_in.degrees.tolist()], [[1, 0, 0, 1], [4, 4, 4, 8]])
        self.assertEqual({u for u, _ in seen}, {(1,), (2,), (3,), (4,), (5,)}, "every user was the one who stayed")

    def test_held_out_user_of_unknown_items(self):
        """Such a user stays in both files, without ratings."""
        data = write_dataset(self.out / "apart.h5", 3, 4, [0, 0, 2, 2], [0, 1, 2, 3], [1, 2, 3, 4])
        for n_ranks in (1, 3):
            (train, test, fold_in), _, n_dropped = self.check_users(data, 1, 0.2, "--count", 1, n_ranks=n_ranks)
            self.assertEqual((train.n_users, train.n_items, train.nnz), (1, 2, 2))
            self.assertEqual((test.n_users, test.nnz, fold_in.nnz, n_dropped), (1, 0, 0, 2))

    def test_nobody_is_held_out(self):
        for data, whole in ((self.data, self.whole), (self.short, self.whole_short)):
            (train, test, _), held_out, _ = self.check_users(data, 0, 0.2, "--fraction", 0, n_ranks=3)
            self.assertEqual((train.nnz, test.n_users, test.nnz), (whole.nnz, 0, 0))
            self.assertEqual(train.n_items, (np.bincount(whole.items, minlength=whole.n_items) > 0).sum())

    def test_more_ranks_than_users(self):
        data = random_dataset(self.out / "tiny.h5", 4, 9, 30)
        for n_ranks in (1, 4, 7):
            for count in (1, 3):
                self.check_users(data, count, 0.2, "--count", count, n_ranks=n_ranks)

    def refuse(self, code, says, *options, data=None, ranks=(1, 3)):
        files = ["--train", self.out / "a.h5", "--test", self.out / "b.h5"]
        for n_ranks in ranks:
            result = run(n_ranks, "split", data or self.people, *files, *options)
            self.assertEqual((result.rc, len(result.messages())), (code, 1), result)
            for word in says:
                self.assertIn(str(word), result.messages()[0])
            self.assertEqual(list(self.out.glob("?.h5*")), [])

    def test_errors(self):
        fold_in = ["--fold-in", self.out / "c.h5"]
        self.refuse(DATA, [self.people, self.n_active, "--fraction"], "--method", "users", "--fraction", 1, *fold_in)
        self.refuse(DATA, [self.n_active, 1000, "--count"], "--method", "users", "--count", 1000, *fold_in)
        self.refuse(DATA, [self.n_active], "--method", "users", "--count", self.n_active, *fold_in, ranks=(2,))
        self.refuse(USAGE, ["--fold-in"], "--method", "users", "--count", 3)
        for method in ("random", "leave-last", "time"):
            self.refuse(USAGE, ["--fold-in", method], "--method", method, "--count", 1, *fold_in, ranks=(1,))
        self.refuse(USAGE, ["--fraction", "--count"], "--method", "users", *fold_in, ranks=(1,))
        self.refuse(USAGE, ["--train", "--fold-in", "same file"], "--method", "users", "--count", 3, "--fold-in",
                    self.out / "a.h5", ranks=(1,))
        self.refuse(USAGE, ["input"], "--method", "users", "--count", 3, "--fold-in", self.people, ranks=(1,))
        self.refuse(73, ["none"], "--method", "users", "--count", 3, "--fold-in", self.out / "none" / "c.h5")
        empty = write_dataset(self.out / "empty", 3, 3, np.zeros(0, int), np.zeros(0, int), [])
        self.refuse(DATA, ["0 users with ratings"], "--method", "users", "--fraction", 0.5, *fold_in, data=empty)

    def test_what_is_said(self):
        files = [word for name in self.NAMES for word in ("--" + name, self.out / (name + ".h5"))]
        said = run_good(2, "split", self.people, *files, "--method", "users", "--count", 30).stderr
        self.assertIn("held out: 30 of %d users" % self.n_active, said)
        for name in self.NAMES:
            part = Ratings(self.out / (name + ".h5"))
            self.assertIn("%s.h5: %d users, %d items, %d ratings" % (name, part.n_users, part.n_items, part.nnz), said)

    def test_a_model_can_be_trained(self):
        train, _, _ = self.split_users(self.named, "--count", 20)
        run_good(2, "train", train, "-o", self.out / "m.h5", "--algorithm", "ials", "--factors", 4, "--iterations", 1,
                 "--quiet")
        part = Ratings(train)
        with h5py.File(self.out / "m.h5") as f:
            np.testing.assert_array_equal(f["users/count"][()], part.degrees)
            np.testing.assert_array_equal(f["items/id"][()], part.item_ids)
        for path in self.split_users(self.named, "--count", 20, n_ranks=1):
            run_good(2, "verify", path)


@unittest.skipUnless(FAULTIO, "FAULTIO is not set")
class TestAllOrNone(SplitCase):
    """Three files that belong together: whatever fails, all of them are new or all of them are old."""

    def outcome(self, call, rank, after):
        paths = [self.out / name for name in ("a.h5", "b.h5", "c.h5")]
        for path in paths:
            path.write_bytes(b"of yesterday")
        environment = {"LD_PRELOAD": FAULTIO, "FAULT_PATH": str(self.out), "FAULT_CALL": call, "FAULT_RANK": str(rank),
                       "FAULT_AFTER": str(after), "FAULT_HOW": str(errno.EIO)}
        words = [w for name in environment for w in ("-x", name)]
        result = harness.execute([*harness.MPIRUN, "-n", "2", *words, harness.GRIDMF, "split", self.data, "--train", paths[0],
                                  "--test", paths[1], "--fold-in", paths[2], "--method", "users", "--count", 9, "--quiet"],
                                 env=environment)
        is_new = {path.read_bytes() != b"of yesterday" for path in paths}
        self.assertEqual(len(is_new), 1, f"{call} {after} on rank {rank}: {result}")
        self.assertEqual(sorted(p.name for p in self.out.iterdir()), ["a.h5", "b.h5", "c.h5"])
        if True in is_new:
            run_good(1, "verify", *paths)
        return result, is_new.pop()

    def test_syncs(self):
        n_failed = 0
        for after in range(30):
            result, is_new = self.outcome("fsync", 0, after)
            if result.rc == 0:
                self.assertTrue(is_new)
                break
            self.assertIn(result.rc, (73, 74), result)
            n_failed += 1
        self.assertGreaterEqual(n_failed, 9, "three files are created, synced, sealed and their folder is synced")
        self.assertEqual(result.rc, 0)

    def test_writes(self):
        failed = [self.outcome("write", rank, after)[0].rc for rank in (0, 1) for after in (0, 3, 10, 30, 60, 90, 10000)]
        self.assertEqual(failed[6], 0)
        self.assertGreater(sum(rc in (73, 74) for rc in failed), 3, failed)


if __name__ == "__main__":
    unittest.main()
