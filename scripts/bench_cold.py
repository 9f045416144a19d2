#!/usr/bin/env python3
"""Cold start: how well items without a rating are ranked by what their features predict.

    scripts/bench_cold.py ratings.csv movies.csv          MovieLens files; GRIDMF names the program, default gridmf

A fifth of the items is held out with all their ratings. For each user those items are ranked by x.B'f, and compared with
what else can be known of an item without ratings: nothing (popularity is the same for all: ties, which count as chance),
the user's ratings by genre, and what the user has chosen by genre. Of an item with several genres it is the mean over them.
Then a fifth of the ratings of all items is held out instead: rows with ratings must not lose by features. Needs numpy and
h5py.
"""

import argparse
import csv
import json
import os
import pathlib
import re
import subprocess
import tempfile

import h5py
import numpy as np

GRIDMF = os.environ.get("GRIDMF", "gridmf")
OPTIONS = ["--algorithm", "ials", "--alpha", "1", "--lambda", "20", "--factors", "32", "--quiet"]


def run(*words):
    result = subprocess.run([GRIDMF, *map(str, words)], capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}\n{result.stderr}")
    return result.stdout


def read_movies(path):
    """{id: (genres, year or "")}, the year being what stands in brackets at the end of the title."""
    with open(path, encoding="utf-8", newline="") as f:
        return {row["movieId"]: (row["genres"].split("|"), "".join(re.findall(r"\((\d{4})\)\s*$", row["title"])))
                for row in csv.DictReader(f)}


def write_csv(path, header, rows):
    with open(path, "w", encoding="utf-8", newline="") as f:
        csv.writer(f).writerows([header, *rows])
    return path


def mean_metrics(scores, relevant):
    """auc and ndcg@20 over users (rows) that have a relevant item; ties count half in auc, and as chance in ndcg."""
    aucs, ndcgs, discounts = [], [], 1 / np.log2(np.arange(20) + 2)
    for s, positive in zip(scores, relevant):
        n = positive.sum()
        if n == 0 or n == len(s):
            continue
        ordered = np.sort(s[~positive])
        below = np.searchsorted(ordered, s[positive], "left") + np.searchsorted(ordered, s[positive], "right")
        aucs.append(below.sum() / 2 / (n * len(ordered)))
        values, places, sizes = np.unique(-s, return_inverse=True, return_counts=True)
        gains = (np.bincount(places, positive) / sizes)[np.sort(places)][:20]  # of a tie: its share of relevant items
        ndcgs.append(gains @ discounts[:len(gains)] / discounts[:n].sum())
    return {"auc": float(np.mean(aucs)), "ndcg@20": float(np.mean(ndcgs)), "users": len(aucs)}


def genre_baselines(kept, movies, users, held):
    """Scores [users][held] by the user's mean rating of a genre, and by the share of a genre's items that the user has."""
    genres = sorted({g for names, _ in movies.values() for g in names})
    column = {g: j for j, g in enumerate(genres)}

    def of(items):
        f = np.zeros((len(items), len(genres)))
        for row, item in enumerate(items):
            f[row, [column[g] for g in movies[item][0]]] = 1
        return f

    counts, sums = np.zeros((len(users), len(genres))), np.zeros((len(users), len(genres)))
    place = {u: row for row, u in enumerate(users)}
    catalogue = sorted({item for _, item, _, _ in kept})
    rated = dict(zip(catalogue, of(catalogue)))
    for user, item, value, _ in kept:
        counts[place[user]] += rated[item]
        sums[place[user]] += float(value) * rated[item]
    average = sums.sum(0) / np.maximum(counts.sum(0), 1)
    ratings = (sums + 3 * average) / (counts + 3)  # three average ratings, where a user has few
    shares = counts / np.maximum(of(catalogue).sum(0), 1)
    mean = of(held).T / of(held).sum(1)
    return {"genre average of ratings": ratings @ mean, "genre average of choices": shares @ mean}


def predicted(model, users, held):
    with h5py.File(model) as f:
        rows = [np.searchsorted(f[side + "/id"][()], [int(i) for i in ids]) for side, ids in (("users", users), ("items", held))]
        x, y = f["users/factors"][()][rows[0]].astype("f8"), f["items/factors"][()][rows[1]].astype("f8")
        if f["items/count"][()][rows[1]].any():
            raise RuntimeError("a held-out item has ratings in training")
    return x @ y.T


def attach(folder, data, table, out):
    run("attach", data, "--items", table, "--id", "movieId", "--categories", "genres,|", "--numbers", "year", "--intercept",
        "-o", folder / out, "--quiet")
    return folder / out


def measure(ratings_file, movies_file, folder, seed=1):
    """{"cold": {ranking: metrics}, "warm": {"without", "with"}}"""
    movies = read_movies(movies_file)
    with open(ratings_file, newline="") as f:
        ratings = [tuple(row) for row in list(csv.reader(f))[1:]]
    items = sorted({r[1] for r in ratings if r[1] in movies}, key=int)
    held = sorted(np.random.default_rng(seed).permutation(items)[:len(items) // 5], key=int)
    gone = set(held)
    kept = [r for r in ratings if r[1] not in gone and r[1] in movies]
    users = sorted({r[0] for r in kept}, key=int)
    header = ["userId", "movieId", "rating", "timestamp"]
    table = write_csv(folder / "features.csv", ["movieId", "genres", "year"],
                      [[i, "|".join(genres), year] for i, (genres, year) in movies.items()])

    run("import", write_csv(folder / "kept.csv", header, kept), "-o", folder / "kept.h5", "--quiet")
    run("train", attach(folder, folder / "kept.h5", table, "cold.h5"), "-o", folder / "cold-model.h5", *OPTIONS, "--item-features")
    places = {u: j for j, u in enumerate(users)}, {i: j for j, i in enumerate(held)}
    relevant = np.zeros((len(users), len(held)), bool)
    for user, item, _, _ in ratings:
        if item in gone and user in places[0]:
            relevant[places[0][user], places[1][item]] = True
    rankings = {"popularity": np.zeros((len(users), len(held))), **genre_baselines(kept, movies, users, held),
                "features (x.B'f)": predicted(folder / "cold-model.h5", users, held)}
    cold = {name: mean_metrics(scores, relevant) for name, scores in rankings.items()}

    run("import", ratings_file, "-o", folder / "all.h5", "--quiet")
    run("split", attach(folder, folder / "all.h5", table, "warm.h5"), "--train", folder / "a.h5", "--test", folder / "b.h5",
        "--method", "random", "--fraction", 0.2, "--quiet")
    warm = {}
    for name, words in (("without", []), ("with", ["--item-features"])):
        run("train", folder / "a.h5", "-o", folder / "warm-model.h5", *OPTIONS, *words)
        warm[name] = json.loads(run("evaluate", folder / "warm-model.h5", folder / "b.h5", "--metrics", "auc,ndcg@20,recall@20",
                                    "--json", "--quiet"))
    return {"cold": cold, "warm": warm}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ratings", type=pathlib.Path)
    parser.add_argument("movies", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gridmf-cold-") as folder:
        found = measure(arguments.ratings, arguments.movies, pathlib.Path(folder), arguments.seed)
    print(f"{'items without ratings, ranked by':34s} {'auc':>8s} {'ndcg@20':>8s}")
    for name, metrics in found["cold"].items():
        print(f"{name:34s} {metrics['auc']:8.4f} {metrics['ndcg@20']:8.4f}")
    print(f"\n{'items with ratings':34s} {'auc':>8s} {'ndcg@20':>8s} {'recall@20':>9s}")
    for name, metrics in found["warm"].items():
        print(f"{name + ' features':34s} {metrics['auc']:8.4f} {metrics['ndcg@20']:8.4f} {metrics['recall@20']:9.4f}")


if __name__ == "__main__":
    main()
