"""The verbs of gridmf-query beyond recommend and score, against NumPy: similar rows, fallbacks, streams;
and how much it reads.

GRIDMF_QUERY names the program.
"""

import csv
import io
import json
import os
import pathlib
import re
import subprocess
import unittest

import h5py
import numpy as np
from test_query import QUERY, Case, Model


def likenesses(rows, query, measure):
    rows = rows.astype("f8")
    if measure == "dot":
        return rows @ rows[query]
    lengths = np.linalg.norm(rows, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return rows @ rows[query] / (lengths * lengths[query])


def best(scores, n, candidates):
    order = np.lexsort((np.arange(len(scores)), -scores))
    return [i for i in order if candidates[i]][:n]


class Similar(Case):
    def check(self, model, verb, query, measure="cosine", top=12, allow=None, deny=(), args=()):
        side, rows, ids = ("item", model.y, model.item_ids) if verb == "similar-items" else ("user", model.x, model.user_ids)
        answer, = self.json_lines(self.path, verb, "--" + side, ids[query], "--top", top, "--measure", measure, *args)
        scores = likenesses(rows, query, measure)
        counts = model.item_counts if side == "item" else model.user_counts
        candidates = np.ones(len(rows), bool) if allow is None else np.isin(np.arange(len(rows)), allow)
        candidates[list(deny)] = False
        candidates[query] = False
        candidates &= (counts > 0) & (np.linalg.norm(rows, axis=1) > 0 if measure == "cosine" else True)
        expected = best(scores, top, candidates)
        self.assertEqual(answer[side], str(ids[query]))
        self.assertEqual([e[side] for e in answer[side + "s"]], [str(ids[i]) for i in expected])
        np.testing.assert_allclose([e["score"] for e in answer[side + "s"]], scores[expected], rtol=1e-5, atol=1e-6)

    def test_against_numpy(self):
        for options in ({}, {"text_ids": True}, {"bias": False, "k": 1}, {"m": 700, "n": 900, "k": 64}, {"is_sorted": False}):
            model = Model(**options)
            model.y[5] = 0
            model.x[6] = 0
            model.item_counts[7] = 0
            model.user_counts[8] = 0
            model.write(self.path)
            for verb in ("similar-items", "similar-users"):
                for measure in ("cosine", "dot"):
                    for query in (0, 3, 39):
                        with self.subTest(verb=verb, measure=measure, query=query, **options):
                            self.check(model, verb, query, measure)

    def test_allow_and_deny(self):
        model = Model(n=2000)
        model.write(self.path)
        allow, deny = np.arange(1, 2000, 3), np.arange(0, 2000, 5)
        allow_file = self.file("allow", "".join("%d\n" % model.item_ids[i] for i in allow))
        deny_file = self.file("deny", "".join("%d\n" % model.item_ids[i] for i in deny))
        self.check(model, "similar-items", 4, allow=allow, deny=deny, args=("--allow", allow_file, "--deny", deny_file))

    def test_a_row_of_zeros_is_like_nothing(self):
        model = Model()
        model.y[5] = 0
        model.write(self.path)
        answer, = self.json_lines(self.path, "similar-items", "--item", model.item_ids[5], "--top", 3)
        self.assertEqual([e["score"] for e in answer["items"]], [0, 0, 0])

    def test_several_unknown_and_cold(self):
        model = Model()
        model.item_counts[2] = 0
        model.write(self.path)
        ids = [str(model.item_ids[1]), "nothing", str(model.item_ids[2])]
        answers = self.json_lines(self.path, "similar-items", *[a for i in ids for a in ("--item", i)], "--top", 4)
        self.assertEqual([a["item"] for a in answers], ids)
        self.assertEqual([a.get("status") for a in answers], [None, "unknown", "cold"])
        self.assertEqual([len(a["items"]) for a in answers], [4, 0, 0])
        self.bad(65, "user 'x' is not in the model", self.path, "similar-users", "--user", "x")
        self.bad(65, "none of the 2 items", self.path, "similar-items", "--item", "x", "--item", "y")

    def test_popularity_has_none(self):
        model = Model(k=1, bias=False)
        model.attributes["algorithm"] = "popularity"
        model.write(self.path)
        self.bad(64, "no factors to compare", self.path, "similar-items", "--item", model.item_ids[0])

    def test_formats(self):
        model = Model()
        model.write(self.path)
        scores = likenesses(model.x, 3, "cosine")
        scores[3] = -2
        first = str(model.user_ids[np.argmax(scores)])
        rows = list(csv.DictReader(io.StringIO(
            self.good(self.path, "similar-users", "--user", model.user_ids[3], "--format", "csv"))))
        self.assertEqual(list(rows[0]), ["user", "rank", "similar_user", "score"])
        self.assertEqual(rows[0]["similar_user"], first)
        lines = self.good(self.path, "similar-users", "--user", model.user_ids[3]).split("\n")
        self.assertEqual((lines[1].split(), lines[2].split()[2]), (["rank", "score", "user"], first))


class Fallback(Case):
    def test_popular(self):
        model = Model(n=3000)
        model.item_counts[:] = np.random.default_rng(3).integers(0, 40, 3000)
        model.user_counts[4] = 0
        model.write(self.path)
        ids = [str(model.user_ids[0]), "nobody", str(model.user_ids[4])]
        deny = np.argsort(-model.item_counts, kind="stable")[:2]
        deny_file = self.file("deny", "".join("%d\n" % model.item_ids[i] for i in deny))
        users = [a for i in ids for a in ("--user", i)]
        answers = self.json_lines(self.path, "recommend", *users, "--top", 30, "--fallback", "popular", "--deny", deny_file)
        candidates = ~np.isin(np.arange(3000), deny) & (model.item_counts > 0)
        expected = best(model.item_counts.astype("f8"), 30, candidates)
        self.check_list(model, answers[0], 0, model.top(0, 30, deny=deny))
        self.assertNotIn("fallback", answers[0])
        for answer, status in zip(answers[1:], ("unknown", "cold")):
            self.assertEqual((answer["status"], answer["fallback"]), (status, "popular"))
            self.assertEqual([e["item"] for e in answer["items"]], [str(model.item_ids[i]) for i in expected])
            self.assertEqual([e["score"] for e in answer["items"]], list(model.item_counts[expected]))
        alone = self.json_lines(self.path, "recommend", "--user", "nobody", "--top", 30, "--fallback", "popular")
        self.assertEqual(len(alone[0]["items"]), 30)
        self.assertIn("most popular items instead",
                      self.good(self.path, "recommend", "--user", "nobody", "--fallback", "popular"))

    def test_without_counts(self):
        model = Model(counts=False)
        model.write(self.path)
        self.bad(65, "does not say how many ratings", self.path, "recommend", "--user", "x", "--fallback", "popular")


class Stream(Case):
    """One answer a line, that of --format json; errors are answers."""

    def stream(self, *lines, args=()):
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        answers = self.good(self.path, "stream", *args, stdin=text.encode()).splitlines()
        return [json.loads(a) for a in answers]

    def setUp(self):
        super().setUp()
        self.model = Model(m=30, n=80, text_ids=True)
        self.model.user_counts[4] = 0
        self.model.attributes["lambda"] = 0.3
        self.model.write(self.path)
        with h5py.File(self.path, "r+") as f:
            f["seen/data"] = np.arange(len(f["seen/indices"])) % 5 + 1.0
        self.users, self.items = (list(map(str, ids)) for ids in (self.model.user_ids, self.model.item_ids))

    def one(self, *args):
        answer, = self.json_lines(self.path, *args)
        return answer

    def test_every_verb_answers_as_the_command(self):
        u, v, i, j = self.users[0], self.users[1], self.items[0], self.items[1]
        ratings = {i: 5, j: 2.5}
        files = {name: self.file(name, "\n".join(ids)) for name, ids in
                 (("allow", self.items[:60]), ("deny", self.items[5:20]))}
        for request, command in (
            ({"verb": "recommend", "user": u}, ("recommend", "--user", u)),
            ({"verb": "recommend", "user": u, "top": 3, "include_seen": True},
             ("recommend", "--user", u, "--top", 3, "--include-seen")),
            ({"verb": "recommend", "user": v, "allow": self.items[:60], "deny": self.items[5:20]},
             ("recommend", "--user", v, "--allow", files["allow"], "--deny", files["deny"])),
            ({"verb": "recommend", "user": self.users[4], "fallback": "popular"},
             ("recommend", "--user", self.users[4], "--fallback", "popular")),
            ({"verb": "similar-items", "item": i, "measure": "dot"}, ("similar-items", "--item", i, "--measure", "dot")),
            ({"verb": "similar-users", "user": u, "top": 99}, ("similar-users", "--user", u, "--top", 99)),
            ({"verb": "score", "user": u, "item": i}, ("score", "--user", u, "--item", i)),
            ({"verb": "explain", "user": u, "item": i, "top": 2}, ("explain", "--user", u, "--item", i, "--top", 2)),
            ({"verb": "fold-in", "ratings": ratings}, ("fold-in", "--ratings", f"{i}:5,{j}:2.5")),
            ({"verb": "fold-in", "ratings": [{"item": i, "value": 5}, {"item": j}]}, ("fold-in", "--ratings", f"{i}:5,{j}")),
            ({"verb": "info"}, ("info",)),
        ):
            with self.subTest(request=request):
                answers = self.stream({"id": 3, **request}, {"id": {"deep": [1.5, None]}, **request}, request)
                expected = self.one(*command)
                self.assertEqual(answers, [{"id": 3, **expected}, {"id": {"deep": [1.5, None]}, **expected}, expected])

    def test_several_in_one_request(self):
        u, v, i, j = self.users[0], self.users[1], self.items[0], self.items[1]
        many, = self.stream({"verb": "recommend", "users": [u, "nobody", v], "top": 2})
        self.assertEqual(many["answers"], self.json_lines(self.path, "recommend", "--user", u, "--user", "nobody", "--user",
                                                          v, "--top", 2))
        pairs, = self.stream({"verb": "score", "user": u, "items": [i, j, "none"]})
        self.assertEqual(pairs["answers"], self.json_lines(self.path, "score", "--user", u, *sum(
            (["--item", x] for x in (i, j, "none")), [])))
        self.assertEqual(self.stream({"verb": "recommend", "users": []}), [{"answers": []}])

    def test_options_are_defaults(self):
        titles = self.file("t.csv", "\n".join(f"{i},T{n}" for n, i in enumerate(self.items)))
        request = {"verb": "recommend", "user": self.users[0]}
        first, second = self.stream(request, {**request, "top": 1}, args=("--top", 4, "--titles", titles))
        self.assertEqual((len(first["items"]), len(second["items"])), (4, 1))
        self.assertTrue(first["items"][0]["title"].startswith("T"))

    def test_whole_numbers_are_ids(self):
        Model().write(self.path)
        with h5py.File(self.path) as f:
            user, item = int(f["users/id"][0]), int(f["items/id"][0])
        first, second = self.stream({"verb": "score", "user": user, "item": item},
                                    {"verb": "score", "user": str(user), "item": str(item)})
        self.assertEqual(first, second)
        self.assertIsNotNone(first["score"])

    def test_errors_are_answers(self):
        u, i = self.users[0], self.items[0]
        good = {"id": "last", "verb": "score", "user": u, "item": i}
        bad = (
            ("nonsense", 64, "no JSON"), ("", None, None), ("[1, 2", 64, "no JSON"), ('"text"', 64, "JSON object"),
            ('{"verb": "info", "verb": "info"}', 64, "duplicate"), ("{" * 5000, 64, "no JSON"), ("\x00", 64, "no JSON"),
            ({"verb": "sing"}, 64, "none of recommend"), ({}, 64, "none of recommend"), ({"verb": 3}, 64, "none of"),
            ({"verb": "recommend"}, 64, "user"), ({"verb": "recommend", "user": u, "users": [u]}, 64, "needs"),
            ({"verb": "recommend", "user": 1.5}, 64, "no id"), ({"verb": "recommend", "users": u}, 64, "no array"),
            ({"verb": "recommend", "user": u, "top": 0}, 64, "top"), ({"verb": "recommend", "user": u, "top": "3"}, 64, "top"),
            ({"verb": "recommend", "user": u, "tpo": 3}, 64, 'no "tpo"'), ({"verb": "info", "|": 1}, 64, "no"),
            ({"verb": "recommend", "user": u, "fallback": "x"}, 64, "popular"),
            ({"verb": "recommend", "user": u, "include_seen": 1}, 64, "true"),
            ({"verb": "fold-in"}, 64, "ratings"), ({"verb": "fold-in", "ratings": {}}, 65, "no rating"),
            ({"verb": "fold-in", "ratings": {i: "5"}}, 64, "no number"), ({"verb": "fold-in", "ratings": [1]}, 64, "no id"),
            ({"verb": "fold-in", "ratings": {i: 1e300}}, 64, "not finite"),
            ({"verb": "explain", "user": u, "item": [i]}, 64, "no id"),
        )
        answers = self.stream(*[line if isinstance(line, str) else {"id": n, **line} for n, (line, _, _) in enumerate(bad)], good)
        self.assertEqual(len(answers), len(bad)) # the empty line has none, and there is the good one
        for n, (line, code, pattern) in enumerate(b for b in bad if b[1]):
            with self.subTest(line=line):
                self.assertEqual(answers[n]["error"]["code"], code)
                self.assertIn(pattern, answers[n]["error"]["text"])
                if not isinstance(line, str):
                    self.assertEqual(bad[answers[n]["id"]][0], line)
        self.assertEqual(answers[-1], {"id": "last", **self.one("score", "--user", u, "--item", i)})

    def test_answers_come_at_once(self):
        with subprocess.Popen([QUERY, self.path, "stream"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as query:
            for n in range(3):
                query.stdin.write(json.dumps({"id": n, "verb": "score", "user": self.users[n], "item": self.items[n]}) + "\n")
                query.stdin.flush()
                self.assertEqual(json.loads(query.stdout.readline())["id"], n)
            query.stdin.close()
            self.assertEqual(query.wait(60), 0)


class Reading(Case):
    def read_by(self, *args):
        """Bytes that a run of gridmf-query read, all of its system calls together."""
        def count():
            return int(re.search(r"rchar: (\d+)", pathlib.Path("/proc/self/io").read_text()).group(1))
        before = count()
        self.good(*args) # its counts become ours when it is waited for
        return count() - before

    @unittest.skipUnless(os.path.exists("/proc/self/io"), "no /proc/self/io here")
    def test_one_user_reads_the_row_and_the_items(self):
        """However many users there are."""
        model = Model(m=60000, n=300, k=64, bias=False)
        model.seen = [s[:3] for s in model.seen]
        model.write(self.path)
        size = os.path.getsize(self.path)
        items = 300 * 64 * 4
        start = self.read_by(self.path, "info")
        read = self.read_by(self.path, "recommend", "--user", model.user_ids[31234]) - start
        self.assertGreater(read, items)
        # HDF5 reads 64 KiB at a time, and the id is found by bisection: 16 steps.
        self.assertLess(read, items + 20 * 65536)
        self.assertLess(start + read, size / 8)


if __name__ == "__main__":
    unittest.main()
