"""gridmf-query against NumPy: model files made with h5py, every verb and format, hostile files.

GRIDMF_QUERY names the program.
"""

import csv
import io
import json
import os
import pathlib
import subprocess
import tempfile
import unittest

import h5py
import numpy as np

QUERY = os.environ["GRIDMF_QUERY"]


class Model:
    """A random model as gridmf writes it; keyword arguments are written in place of what they name."""

    def __init__(self, m=40, n=60, k=7, seed=1, text_ids=False, is_sorted=True, bias=True, seen=True, counts=True):
        rng = np.random.default_rng(seed)
        self.x = rng.standard_normal((m, k)).astype("f4")
        self.y = rng.standard_normal((n, k)).astype("f4")
        self.b_users = rng.standard_normal(m).astype("f4") if bias else None
        self.b_items = rng.standard_normal(n).astype("f4") if bias else None
        self.mean = 3.5 if bias else 0.0
        self.user_ids = self.make_ids(rng, m, text_ids, is_sorted)
        self.item_ids = self.make_ids(rng, n, text_ids, is_sorted)
        self.is_sorted = is_sorted
        sizes = rng.integers(0, n // 2 + 1, m)
        self.seen = [np.sort(rng.choice(n, size, replace=False)) for size in sizes] if seen else None
        self.user_counts = np.ones(m, "i8") if counts else None
        self.item_counts = np.ones(n, "i8") if counts else None
        self.attributes = {
            "format": "gridmf-model", "format_version": "1.0", "algorithm": "als", "complete": 1, "factors": k,
            "global_mean": self.mean, "lambda": 0.05, "iterations": 15, "lambda_scale": "count", "n_users": m,
        }

    @staticmethod
    def make_ids(rng, n, text_ids, is_sorted):
        numbers = rng.choice(10**6, n, replace=False) - 1000
        ids = np.array(["id-é%d" % i for i in numbers]) if text_ids else numbers.astype("i8")
        if text_ids:
            ids = np.array(sorted(ids, key=lambda s: s.encode()))
        else:
            ids = np.sort(ids)
        return ids if is_sorted else rng.permutation(ids)

    def score(self, u, i):
        s = self.mean + self.x[u].astype("f8") @ self.y[i].astype("f8").T
        if self.b_users is not None:
            s = s + float(self.b_users[u]) + self.b_items[i].astype("f8")
        return s

    def top(self, u, n, include_seen=False, allow=None, deny=()):
        s = self.score(u, np.arange(len(self.y))).astype("f8")
        candidates = np.ones(len(s), bool) if allow is None else np.isin(np.arange(len(s)), allow)
        candidates[list(deny)] = False
        if self.item_counts is not None:
            candidates &= self.item_counts > 0
        if self.seen is not None and not include_seen:
            candidates[self.seen[u]] = False
        order = np.lexsort((np.arange(len(s)), -s))
        return [i for i in order if candidates[i]][:n]

    def write(self, path):
        # As gridmf writes: metadata with checksums. In files without them HDF5 itself may fall over a flipped bit.
        with h5py.File(path, "w", libver=("v108", "v108")) as f:
            for name, value in self.attributes.items():
                f.attrs[name] = value
            for side, factors, bias, ids, counts in (
                ("users", self.x, self.b_users, self.user_ids, self.user_counts),
                ("items", self.y, self.b_items, self.item_ids, self.item_counts),
            ):
                f[side + "/factors"] = factors
                if bias is not None:
                    f[side + "/bias"] = bias
                if counts is not None:
                    f[side + "/count"] = counts
                if ids.dtype.kind == "U":
                    width = max(len(s.encode()) for s in ids)
                    dtype = h5py.string_dtype("utf-8", width)
                    f[side + "/id"] = np.array([s.encode() for s in ids], dtype=dtype)
                else:
                    f[side + "/id"] = ids
                if self.is_sorted:
                    f[side + "/id"].attrs["sorted"] = 1
            if self.seen is not None:
                f["seen/indptr"] = np.concatenate([[0], np.cumsum([len(s) for s in self.seen])]).astype("i8")
                f["seen/indices"] = np.concatenate(self.seen).astype("i4") if self.seen else np.zeros(0, "i4")
            f["history/iteration"] = np.arange(1, 4)
            f["history/objective"] = np.array([9.5, 4.25, 2.125])
            f.create_group("provenance").attrs["host"] = "node \"7\""
        return path


def run(*args, stdin=None, env=None):
    env = {**os.environ, **(env or {})}
    return subprocess.run([QUERY, *map(str, args)], input=stdin, capture_output=True, timeout=120, check=False, env=env)


class Case(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name, "model.h5")

    def file(self, name, content):
        path = pathlib.Path(self.folder.name, name)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def good(self, *args, stdin=None):
        result = run(*args, stdin=stdin)
        self.assertEqual(result.returncode, 0, result.stderr.decode())
        return result.stdout.decode()

    def bad(self, code, pattern, *args):
        result = run(*args)
        text = result.stderr.decode()
        self.assertEqual(result.returncode, code, text)
        self.assertRegex(text, "^gridmf-query: .*(" + pattern + ")")
        self.assertEqual(text.count("\n"), 1, text)
        return result.stdout.decode()

    def json_lines(self, *args, stdin=None):
        return [json.loads(line) for line in self.good(*args, "--format", "json", stdin=stdin).splitlines()]

    def check_list(self, model, answer, u, expected):
        self.assertEqual(answer["user"], str(model.user_ids[u]))
        self.assertEqual([e["item"] for e in answer["items"]], [str(model.item_ids[i]) for i in expected])
        np.testing.assert_allclose([e["score"] for e in answer["items"]], model.score(u, np.array(expected, "i8")),
                                   rtol=1e-5, atol=1e-5)


class Recommend(Case):
    def test_kinds_of_models(self):
        for options in (
            {}, {"text_ids": True}, {"is_sorted": False}, {"text_ids": True, "is_sorted": False}, {"bias": False},
            {"counts": False}, {"seen": False}, {"k": 1}, {"k": 64}, {"k": 131, "n": 700}, {"m": 1, "n": 1},
            {"m": 150, "n": 1100, "k": 16},
        ):
            with self.subTest(**options):
                model = Model(**options)
                model.write(self.path)
                answers = self.json_lines(self.path, "recommend", "--all", "--top", 12)
                self.assertEqual(len(answers), len(model.x))
                for u, answer in enumerate(answers):
                    self.check_list(model, answer, u, model.top(u, 12))

    def test_single_is_batch(self):
        """One user at a time, on any number of threads and any kernel, the same bytes as all at once."""
        model = Model(m=70, n=900, k=33)
        model.write(self.path)
        batch = self.good(self.path, "recommend", "--all", "--top", 5, "--format", "json", "--threads", 2).splitlines()
        for u in (0, 1, 69):
            for threads in (1, 3):
                one = self.good(self.path, "recommend", "--user", model.user_ids[u], "--top", 5, "--format", "json",
                                "--threads", threads)
                self.assertEqual(one, batch[u] + "\n")

    def test_score_is_recommend(self):
        model = Model(m=70, n=900, k=33)
        model.write(self.path)
        best = self.json_lines(self.path, "recommend", "--user", model.user_ids[3], "--top", 1)[0]["items"][0]
        pair = self.json_lines(self.path, "score", "--user", model.user_ids[3], "--item", best["item"])[0]
        self.assertEqual(pair["score"], best["score"])

    def test_ties_go_to_the_lower_row(self):
        model = Model(n=300, bias=False, is_sorted=False, seen=False)
        model.y[:] = np.tile(model.y[:3], (100, 1))
        model.write(self.path)
        for u, answer in enumerate(self.json_lines(self.path, "recommend", "--all", "--top", 130)):
            self.check_list(model, answer, u, model.top(u, 130))

    def test_include_seen(self):
        model = Model()
        model.write(self.path)
        answers = self.json_lines(self.path, "recommend", "--all", "--top", 60, "--include-seen")
        for u, answer in enumerate(answers):
            self.assertEqual(len(answer["items"]), 60)
            self.check_list(model, answer, u, model.top(u, 60, include_seen=True))

    def test_short_lists_are_not_padded(self):
        model = Model()
        model.seen[5] = np.arange(60)
        model.write(self.path)
        answers = self.json_lines(self.path, "recommend", "--all", "--top", 1000)
        self.assertEqual(answers[5]["items"], [])
        self.assertEqual([len(a["items"]) for a in answers], [60 - len(s) for s in model.seen])

    def test_allow_and_deny(self):
        for n, step in ((60, 2), (3000, 1), (3000, 3), (3000, 97)):
            model = Model(n=n)
            model.write(self.path)
            allow, deny = np.arange(1, n, step)[::-1], np.arange(0, n, 5)
            allow_file = self.file("allow", "".join("%d\r\n" % model.item_ids[i] for i in allow) + "nonsense\n")
            deny_file = self.file("deny", "\n\n".join("%d" % model.item_ids[i] for i in deny))
            for args, sets in (
                (("--allow", allow_file), {"allow": allow}), (("--deny", deny_file), {"deny": deny}),
                (("--allow", allow_file, "--deny", deny_file), {"allow": allow, "deny": deny}),
            ):
                answers = self.json_lines(self.path, "recommend", "--all", "--top", 9, *args)
                for u, answer in enumerate(answers):
                    self.check_list(model, answer, u, model.top(u, 9, **sets))
        result = run(self.path, "recommend", "--all", "--allow", allow_file)
        self.assertRegex(result.stderr.decode(), "1 of .* items are not in the model: 'nonsense'")

    def test_unknown_and_cold_users(self):
        model = Model()
        model.user_counts[[2, 4]] = 0
        model.write(self.path)
        ids = [model.user_ids[1], "nobody", model.user_ids[2], model.user_ids[3]]
        users = self.file("users", "".join("%s\n" % i for i in ids))
        for args in (("--users-file", users), [a for i in ids for a in ("--user", i)]):
            answers = self.json_lines(self.path, "recommend", "--top", 4, *args)
            self.check_list(model, answers[0], 1, model.top(1, 4))
            self.assertEqual(answers[1], {"user": "nobody", "status": "unknown", "items": []})
            self.assertEqual(answers[2], {"user": str(model.user_ids[2]), "status": "cold", "items": []})
            self.check_list(model, answers[3], 3, model.top(3, 4))
        out = self.bad(65, "user 'nobody' is not in the model", self.path, "recommend", "--user", "nobody",
                       "--format", "json")
        self.assertEqual(json.loads(out), {"user": "nobody", "status": "unknown", "items": []})
        self.bad(65, "none of the 2 users", self.path, "recommend", "--user", "a", "--user", "b")
        self.bad(65, "user '00%d' is not" % model.user_ids[1], self.path, "recommend", "--user", "00%d" % model.user_ids[1])

    def test_cold_items_are_left_out(self):
        model = Model()
        model.item_counts[::3] = 0
        model.write(self.path)
        for u, answer in enumerate(self.json_lines(self.path, "recommend", "--all", "--top", 60)):
            self.check_list(model, answer, u, model.top(u, 60))

    def test_users_from_stdin(self):
        model = Model(text_ids=True)
        model.write(self.path)
        answers = self.json_lines(self.path, "recommend", "--users-file", "-", "--top", 3,
                                  stdin="\ufeff{}\n".format(model.user_ids[7]).encode())
        self.check_list(model, answers[0], 7, model.top(7, 3))

    def test_csv(self):
        model = Model(text_ids=True)
        model.item_ids[3] = 'comma, "quote"'
        model.is_sorted = False
        model.write(self.path)
        rows = list(csv.DictReader(io.StringIO(self.good(self.path, "recommend", "--all", "--top", 60, "--format", "csv"))))
        expected = [(str(model.user_ids[u]), str(rank + 1), str(model.item_ids[i]))
                    for u in range(40) for rank, i in enumerate(model.top(u, 60))]
        self.assertEqual([(r["user"], r["rank"], r["item"]) for r in rows], expected)

    def test_table(self):
        model = Model()
        model.write(self.path)
        lines = self.good(self.path, "recommend", "--user", model.user_ids[0], "--user", model.user_ids[1], "--top", 3)
        lines = lines.split("\n")
        self.assertEqual(lines[0], "user %d" % model.user_ids[0])
        self.assertEqual(lines[1].split(), ["rank", "score", "item"])
        self.assertEqual([line.split()[2] for line in lines[2:5]], [str(model.item_ids[i]) for i in model.top(0, 3)])
        self.assertEqual(lines[6], "user %d" % model.user_ids[1])


class Titles(Case):
    def setUp(self):
        super().setUp()
        self.model = Model()
        self.model.write(self.path)
        self.best = self.model.top(0, 3)
        self.ids = [str(self.model.item_ids[i]) for i in self.best]
        self.user = self.model.user_ids[0]

    def titles(self, name, content):
        path = self.file(name, content)
        answer = self.json_lines(self.path, "recommend", "--user", self.user, "--top", 3, "--titles", path)[0]
        return [e["title"] for e in answer["items"]]

    def test_layouts(self):
        a, b, c = self.ids
        expected = ["Amélie, \"2\" (2001)", "Heat", ""]
        quoted = '"Amélie, ""2"" (2001)"'
        self.assertEqual(self.titles("t.csv", f"movieId,title,genres\r\n{a},{quoted},Comedy|Drama\r\n{b},Heat,\r\n"), expected)
        self.assertEqual(self.titles("t.csv", f"\ufeff{a},{quoted}\n{b},Heat\n{b},Second"), expected)
        self.assertEqual(self.titles("t.csv", f"book,year,Title\n{a},1,{quoted}\n{b},2,Heat"), expected)
        self.assertEqual(self.titles("t.tsv", f'{a}\tAmélie, "2" (2001)\n{b}\tHeat\t\n'), expected)
        latin = f'{a}::Amélie, "2" (2001)::Drama\n{b}::Heat::x'.encode("latin-1")
        self.assertEqual(self.titles("movies.dat", latin), expected)
        self.assertEqual(self.titles("u.item", f"{a}|Up|01-Jan-1995||\n{c}|Down"), ["Up", "", "Down"])
        self.assertEqual(self.titles("t.csv", f'{a},"two\nlines"\n{b},"not closed'), ["two\nlines", "not closed", ""])

    def test_formats(self):
        a, b, _ = self.ids
        path = self.file("t.csv", f"{a},寿司 Ü,Action\n{b},\x1b[31mred\x07,Drama\n")
        table = self.good(self.path, "recommend", "--user", self.user, "--top", 3, "--titles", path).split("\n")
        self.assertIn("寿司 Ü", table[2])
        self.assertTrue(table[2].endswith("  Action"))
        self.assertIn("?[31mred?", table[3])
        self.assertNotIn("\x1b", "".join(table))
        rows = self.good(self.path, "recommend", "--user", self.user, "--top", 1, "--titles", path, "--format", "csv")
        self.assertRegex(rows, "^user,rank,item,score,title\n.*,寿司 Ü\n$")
        pair = self.json_lines(self.path, "score", "--user", self.user, "--item", a, "--titles", path)[0]
        self.assertEqual(pair["title"], "寿司 Ü")
        self.assertIn("寿司 Ü", self.good(self.path, "score", "--user", self.user, "--item", a, "--titles", path))

    def test_bad_titles(self):
        self.bad(66, "No such file", self.path, "recommend", "--all", "--titles", "nowhere.csv")
        self.bad(65, "no line has an id and a title", self.path, "recommend", "--all", "--titles", self.file("e", ""))
        for header, says in (("userId,movieId,rating,timestamp", "holds ratings, not titles"), ("title,movieId", "first column is 'title'")):
            path = self.file("t.csv", f"{header}\n1,2,3,4\n")
            self.bad(65, says, self.path, "recommend", "--all", "--titles", path)


class Score(Case):
    def setUp(self):
        super().setUp()
        self.model = Model()
        self.model.user_counts[3] = 0
        self.model.item_counts[4] = 0
        self.model.write(self.path)
        self.users, self.items = self.model.user_ids, self.model.item_ids

    def test_pairs(self):
        args = [a for u in range(3) for a in ("--user", self.users[u], "--item", self.items[u + 1])]
        answers = self.json_lines(self.path, "score", *args)
        for u, answer in enumerate(answers):
            self.assertEqual((answer["user"], answer["item"]), (str(self.users[u]), str(self.items[u + 1])))
            self.assertAlmostEqual(answer["score"], float(self.model.score(u, np.array([u + 1]))[0]), 4)
        many = self.json_lines(self.path, "score", "--user", self.users[0], "--item", self.items[1], "--item", self.items[2])
        self.assertEqual([a["item"] for a in many], [str(self.items[1]), str(self.items[2])])
        self.assertEqual(many[0], answers[0])

    def test_without_score(self):
        args = ["--user", self.users[0], "--item", "none", "--item", self.items[4], "--item", self.items[1]]
        answers = self.json_lines(self.path, "score", *args)
        self.assertEqual([(a["score"], a.get("status")) for a in answers[:2]], [(None, "unknown"), (None, "cold")])
        self.assertNotIn("status", answers[2])
        rows = self.good(self.path, "score", *args, "--format", "csv").split("\n")
        self.assertEqual(rows[:2], ["user,item,score", "%s,none,NaN" % self.users[0]])
        self.assertEqual(self.good(self.path, "score", *args).split("\n")[1].split(), [str(self.users[0]), "none", "-"])
        cold = self.json_lines(self.path, "score", "--user", self.users[3], "--item", self.items[1])
        self.assertEqual(cold[0]["status"], "cold")
        self.bad(65, "item 'x' is not in the model", self.path, "score", "--user", self.users[0], "--item", "x")
        self.bad(65, "user 'x' is not in the model", self.path, "score", "--user", "x", "--item", self.items[0])


class Info(Case):
    def test_info(self):
        model = Model(m=12, n=34, k=5)
        model.write(self.path)
        info = json.loads(self.good(self.path, "info", "--format", "json"))
        expected = {"algorithm": "als", "n_users": 12, "n_items": 34, "factors": 5, "lambda": 0.05, "iterations": 15,
                    "lambda_scale": "count", "format_version": "1.0", "global_mean": 3.5, "has_bias": True,
                    "has_seen": True, "n_seen": sum(map(len, model.seen)),
                    "history": {"iteration": 3, "objective": 2.125}, "provenance": {"host": 'node "7"'}}
        for key, value in expected.items():
            self.assertEqual(info[key], value, key)
        rows = dict(csv.reader(io.StringIO(self.good(self.path, "info", "--format", "csv"))))
        self.assertEqual((rows["factors"], rows["history/objective"], rows["provenance/host"]), ("5", "2.125", 'node "7"'))
        table = dict(line.split(None, 1) for line in self.good(self.path, "info").splitlines())
        self.assertEqual((table["n_items"], table["lambda"]), ("34", "0.05"))


class CommandLine(Case):
    def setUp(self):
        super().setUp()
        Model().write(self.path)

    def test_help(self):
        for args in (("--help",), (self.path, "--help"), ("recommend", "--help"), (self.path, "score", "--help")):
            self.assertIn("Usage: gridmf-query MODEL", self.good(*args))
        self.assertNotIn("--measure", self.good("recommend", "--help"))
        self.assertNotIn("--item", self.good("recommend", "--help"))
        self.assertRegex(self.good("--version"), "^gridmf-query [0-9.]+ .*\nlibgridmf .*HDF5 .*kernels ")

    def test_manual_has_every_option(self):
        manual = self.good("--manual")
        for word in self.good("--help").split():
            if word.startswith("--") and "help" not in word:
                self.assertIn("Fl -" + word[2:], manual)

    def test_usage(self):
        self.bad(64, "no model given")
        self.bad(64, "model comes before the verb", "recommend")
        self.bad(64, "model comes before the verb", "recommend", self.path)
        self.bad(64, "no verb given", self.path)
        self.bad(64, "unknown verb 'quantum'; verbs are recommend, similar-items,", self.path, "quantum")
        self.bad(64, "similar-items needs --item", self.path, "similar-items")
        self.bad(64, "similar-users needs --user", self.path, "similar-users")
        self.bad(64, "unknown option --all", self.path, "similar-items", "--all")
        self.bad(64, "did you mean recommend", self.path, "recomend")
        self.bad(64, "unknown option --tpo; did you mean --top", self.path, "recommend", "--tpo", 3)
        self.bad(64, "unknown option --item", self.path, "recommend", "--item", 3)
        self.bad(64, "from 1 to", self.path, "recommend", "--all", "--top", "0")
        self.bad(64, "whole number", self.path, "recommend", "--all", "--top", "3x")
        self.bad(64, "did you mean json", self.path, "recommend", "--all", "--format", "jsn")
        self.bad(64, "one of --user", self.path, "recommend")
        self.bad(64, "one of --user", self.path, "recommend", "--all", "--user", 1)
        self.bad(64, "unexpected argument '42'", self.path, "recommend", "42")
        self.bad(64, "score needs", self.path, "score", "--user", 1)
        self.bad(66, "No such file", self.path, "recommend", "--users-file", "nowhere")
        self.bad(65, "holds no user id", self.path, "recommend", "--users-file", self.file("empty", "\n \n"))

    def test_options_may_come_first(self):
        self.assertEqual(self.good("--format", "json", self.path, "info"), self.good(self.path, "info", "--format=json"))


class HostileFiles(Case):
    def everything_fails(self, code, pattern):
        for args in (("recommend", "--all"), ("score", "--user", "1", "--item", "1"), ("info",)):
            self.bad(code, pattern, self.path, *args)

    def test_no_model(self):
        self.everything_fails(66, "No such file")
        for content, pattern in ((b"", "empty"), (b"<!DOCTYPE html><html>", "HTML"), (b"1,2,3\n", "text"),
                                 (b"\x1f\x8b\x08", "gzip"), (b"\0" * 3000, "binary")):
            self.path.write_bytes(content)
            self.everything_fails(65, pattern)
        self.bad(66, "folder", self.folder.name, "info")

    def test_truncated(self):
        Model(m=300, n=300).write(self.path)
        content = self.path.read_bytes()
        for size in (len(content) - 1, len(content) // 2, 3000, 600, 100):
            self.path.write_bytes(content[:size])
            self.everything_fails(65, "model.h5")

    def test_wrong_kind(self):
        for name, value, pattern in (
            ("format", "gridmf-dataset", "is a gridmf-dataset"), ("format", "other", "not one that gridmf wrote"),
            ("format_version", "2.0", "format version 2.0"), ("complete", 0, "not complete"),
            ("algorithm", "word2vec", "algorithm 'word2vec'"), ("factors", 8, "columns"), ("factors", -1, "out of range"),
            ("factors", 2**40, "out of range"), ("global_mean", np.nan, "finite"), ("algorithm", 5, "algorithm"),
        ):
            model = Model()
            model.attributes[name] = value
            model.write(self.path)
            self.everything_fails(65, pattern)
        with h5py.File(self.path, "w") as f:
            f["x"] = 1
        self.everything_fails(65, "not one that gridmf wrote")

    def replace(self, name, data):
        Model().write(self.path)
        with h5py.File(self.path, "r+") as f:
            del f[name]
            if data is not None:
                f[name] = data

    def test_wrong_shapes(self):
        for name, data in (
            ("users/factors", np.zeros((40, 6), "f4")), ("users/factors", np.zeros((41, 7), "f4")),
            ("items/factors", np.zeros(60, "f4")), ("items/factors", np.zeros((60, 7), "i4")), ("items/factors", None),
            ("items/bias", np.zeros(59, "f4")), ("users/bias", np.zeros((40, 1), "f4")),
            ("users/id", np.zeros(39, "i8")), ("users/id", np.zeros(40, "f4")), ("items/id", None),
            ("users/id", np.zeros(40, "S5000")), ("users/count", np.zeros(1, "i8")),
            ("seen/indptr", np.zeros(40, "i8")), ("seen/indptr", np.zeros(41, "f8")), ("seen/indices", None),
            ("seen/indices", np.zeros((5, 5), "i8")), ("users/factors", np.float32(3)),
        ):
            with self.subTest(name=name):
                self.replace(name, data)
                self.everything_fails(65, name if data is None else "model.h5")

    def test_huge_claims(self):
        """Sizes that nothing is stored for."""
        for name, shape in (("items/factors", (2**40, 7)), ("users/factors", (2**61, 7)), ("items/factors", (2**62, 7))):
            Model().write(self.path)
            with h5py.File(self.path, "r+") as f:
                del f[name]
                space = h5py.h5s.create_simple(shape)
                create = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                create.set_chunk((1000, 7))
                h5py.h5d.create(f.id, name.encode(), h5py.h5t.IEEE_F32LE, space, create)
            self.everything_fails(65, "not stored|impossible")

    def test_bad_seen(self):
        def write(indptr, indices):
            Model().write(self.path)
            with h5py.File(self.path, "r+") as f:
                del f["seen/indptr"], f["seen/indices"]
                f["seen/indptr"], f["seen/indices"] = np.array(indptr, "i8"), np.array(indices, "i8")
        good = [0] * 40
        for indptr, indices in ((good + [1], [60]), (good + [1], [-1]), (good + [2], [1]), ([-1] + good, []),
                                ([0, 5] + [0] * 39, [1] * 5), (good + [100], [1] * 100), (good + [2**62], [1])):
            write(indptr, indices)
            self.bad(65, "damaged: /seen", self.path, "recommend", "--all")
            self.good(self.path, "recommend", "--all", "--include-seen")

    def test_bad_numbers(self):
        for value in (np.nan, np.inf, -np.inf, 1e30):
            for name, row in (("x", 20), ("y", 59), ("b_users", 20), ("b_items", 59)):
                model = Model()
                getattr(model, name)[row] = value
                model.write(self.path)
                self.bad(65, "damaged: row %d of" % row, self.path, "recommend", "--all")
                pair = ("--user", model.user_ids[20], "--item", model.item_ids[59])
                self.bad(65, "damaged: row %d of" % row, self.path, "score", *pair)

    def test_bad_ids(self):
        for ids in (np.zeros(40, "i8"), np.arange(40)[::-1].copy()):
            self.replace("users/id", ids)
            with h5py.File(self.path, "r+") as f:
                f["users/id"].attrs["sorted"] = 1
            self.bad(65, "not sorted", self.path, "recommend", "--user", 1)

    def test_flipped_bytes(self):
        """Any bytes may be wrong: a clear end, never a crash.

        But for the texts of attributes: they lie in HDF5's global heap, which has no checksum.
        """
        Model(m=5, n=5, k=2).write(self.path)
        content = self.path.read_bytes()
        heap = content.find(b"GCOL")
        rng = np.random.default_rng(5)
        for _ in range(60):
            broken = bytearray(content)
            for at in rng.integers(0, len(content), 8):
                broken[at] ^= 1 << rng.integers(0, 8)
            broken[heap:heap + 4096] = content[heap:heap + 4096]
            self.path.write_bytes(broken)
            # HDF5 loses a few bytes when it gives up on a file.
            result = run(self.path, "recommend", "--all", "--top", 3, env={"ASAN_OPTIONS": "detect_leaks=0"})
            self.assertIn(result.returncode, (0, 65, 66, 71, 74), result.stderr.decode())


if __name__ == "__main__":
    unittest.main()
