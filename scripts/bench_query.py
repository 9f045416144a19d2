"""gridmf-query and gridmf recommend: the answer for one user, and the lists of all users against benfred/implicit.

Run by scripts/bench in a throw-away venv that has implicit. Models are random factors, written with h5py; both programs
get the same ones, and the same items to leave out. Everything of a comparison runs in turns; medians are printed.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import implicit.als
import numpy as np
import scipy.sparse
import threadpoolctl

SEEN = 20  # items a user had in training


def run(*words, threads=1, **how):
    """Seconds of a run."""
    begin = time.perf_counter()
    subprocess.run([str(w) for w in words], check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, **how)
    return time.perf_counter() - begin


def write_model(path, n_users, n_items, k, seen=True):
    """A model file as README.md describes it."""
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((n, k), dtype="f4") for n in (n_users, n_items))
    items = np.sort(rng.integers(0, n_items, (n_users, SEEN), dtype="i4"), axis=1) if seen else None
    if seen:  # distinct and ascending
        items = np.minimum(np.maximum.accumulate(items + np.arange(SEEN), axis=1), n_items - SEEN + np.arange(SEEN)).astype("i4")
    with h5py.File(path, "w") as f:
        f.attrs.update({"format": "gridmf-model", "format_version": "1.0", "complete": 1, "algorithm": "ials",
                        "global_mean": 0.0, "factors": k, "n_users": n_users, "n_items": n_items})
        for side, factors in (("users", x), ("items", y)):
            f[side + "/factors"] = factors
            f[side + "/id"] = np.arange(1, len(factors) + 1)
            f[side + "/id"].attrs["sorted"] = 1
            f[side + "/count"] = np.ones(len(factors), "i8")
        if seen:
            g = f.create_group("seen")
            g.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0", "shape": [n_users, n_items]})
            g["indptr"], g["indices"], g["data"] = np.arange(n_users + 1) * SEEN, items.ravel(), np.ones(items.size, "f4")
    return x, y, items


def one_user(args, folder, report):
    """Start to answer of one question to a large model, the file in the page cache."""
    model = folder / "large.h5"
    n_users, n_items, k = args.large
    write_model(model, n_users, n_items, k)
    rng = np.random.default_rng(2)
    with h5py.File(model) as f:
        offset, n_bytes = f["items/factors"].id.get_offset(), f["items/factors"].nbytes
    seconds, reads, starts = [], [], []
    for _ in range(args.repeat * 3 + 1):
        user = rng.integers(1, n_users + 1)
        seconds.append(run(args.query, model, "recommend", "--user", user, "--top", 10, threads=2, stdout=subprocess.DEVNULL))
        starts.append(run(args.query, "--version", stdout=subprocess.DEVNULL))
        begin = time.perf_counter()
        with open(model, "rb", buffering=0) as f:
            os.pread(f.fileno(), n_bytes, offset)
        reads.append(time.perf_counter() - begin)
    took, start, read = (1e3 * statistics.median(s[1:]) for s in (seconds, starts, reads))
    print(f"one user of {n_users:,} x {n_items:,} x {k}: {took:.1f} ms from start to answer, of which the program's start is "
          f"{start:.1f} ms; reading {n_bytes / 1e6:.1f} MB of item factors takes {read:.1f} ms by itself")
    report("one answer within 150 ms", took <= 150)


def gemm_seconds(x, y, threads):
    """What the product of all users and items takes OpenBLAS, in the best of some block shapes, scores overwritten."""
    best = 0.0
    with threadpoolctl.threadpool_limits(threads):
        for m, n in ((256, 1024), (512, 2048), (1024, 4096), (2048, 8192)):
            a, b, out = x[:m], np.ascontiguousarray(y[:n].T), np.empty((m, n), "f4")
            np.dot(a, b, out=out)
            begin, done = time.perf_counter(), 0
            while time.perf_counter() - begin < 0.3:
                np.dot(a, b, out=out)
                done += 1
            best = max(best, done * m * n / (time.perf_counter() - begin))
    return len(x) * len(y) / best


def all_users(args, folder, report):
    model, recs = folder / "model.h5", folder / "recs.h5"
    n_users, n_items, k = args.all
    x, y, items = write_model(model, n_users, n_items, k)
    liked = scipy.sparse.csr_matrix((np.ones(items.size, "f4"), items.ravel(), np.arange(n_users + 1) * SEEN), (n_users, n_items))
    with threadpoolctl.threadpool_limits(1, "blas"):
        als = implicit.als.AlternatingLeastSquares(factors=k, num_threads=2)
    als.user_factors, als.item_factors = x, y
    users = np.arange(n_users, dtype="i4")
    theirs, seconds = None, {name: [] for name in ("implicit recommend, 2 threads", "gridmf recommend, 2 ranks",
                                                   "gridmf-query --all, 2 threads", "sgemm alone, 2 threads")}

    def note(name, value):
        seconds[name].append(value)

    for _ in range(args.repeat):
        begin = time.perf_counter()
        with threadpoolctl.threadpool_limits(1, "blas"):  # as implicit asks for: it has threads of its own
            theirs = als.recommend(users, liked, N=args.top, filter_already_liked_items=True)
        note("implicit recommend, 2 threads", time.perf_counter() - begin)
        note("gridmf recommend, 2 ranks", run("mpirun", "-n", 2, args.gridmf, "recommend", model, "-o", recs, "--top", args.top,
                                              "--quiet"))
        note("gridmf-query --all, 2 threads", run(args.query, model, "recommend", "--all", "--top", args.top, "--format", "csv",
                                                  threads=2, stdout=subprocess.DEVNULL))
        note("sgemm alone, 2 threads", gemm_seconds(x, y, 2))

    print(f"all users of {n_users:,} x {n_items:,} x {k}, top {args.top}")
    print(f"{'':<32} {'seconds':>9} {'users/s':>10} {'x implicit':>11} {'of sgemm':>9}")
    peer, ratios = seconds["implicit recommend, 2 threads"], {}
    for name, own in seconds.items():
        ratios[name] = statistics.median(p / o for p, o in zip(peer, own))
        share = statistics.median(g / o for g, o in zip(seconds["sgemm alone, 2 threads"], own))
        print(f"{name:<32} {statistics.median(own):9.3f} {n_users / statistics.median(own):10,.0f} {ratios[name]:11.2f} {share:9.0%}")
    with h5py.File(recs) as f:
        ours, scores = f["top/item"][()], f["top/score"][()]
    same = np.mean(ours[:, :10] == theirs[0][:, :10])
    print(f"top 10: {same:.5%} of the places have implicit's item; scores differ by {np.abs(scores - theirs[1]).max():.1e} at most")
    report("implicit's top 10 is ours, but for scores that round alike",
           same > 0.999 and np.allclose(scores[:, :10], theirs[1][:, :10], rtol=1e-4, atol=1e-4))
    report("gridmf recommend: twice implicit's users/s", ratios["gridmf recommend, 2 ranks"] >= 2)
    report("gridmf-query --all: twice implicit's users/s", ratios["gridmf-query --all, 2 threads"] >= 2)


def shape(text):
    return tuple(int(n) for n in text.split("x"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--large", type=shape, default=(1_000_000, 100_000, 64), help="users x items x factors")
    parser.add_argument("--all", type=shape, default=(100_000, 50_000, 64))
    parser.add_argument("--top", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    args.query = args.gridmf + "-query"
    missed = []

    def report(what, good):
        print(f"{'met' if good else 'MISSED'}: {what}")
        missed.extend([] if good else [what])

    with tempfile.TemporaryDirectory() as temporary:
        one_user(args, pathlib.Path(temporary), report)
        all_users(args, pathlib.Path(temporary), report)
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
