"""The verbs of gridmf-query beyond recommend and score, against NumPy: similar rows, fallbacks.

GRIDMF_QUERY names the program.
"""

import csv
import io
import unittest

import numpy as np
from test_query import Case, Model


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


if __name__ == "__main__":
    unittest.main()
