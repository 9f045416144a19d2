"""gridmf against benfred/implicit on the same loss, data, start, factors, lambda and sweeps: loss, ranking, time.

Run by scripts/bench in a throw-away venv that has implicit. Both programs get gridmf's start, so that exact solvers have to
come to the same factors; losses and ndcg of both are computed here, by one function.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import h5py
import implicit.als
import numpy as np
import scipy.sparse


def run(*words, threads=1):
    subprocess.run([str(w) for w in words], check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})


def read_ratings(path):
    with h5py.File(path) as f:
        g = f["ratings"]
        return scipy.sparse.csr_matrix((g["data"][()], g["indices"][()], g["indptr"][()]), shape=tuple(g.attrs["shape"]))


def read_model(path):
    with h5py.File(path) as f:
        return f["users/factors"][()], f["items/factors"][()], f["history/seconds"][()]


def training_loss(ratings, alpha, lam, x, y):
    """sum over all pairs of c (p - x.y)^2 + lambda |.|^2, with c = alpha r and p = 1 where stored, else c = 1, p = 0."""
    x, y = x.astype("f8"), y.astype("f8")
    coo = ratings.tocoo()
    c = alpha * coo.data.astype("f8")
    predicted = np.einsum("ij,ij->i", x[coo.row], y[coo.col])
    stored = (c * (1 - predicted) ** 2 - predicted ** 2).sum()
    return stored + np.sum((x.T @ x) * (y.T @ y)) + lam * ((x ** 2).sum() + (y ** 2).sum())


def ndcg(train, test, x, y, k=10):
    """Binary ndcg@k over users with a test item that was trained on, training items left out, ties to the lower row."""
    known = np.asarray((train != 0).sum(axis=0)).ravel() > 0
    discount, total, n = 1 / np.log2(np.arange(2, k + 2)), 0.0, 0
    for u in np.flatnonzero(np.diff(test.indptr) > 0):
        wanted = test.indices[test.indptr[u]:test.indptr[u + 1]]
        wanted = wanted[known[wanted]]
        if len(wanted) == 0:
            continue
        scores = np.where(known, y @ x[u], -np.inf)
        scores[train.indices[train.indptr[u]:train.indptr[u + 1]]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:k]
        total += np.isin(best, wanted) @ discount[:len(best)] / discount[:min(k, len(wanted))].sum()
        n += 1
    return total / n


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--data", help="a gridmf dataset; default: synthetic counts in the shape of MovieLens 1M")
    parser.add_argument("--factors", type=int, default=64)
    parser.add_argument("--sweeps", type=int, default=15)
    parser.add_argument("--lambda", type=float, default=5, dest="lam")
    parser.add_argument("--alpha", type=float, default=1)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        sys.exit(compare(args, pathlib.Path(temporary)))


def compare(args, folder):
    data, train_file, test_file, model = (folder / name for name in ("data.h5", "train.h5", "test.h5", "model.h5"))
    if args.data:
        data = args.data
    else:
        run(args.gridmf, "synth", "-o", data, "--users", 6040, "--items", 3706, "--ratings", 1_000_000, "--implicit", "--quiet")
    run(args.gridmf, "split", data, "--train", train_file, "--test", test_file, "--method", "random", "--fraction", 0.1,
        "--quiet")
    train, test = read_ratings(train_file), read_ratings(test_file)
    print(f"{train.shape[0]:,} users, {train.shape[1]:,} items, {train.nnz:,} ratings; {args.factors} factors, alpha "
          f"{args.alpha:g}, lambda {args.lam:g}, {args.sweeps} sweeps, {args.threads} threads")

    def ours(solver, sweeps):
        run(args.gridmf, "train", train_file, "-o", model, "--algorithm", "ials", "--loss", "implicit", "--factors",
            args.factors, "--alpha", args.alpha, "--lambda", args.lam, "--lambda-scale", "none", "--iterations", sweeps,
            "--solver", solver, "--threads", args.threads, "--quiet", threads=args.threads)
        x, y, seconds = read_model(model)
        return x, y, np.median(seconds) if sweeps else 0

    def theirs(use_cg):
        x, y, _ = ours("auto", 0)
        als = implicit.als.AlternatingLeastSquares(
            factors=args.factors, regularization=args.lam, alpha=args.alpha, iterations=args.sweeps, use_cg=use_cg,
            num_threads=args.threads)
        als.user_factors, als.item_factors, seconds = x, y, []
        als.fit_callback = lambda *event: seconds.append(time.perf_counter())
        begin = time.perf_counter()
        als.fit(train, show_progress=False, callback=als.fit_callback)
        return als.user_factors, als.item_factors, np.median(np.diff([begin, *seconds]))

    rows = [("gridmf auto", *ours("auto", args.sweeps)), ("gridmf cholesky", *ours("cholesky", args.sweeps)),
            ("implicit Cholesky", *theirs(False)), ("gridmf cg, 3 steps", *ours("cg", args.sweeps)),
            ("implicit CG, 3 steps", *theirs(True))]
    print(f"{'':<22} {'training loss':>16} {'ndcg@10':>9} {'s a sweep':>10}")
    found = {}
    for name, x, y, seconds in rows:
        found[name] = training_loss(train, args.alpha, args.lam, x, y), ndcg(train, test, x, y), seconds
        print(f"{name:<22} {found[name][0]:16.8e} {found[name][1]:9.5f} {seconds:10.4f}")

    exact, peer = found["gridmf cholesky"], found["implicit Cholesky"]
    checks = [("exact: losses within 0.1%", abs(exact[0] / peer[0] - 1) <= 1e-3),
              ("exact: ndcg@10 within 0.002", abs(exact[1] - peer[1]) <= 0.002),
              ("cg: our loss is no higher", found["gridmf cg, 3 steps"][0] <= found["implicit CG, 3 steps"][0])]
    for what, good in checks:
        print(f"{'met' if good else 'MISSED'}: {what}")
    return 0 if all(good for _, good in checks) else 1


if __name__ == "__main__":
    main()
