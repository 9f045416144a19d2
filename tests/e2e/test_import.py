#!/usr/bin/env python3
"""`gridmf import` from the outside: contents against a plain-Python oracle, bytes the same for any number of ranks.

GRIDMF names the program, MPIRUN the launcher (default mpirun). Needs h5py and NumPy.
"""
import csv
import gzip
import io
import os
import random
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

from harness import shortened

GRIDMF = os.environ.get("GRIDMF", "gridmf")
MPIRUN = os.environ.get("MPIRUN", "mpirun").split()
ROOT = Path(__file__).resolve().parents[2]
RANKS = shortened((1, 2, 3, 4, 7), (1, 2, 5))
FEW = shortened((1, 4), (3,))
DATA, NO_INPUT, USAGE, CREATE = 65, 66, 64, 73


def is_integer(text):
    digits = text[1:] if text.startswith("-") else text
    canonical = text == "0" or (digits.isascii() and digits.isdigit() and digits[0] != "0")
    return canonical and -2**63 <= int(text) < 2**63


def drop_rare(table, min_item, min_user):
    """One pass of the least counts: items, then users."""
    for side, least in ((1, min_item), (0, min_user)):
        ids = sorted({k[side] for k in table})
        row = {i: n for n, i in enumerate(ids)}
        count = np.bincount([row[k[side]] for k in table], minlength=len(ids))
        table = {k: v for k, v in table.items() if count[row[k[side]]] >= least}
    return table


def k_core(table, min_item, min_user):
    """The table when passes change nothing any more, and how many did."""
    rounds = 0
    while True:
        smaller = drop_rare(table, min_item, min_user)
        if len(smaller) == len(table):
            return table, rounds
        table, rounds = smaller, rounds + 1


def resolve(ratings, duplicates="last", min_rating=None, binarize=False, min_item=0, min_user=0, core=False):
    """{(user, item): (float32, time, weight)} of [(user, item, text value, time[, text weight])] in the input's order."""
    groups = {}
    for user, item, value, time, *weight in ratings:
        weight = np.float32(float(weight[0])) if weight else np.float32(1)
        groups.setdefault((user, item), []).append((np.float32(float(value)), time or 0, weight))
    table = {}
    for key, group in groups.items():
        latest = max(range(len(group)), key=lambda k: (group[k][1], k))
        values, weights = [float(v) for v, _, _ in group], [float(w) for _, _, w in group]
        value = {"last": group[latest][0], "sum": sum(values), "max": max(values),
                 "mean": sum(v * w for v, w in zip(values, weights)) / sum(weights) if any(weights)
                         else sum(values) / len(values)}[duplicates]
        largest = max(range(len(group)), key=lambda k: (group[k][0], group[k][1], k))
        weight = {"last": group[latest][2], "sum": 1, "max": group[largest][2], "mean": sum(weights)}[duplicates]
        table[key] = (np.float32(value), group[latest][1], np.float32(weight))
    if min_rating is not None:
        table = {k: v for k, v in table.items() if v[0] >= np.float32(min_rating)}
    if binarize:
        table = {k: (np.float32(1), t, w) for k, (_, t, w) in table.items()}
    return k_core(table, min_item, min_user)[0] if core else drop_rare(table, min_item, min_user)


def sorted_ids(ratings, table, side):
    as_text = not all(is_integer(r[side]) for r in ratings)
    ids = {k[side] for k in table}
    return (sorted(ids, key=lambda t: t.encode()), True) if as_text else (sorted(ids, key=int), False)


class ImportCase(unittest.TestCase):
    def setUp(self):
        self.dir = Path(tempfile.mkdtemp(prefix="gridmf-import-"))
        self.addCleanup(shutil.rmtree, self.dir)

    def write(self, name, content):
        path = self.dir / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def run_import(self, files, n_ranks, *options, threads=1, output=None):
        output = output or self.dir / f"out{n_ranks}-{threads}.h5"
        command = [*MPIRUN, "-n", str(n_ranks), GRIDMF, "import", *map(str, files), "-o", str(output), *options]
        env = dict(os.environ, OMP_NUM_THREADS=str(threads))
        done = subprocess.run(command, env=env, capture_output=True, text=True, errors="replace", timeout=120)
        return done.returncode, done.stderr + done.stdout, output

    def compare(self, path, ratings, table, has_time, has_weight=False):
        users, users_text = sorted_ids(ratings, table, 0)
        items, items_text = sorted_ids(ratings, table, 1)
        with h5py.File(path) as f:
            self.assertEqual(f.attrs["complete"], 1)
            for name, ids, as_text in (("users", users, users_text), ("items", items, items_text)):
                found = f[name]["id"]
                if as_text:
                    self.assertEqual(found.dtype.kind, "S")
                    self.assertEqual(found.dtype.itemsize, max(len(i.encode()) for i in ids))
                    self.assertEqual([b.decode() for b in found[:]], ids)
                else:
                    self.assertEqual(found.dtype, np.int64)
                    self.assertEqual(found[:].tolist(), [int(i) for i in ids])
            g = f["ratings"]
            self.assertEqual(g.attrs["shape"].tolist(), [len(users), len(items)])
            indptr, indices, data = g["indptr"][:], g["indices"][:], g["data"][:]
            item_row = {item: k for k, item in enumerate(items)}
            rows = {user: [] for user in users}
            for (user, item), (value, time, weight) in table.items():
                rows[user].append((item_row[item], value, time, weight))
            expected = [r for user in users for r in sorted(rows[user])]
            self.assertEqual(indptr.tolist(), np.cumsum([0] + [len(rows[u]) for u in users]).tolist())
            self.assertEqual(indices.tolist(), [r[0] for r in expected])
            np.testing.assert_array_equal(data, np.array([r[1] for r in expected], np.float32))
            self.assertEqual("time" in g, has_time)
            if has_time:
                self.assertEqual(g["time"][:].tolist(), [r[2] for r in expected])
            self.assertEqual("weight" in g, has_weight)
            if has_weight:
                weights = np.array([r[3] for r in expected], np.float32)
                np.testing.assert_array_equal(g["weight"][:], weights)
                self.assertEqual(g["weight"].dtype, np.dtype("<f4"))
                self.assertEqual((f.attrs["min_weight"], f.attrs["max_weight"]), (weights.min(), weights.max()))

    def check(self, files, ratings, *options, has_time=True, has_weight=False, ranks=RANKS, **how):
        """Imports on every number of ranks; all files are equal and hold what the oracle says."""
        table = resolve(ratings, **how)
        self.assertTrue(table, "the test is of no use")
        first = None
        for n in ranks:
            for threads in shortened((1, 3), (3,)) if n == 2 else (1,):
                code, text, output = self.run_import(files, n, *options, threads=threads)
                self.assertEqual(code, 0, f"{n} ranks: {text}")
                if first is None:
                    first = output.read_bytes()
                    self.compare(output, ratings, table, has_time, has_weight)
                self.assertTrue(output.read_bytes() == first, f"{n} ranks, {threads} threads: the file differs")
        return first

    def refuse(self, files, *options, code=DATA, says=(), ranks=FEW):
        """The import fails with the same text on any number of ranks and leaves nothing behind."""
        before = sorted(p.name for p in self.dir.iterdir())
        for n in ranks:
            found, text, _ = self.run_import(files, n, *options)
            self.assertEqual(found, code, f"{n} ranks: {text}")
            for part in [says] if isinstance(says, str) else says:
                self.assertIn(part, text, f"{n} ranks")
            self.assertEqual(sorted(p.name for p in self.dir.iterdir()), before)


def random_ratings(n, n_users, n_items, seed, user="{}", item="{}", times=True):
    rng = random.Random(seed)
    return [(user.format(rng.randrange(n_users)), item.format(rng.randrange(n_items)),
             f"{rng.randrange(1, 11) / 2}", rng.randrange(0, 50) if times else None) for _ in range(n)]


def as_text(ratings, separator=",", header="", end="\n"):
    lines = [separator.join(str(x) for x in r if x is not None) for r in ratings]
    return (header + end if header else "") + "".join(line + end for line in lines)


class Formats(ImportCase):
    def test_movielens_csv(self):
        ratings = random_ratings(3000, 200, 90, 1)
        self.check([self.write("r.csv", as_text(ratings, header="userId,movieId,rating,timestamp"))], ratings)

    def test_sample_of_the_project(self):
        path = ROOT / "inputs" / "ratings.csv"
        with open(path, newline="") as f:
            ratings = [(r[0], r[1], r[2], int(r[3])) for r in list(csv.reader(f))[1:]]
        self.check([path], ratings, ranks=(1, 2, 3))

    def test_headerless_csv_crlf_bom_blank_lines_no_last_newline(self):
        ratings = random_ratings(500, 40, 30, 2)
        text = "\ufeff" + as_text(ratings, end="\r\n").replace("\r\n", "\r\n\r\n \r\n", 3)
        self.check([self.write("r.csv", text[:-2])], ratings)

    def test_one_line(self):
        self.check([self.write("r.csv", "7,9,4.5,100")], [("7", "9", "4.5", 100)], ranks=FEW)

    def test_two_columns(self):
        ratings = [("1", "2", "1", None), ("3", "2", "1", None)]
        self.check([self.write("r.csv", "1,2\n3,2\n")], ratings, has_time=False, ranks=FEW)
        self.check([self.write("h.csv", "user_id,item_id\n1,2\n3,2\n")], ratings, has_time=False, ranks=FEW)

    def test_header_in_another_order(self):
        ratings = random_ratings(300, 40, 30, 3)
        text = "timestamp,Book_ID,x,Rating,User-Id\n" + "".join(f'{t},{i},"a, ""b""",{v},{u}\n' for u, i, v, t in ratings)
        self.check([self.write("r.csv", text)], ratings, ranks=FEW)

    def test_columns_option(self):
        ratings = random_ratings(300, 40, 30, 4)
        text = "a,b,c,d\n" + "".join(f"{t},{i},{u},{v}\n" for u, i, v, t in ratings)
        path = self.write("r.csv", text)
        self.check([path], ratings, "--columns", "user=c,item=B,rating=d,time=a", ranks=FEW)
        bare = [(u, i, "1", None) for u, i, _, _ in ratings]
        self.check([self.write("n.csv", text[8:])], bare, "--columns", "user=3,item=2", has_time=False, ranks=FEW)

    def test_quoted_fields(self):
        rows = [('a "quoted" name', "x,y"), ("  inner  ", "plain"), ("Ünï", "日本"), ('"', ","), ("b", "x,y")]
        ratings = [(u, i, "3.5", k) for k, (u, i) in enumerate(rows)] * 2
        out = io.StringIO()
        csv.writer(out, quoting=csv.QUOTE_ALL).writerows(ratings)
        self.check([self.write("r.csv", out.getvalue())], ratings)

    def test_blanks_around_fields(self):
        self.check([self.write("r.csv", " 1 , 22\t,4.5 , 100 \n2,22, 3,  7\n")],
                   [("1", "22", "4.5", 100), ("2", "22", "3", 7)], ranks=FEW)

    def test_tsv_dat_and_times(self):
        ratings = random_ratings(400, 50, 40, 5)
        self.check([self.write("u.data", as_text(ratings, "\t"))], ratings, ranks=FEW)
        self.check([self.write("ratings.dat", as_text(ratings, "::"))], ratings, ranks=FEW)
        self.check([self.write("plain", as_text(ratings, "::"))], ratings, ranks=FEW)
        text = "u,i,3,1970-01-02\nu,j,3,2000-03-01T12:30:05Z\nv,i,3,1969-12-31 23:59:59\nv,j,3,12.9\nw,i,3,-1.5e1\n"
        self.check([self.write("d.csv", text)], [("u", "i", "3", 86400), ("u", "j", "3", 951913805),
                                                 ("v", "i", "3", -1), ("v", "j", "3", 12), ("w", "i", "3", -15)], ranks=FEW)

    def test_matrix_market(self):
        ratings = [("1", "2", "1.5", None), ("3", "1", "-2e-1", None), ("3", "4", "7", None)]
        head = "%%MatrixMarket matrix coordinate {} general\n% a comment\n\n3 5 3\n"
        text = head.format("real") + "1 2 1.5\n% another\n 3   1\t-2e-1\n3 4 7\n"
        self.check([self.write("r.mtx", text)], ratings, has_time=False, ranks=FEW)
        pattern = head.format("pattern") + "1 2\n3 1\n3 4\n"
        self.check([self.write("p.mtx", pattern)], [(u, i, "1", None) for u, i, _, _ in ratings], has_time=False, ranks=FEW)
        self.refuse([self.write("few.mtx", text + "1 1 1\n")], says="3 entries, but 4")
        self.refuse([self.write("out.mtx", text.replace("3 4 7", "3 6 7"))], says=":8:3: item is not a column")
        self.refuse([self.write("sym.mtx", text.replace("general", "symmetric"))], says="symmetric")
        self.refuse([self.write("size.mtx", "%%MatrixMarket matrix coordinate real general\n3 x\n")], says="size line")

    def test_adjacency(self):
        rng = random.Random(6)
        lines = [(f"u{k}", [str(i) for i in rng.sample(range(2000), rng.randrange(0, 1200))]) for k in range(30)]
        ratings = [(u, i, "1", None) for u, items in lines for i in items]
        text = "".join(u + rng.choice(" \t") + "  ".join(items) + " \r\n" for u, items in lines)
        self.check([self.write("r.adj", text)], ratings, has_time=False)
        self.check([self.write("r.txt", text)], ratings, "--format", "adjacency", has_time=False)

    def test_gzip_zstd_and_many_files(self):
        parts = [random_ratings(700, 60, 50, seed) for seed in range(10, 15)]
        ratings = [r for part in parts for r in part]
        members = as_text(parts[1]).encode()
        files = [self.write("a.csv", as_text(parts[0])),
                 self.write("b.csv.gz", gzip.compress(members[:5000]) + gzip.compress(members[5000:])),
                 self.write("c.csv", as_text(parts[2], header="userId,movieId,rating,timestamp"))]
        if shutil.which("zstd"):
            plain = self.write("d.tsv", as_text(parts[3], "\t", end="\r\n"))
            subprocess.run(["zstd", "-q", str(plain)], check=True)
            files.append(self.dir / "d.tsv.zst")
        else:
            files.append(self.write("d.tsv", as_text(parts[3], "\t")))
        files.append(self.write("e.data", gzip.compress(as_text(parts[4], "\t").encode())))
        self.check(files, ratings)
        whole = files[1].read_bytes()
        self.refuse([self.write("cut.csv.gz", whole[:-30])], says="damaged")

    def test_numbers(self):
        values = ["0.1", "3.3", "1e-3", "+2", "-0.5", ".5", "5.", "123456789.123456789", "1e10", "0.30000000000000004",
                  "16777217", "3.4028234e38", "1e-60", "12345678901234567890123456789", "1E5", "2.5000000000000000001"]
        ratings = [("u", str(k), v, None) for k, v in enumerate(values)]
        self.check([self.write("r.csv", as_text(ratings))], ratings, has_time=False, ranks=shortened((1, 3), (3,)))


class Ids(ImportCase):
    def test_texts_sort_by_bytes(self):
        ratings = random_ratings(2500, 300, 120, 20, user="user_with_a_long_common_prefix_{}", item="é{}")
        self.check([self.write("r.csv", as_text(ratings))], ratings)

    def test_negative_and_extreme_integers(self):
        users = ["0", "-1", "9223372036854775807", "-9223372036854775808", "1000000000000000000", "42"]
        ratings = [(u, str(k % 3), "2", k) for k, u in enumerate(users)]
        self.check([self.write("r.csv", as_text(ratings))], ratings, ranks=FEW)

    def test_one_odd_id_makes_all_texts(self):
        for odd in ("007", "-0", "x1"):
            ratings = [(str(k), "5", "2", k) for k in range(40)] + [(odd, "5", "2", 1)]
            self.check([self.write("r.csv", as_text(ratings))], ratings, ranks=FEW)

    def test_huge_integers(self):
        ratings = [("1", "9223372036854775808", "2", 1), ("2", "-9223372036854775809", "2", 1), ("3", "x", "2", 1)]
        self.check([self.write("texts.csv", as_text(ratings))], ratings, ranks=FEW)
        path = self.write("r.csv", "1,2,3,4\n1,3,3,4\n9223372036854775808,2,3,4\n4,99999999999999999999,1,1\n")
        self.refuse([path], says=["r.csv:3:1:", "does not fit 64 bits"])
        self.check([path], [("1", "2", "3", 4), ("1", "3", "3", 4)], "--on-bad-line", "skip", ranks=FEW)

    def test_cut_at_every_byte(self):
        """Ranges begin at other bytes for every length of the first line."""
        for n in range(1, 20, 2):
            ratings = [("7" * min(n, 18), "1", "5", 1)] + [(str(k), str(k * k), "5", k) for k in range(n % 7, 9)]
            path = self.write("r.csv", as_text(ratings))
            first = None
            for ranks in shortened((1, 5), (5,)):
                code, text, output = self.run_import([path], ranks)
                self.assertEqual(code, 0, text)
                first = first or output.read_bytes()
                self.assertTrue(output.read_bytes() == first)
            self.compare(output, ratings, resolve(ratings), True)


class Policies(ImportCase):
    def test_duplicates(self):
        ratings = random_ratings(3000, 20, 15, 30)
        path = self.write("r.csv", as_text(ratings))
        for policy in ("last", "sum", "max", "mean"):
            self.check([path], ratings, "--duplicates", policy, duplicates=policy, ranks=shortened((1, 3, 4), (3,)))
        bare = self.write("b.csv", as_text([r[:3] for r in ratings]))
        self.check([bare], [(*r[:3], None) for r in ratings], has_time=False, ranks=shortened((1, 3, 4), (3,)))

    def test_duplicates_are_an_error(self):
        text = "5,1,3,1\n2,9,3,1\n3,8,4,5\n2,9,1,1\n5,1,3,3\n"
        self.refuse([self.write("r.csv", text)], "--duplicates", "error", says=["user '2'", "item '9'"])
        self.check([self.write("s.csv", text[:24])], [("5", "1", "3", 1), ("2", "9", "3", 1), ("3", "8", "4", 5)],
                   "--duplicates", "error", ranks=shortened((1, 3), (3,)))

    def test_filters(self):
        ratings = random_ratings(1500, 150, 140, 31, user="u{}")
        path = self.write("r.csv", as_text(ratings))
        self.check([path], ratings, "--min-rating", "3.5", "--binarize", min_rating=3.5, binarize=True)
        self.check([path], ratings, "--min-rating", "2", "--min-user-count", "8", "--min-item-count", "7",
                   min_rating=2, min_user=8, min_item=7)
        self.check([path], ratings, "--min-user-count", "12", min_user=12)
        self.refuse([path], "--min-user-count", "1000", says="left after the filters")
        self.check([self.write("t.csv", "1,1,3.3\n1,2,3.29\n2,1,3.31\n")],
                   [("1", "1", "3.3", None), ("1", "2", "3.29", None), ("2", "1", "3.31", None)],
                   "--min-rating", "3.3", min_rating=3.3, has_time=False)

    def test_k_core(self):
        """Counts after duplicates and --min-rating are settled; more than one round; at any number of ranks."""
        ratings = random_ratings(1500, 170, 150, 33, user="u{}")
        path = self.write("r.csv", as_text(ratings))
        for n, (min_user, min_item) in enumerate(((6, 7), (5, 8), (3, 8), (0, 9), (7, 1))):
            options = ["--min-user-count", str(min_user), "--min-item-count", str(min_item), "--k-core"]
            self.check([path], ratings, *options, min_user=min_user, min_item=min_item, core=True,
                       ranks=RANKS if n == 0 else FEW)
            _, text, output = self.run_import([path], 3, *options)
            rounds = k_core(resolve(ratings), min_item, min_user)[1]
            self.assertIn(f"k-core after {rounds} rounds", text)
            with h5py.File(output) as f:
                g, p = f["ratings"], f["provenance"].attrs
                self.assertGreaterEqual(np.diff(g["indptr"][:]).min(), min_user)
                self.assertGreaterEqual(np.bincount(g["indices"][:]).min(), min_item)
                self.assertEqual((p["k_core"], p["k_core_rounds"]), (1, rounds))
            self.assertGreater(rounds, 2 if n < 2 else 0)
        self.check([path], ratings, "--min-user-count", "3", "--min-item-count", "3", "--k-core", "--min-rating", "3",
                   "--duplicates", "max", duplicates="max", min_rating=3, min_user=3, min_item=3, core=True)

    def test_k_core_of_a_chain(self):
        """User n rates items n and n + 1: each round takes the ends off, and at last a ring is left, or nothing."""
        chain = [(str(u), str(i), "1", None) for u in range(40) for i in (u, u + 1)]
        ring = [(str(100 + u), str(100 + (u + s) % 5), "1", None) for u in range(5) for s in (0, 1)]
        options = ["--k-core", "--min-user-count", "2", "--min-item-count", "2"]
        both = self.write("both.csv", as_text(ring + chain))
        self.check([both], ring + chain, *options, min_user=2, min_item=2, core=True, has_time=False)
        code, text, _ = self.run_import([both], 3, *options)
        self.assertEqual(code, 0)
        self.assertIn("k-core after 20 rounds", text)
        alone = self.write("alone.csv", as_text(chain))
        self.refuse([alone], *options, says=["no rating of 80 is left", "every user has 2", "lower"], ranks=RANKS)
        self.refuse([alone], "--k-core", code=USAGE, says="--min-user-count")

    def test_skipped_lines(self):
        good = random_ratings(800, 50, 40, 32)
        lines = as_text(good).splitlines()
        for k in range(700, 0, -100):
            lines.insert(k, f"{k},{k},oops,1")
        path = self.write("r.csv", "\n".join(lines) + "\n")
        self.check([path], good, "--on-bad-line", "skip")
        _, text, output = self.run_import([path], 3, "--on-bad-line", "skip")
        with h5py.File(output) as f:
            self.assertEqual(f["provenance"].attrs["n_bad_lines"], 7)
            self.assertEqual(f["provenance"].attrs["n_lines"], 807)
        self.refuse([path], says="r.csv:101:9: rating is not a number: 'oops'", ranks=RANKS)


class Weights(ImportCase):
    COLUMNS = "user=1,item=2,rating=3,time=4,weight=5"

    def ratings(self, n, n_users, n_items, seed):
        rng = random.Random(seed)
        return [(*r, rng.choice(("0", "0.5", "1", "2.25", "1e-3", "7"))) for r in random_ratings(n, n_users, n_items, seed)]

    def test_weights_stay_with_their_ratings(self):
        ratings = self.ratings(3000, 300, 250, 50)
        path = self.write("r.csv", as_text(ratings, header="user,item,rating,time,weight"))
        self.check([path], ratings, "--columns", "user=user,item=item,rating=rating,time=time,weight=weight", has_weight=True)
        self.check([path], [r[:4] for r in ratings], ranks=FEW)  # not named, not taken
        bare = [(u, i, "1", None, w) for u, i, _, _, w in ratings]
        self.check([path], bare, "--columns", "user=1,item=2,weight=5", has_time=False, has_weight=True, ranks=FEW)

    def test_many_files(self):
        parts = [self.ratings(500, 60, 50, seed) for seed in (51, 52, 53)]
        files = [self.write("a.csv", as_text(parts[0])), self.write("b.csv.gz", gzip.compress(as_text(parts[1]).encode())),
                 self.write("c.tsv", as_text(parts[2], "\t"))]
        self.check(files, [r for part in parts for r in part], "--columns", self.COLUMNS, has_weight=True,
                   ranks=shortened((1, 2, 4, 7), (4,)))

    def test_duplicates(self):
        """Many ratings of a pair, with equal values and equal times among them, and weights of 0."""
        ratings = self.ratings(3000, 20, 15, 54)
        path = self.write("r.csv", as_text(ratings))
        for policy in ("last", "max", "mean"):
            self.check([path], ratings, "--columns", self.COLUMNS, "--duplicates", policy, duplicates=policy,
                       has_weight=True, ranks=shortened((1, 3, 4), (3,)))
        zeros = [(u, i, v, t, "0") for u, i, v, t, _ in ratings]
        self.check([self.write("z.csv", as_text(zeros))], zeros, "--columns", self.COLUMNS, "--duplicates", "mean",
                   duplicates="mean", has_weight=True, ranks=shortened((1, 3), (3,)))
        self.refuse([path], "--columns", self.COLUMNS, "--duplicates", "sum", code=USAGE, says=["sum", "weight", "mean"])
        self.refuse([path], "--columns", self.COLUMNS, "--duplicates", "error", says=["more than once"])
        self.refuse([self.write("h.csv", "a,b,1,1,3e38\na,b,2,2,3e38\n")], "--columns", self.COLUMNS, "--duplicates",
                    "mean", says=["'a'", "'b'", "too large"])

    def test_filters_pass_weights_over(self):
        ratings = self.ratings(1500, 150, 140, 55)
        path = self.write("r.csv", as_text(ratings))
        self.check([path], ratings, "--columns", self.COLUMNS, "--min-rating", "2", "--min-user-count", "8",
                   "--min-item-count", "7", min_rating=2, min_user=8, min_item=7, has_weight=True)
        self.check([path], ratings, "--columns", self.COLUMNS, "--binarize", binarize=True, has_weight=True, ranks=FEW)

    def test_bad_weights(self):
        for weight, reason in (("-1", "weight is below 0: '-1'"), ("NaN", "weight is not a number"), ("", "weight is empty")):
            path = self.write("r.csv", "1,2,3,4,1\n1,3,3,4,%s\n" % weight)
            self.refuse([path], "--columns", self.COLUMNS, says=["r.csv:2:9:", reason])
            self.check([path], [("1", "2", "3", 4, "1")], "--columns", self.COLUMNS, "--on-bad-line", "skip",
                       has_weight=True, ranks=(2,))
        self.refuse([path], "--columns", "user=1,item=2,weight=9", says="5 columns, expected at least 9")

    def test_info(self):
        path = self.write("r.csv", as_text(self.ratings(200, 30, 20, 56)))
        code, text, output = self.run_import([path], 2, "--columns", self.COLUMNS)
        self.assertEqual(code, 0, text)
        self.assertIn("weight 5", text)
        said = subprocess.run([GRIDMF, "info", str(output)], capture_output=True, text=True, check=True).stdout
        for word in ("ratings/weight", "min_weight", "max_weight"):
            self.assertIn(word, said)

    def test_damaged_weights(self):
        path = self.write("r.csv", as_text(self.ratings(200, 30, 20, 57)))
        _, _, output = self.run_import([path], 1, "--columns", self.COLUMNS)
        for value in (-1.0, np.nan):
            with h5py.File(output, "r+") as f:
                f["ratings/weight"][3] = value
            command = [*MPIRUN, "-n", "2", GRIDMF, "split", output, "--train", self.dir / "a.h5", "--test",
                       self.dir / "b.h5", "--method", "random", "--count", "1"]
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
            self.assertEqual(done.returncode, DATA, done.stderr)
            self.assertIn("/ratings/weight[3] is not a finite number of 0 or more", done.stderr)


class BadInput(ImportCase):
    def test_bad_lines(self):
        good = "".join(f"{k},{k % 5},3.5,{k}\n" for k in range(50))
        for line, column, reason in (  # tests/io/test_text_reader.c has them all
                ("1,2,NaN,4", 5, "rating is not a number"), ("1,2,1e400,4", 5, "too large"),
                ('1,"2,3,4', 3, "does not end on its line"), (b"1,\xff\xfe,3,4", 3, "UTF-8"),
                ("1,2,3,4," + "y" * (1 << 20), 1, "longer than 1 MiB"), ("9" * 30 + ",2,3,4", 1, "64 bits")):
            line = line if isinstance(line, bytes) else line.encode()
            path = self.write("bad.csv", good.encode() + line + b"\n" + good.encode() + b"x,y,z,w\n")
            with self.subTest(line=line[:20]):
                says = [f"bad.csv:51:{column}:", reason]
                if b"9999" in line:  # every other id has to be an integer
                    path = self.write("bad.csv", good.encode() + line + b"\n" + good.encode())
                self.refuse([path], says=says)

    def test_first_of_several_files(self):
        good = self.write("good.csv", "1,2,3\n")
        bad = self.write("bad.csv", "1,2,3\n\n4,5,x\n")
        worse = self.write("worse.csv", "1,2,y\n")
        self.refuse([good, bad, worse], says="bad.csv:3:5:", ranks=RANKS)
        zipped = self.write("z.csv.gz", gzip.compress(b"1,2,3\n\n4,5,x\n"))
        self.refuse([good, zipped, worse], says="z.csv.gz:3:5:", ranks=RANKS)

    def test_files_that_are_no_ratings(self):
        self.refuse([self.dir / "missing.csv"], code=NO_INPUT, says="missing.csv")
        self.refuse([self.dir], code=NO_INPUT, says="folder")
        self.refuse([self.write("empty.csv", "")], says="is empty")
        self.refuse([self.write("header.csv", "userId,movieId,rating\n")], says="no ratings")
        self.refuse([self.write("names.csv", "foo,bar,stars\n1,2,3\n")], says="does not tell the user column")
        self.refuse([self.write("page.csv", "\n<!DOCTYPE html><html>")], says="HTML")
        self.refuse([self.write("zip.csv", b"PK\x03\x04" + bytes(100))], says="zip")
        with h5py.File(self.dir / "model.h5", "w") as f:
            f["x"] = [1]
        self.refuse([self.dir / "model.h5"], says="HDF5")
        self.refuse([self.write("noise.csv", bytes(range(256)) * 4)], says="binary")
        self.refuse([self.write("words.txt", "1 2 3\n")], says="--format")
        self.refuse([self.write("a.csv", "1,2,3\n"), self.write("b.csv", "1,2,3,4\n")], says="time column")

    def test_bad_options(self):
        path = self.write("r.csv", "userId,movieId,rating\n1,2,3\n")
        self.refuse([path], "--columns", "user=1", code=USAGE, says="item=")
        self.refuse([path], "--columns", "user=0,item=2", code=USAGE, says="counted from 1")
        self.refuse([path], "--columns", "usr=1,item=2", code=USAGE, says="usr")
        self.refuse([path], "--columns", "user=1,item=1", code=USAGE, says="two meanings")
        self.refuse([path], "--columns", "user=uid,item=movieId", says="'uid'")
        code, text, _ = self.run_import([path], 2, output=self.dir / "none" / "out.h5")
        self.assertEqual(code, CREATE, text)


if __name__ == "__main__":
    unittest.main()
