"""gridmf train --algorithm ease on 2 ranks against NumPy's inverse, and against LAPACK's Cholesky called from SciPy, on 2
threads: the Gram matrix and its inverse, without reading and writing; and the most memory that a process held.

Run by scripts/bench. Runs are interleaved; medians of the seconds. Fails when NumPy is faster, when a rank holds more than
1.5 x 8 n^2 / ranks bytes, or when the weights differ.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np
import scipy.linalg.lapack
import scipy.sparse

LAMBDA = 200.0


def load(path):
    with h5py.File(path) as f:
        g = f["ratings"]
        indices, indptr = g["indices"][()], g["indptr"][()]
        return scipy.sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=tuple(g.attrs["shape"]))


def peer(how, data, out):
    """In a process of its own: prints seconds and peak memory, writes some rows of B."""
    x = load(data)
    begin = time.perf_counter()
    p = (x.T @ x).toarray()
    p[np.diag_indices_from(p)] += LAMBDA
    if how == "numpy":
        p = np.linalg.inv(p)
    else:
        p, info = scipy.linalg.lapack.dpotrf(p.T, lower=0, overwrite_a=1)
        assert info == 0
        p, info = scipy.linalg.lapack.dpotri(p, lower=0, overwrite_c=1)
        assert info == 0
    seconds = time.perf_counter() - begin
    rows = p[:8]
    if how != "numpy":  # the upper triangle alone
        rows[:, :8] = np.triu(rows[:, :8]) + np.triu(rows[:, :8], 1).T
    b = -rows / np.diag(p)
    b[range(8), range(8)] = 0
    np.save(out, b)
    status = pathlib.Path("/proc/self/status").read_text()
    peak = int(status.split("VmHWM:")[1].split()[0]) * 1024
    print(json.dumps({"seconds": seconds, "peak": peak}))


def execute(*words, env=None):
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}\n{done.stdout}{done.stderr}")
    return done.stdout


def gridmf(args, data, folder, ranks):
    log, model = folder / "log.json", folder / "model.h5"
    log.unlink(missing_ok=True)
    execute("mpirun", "-n", ranks, args.gridmf, "train", data, "-o", model, "--algorithm", "ease", "--lambda", LAMBDA, "--threads", 1,
            "--quiet", "--log-json", log)
    events = {e["event"]: e for e in map(json.loads, log.read_text().splitlines())}
    with h5py.File(model) as f:
        rows = f["items/weights"][:8]
    model.unlink()
    return {"seconds": events["ease"]["seconds"], "peak": events["end"]["peak_bytes_per_rank"], "rows": rows}


def run_peer(how, data, folder):
    out = folder / "rows.npy"
    result = json.loads(execute(sys.executable, __file__, "--peer", how, data, out,
                                env={"OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}))
    return {**result, "rows": np.load(out)}


def compare(args, n, folder):
    data = folder / f"{n}.h5"
    if not data.exists():
        execute(args.gridmf, "synth", "-o", data, "--users", 4 * n, "--items", n, "--ratings", 200 * n, "--implicit", "--quiet")
    solvers = {"gridmf ease, 2 ranks": lambda: gridmf(args, data, folder, 2), "NumPy inv, 2 threads": lambda: run_peer("numpy", data, folder),
               "LAPACK potrf + potri": lambda: run_peer("cholesky", data, folder)}
    results = {name: [] for name in solvers}
    for _ in range(args.repeat):
        for name, solve in solvers.items():
            results[name].append(solve())
    print(f"{n:,} items, {200 * n:,} ratings\n{'':<22} {'seconds':>9} {'range':>17} {'peak MB a process':>18}")
    for name, runs in results.items():
        times = [r["seconds"] for r in runs]
        print(f"{name:<22} {statistics.median(times):9.2f} {min(times):8.2f}-{max(times):<8.2f} {max(r['peak'] for r in runs) / 1e6:18.1f}")
    ours, numpy, cholesky = results.values()
    ratio = statistics.median(theirs["seconds"] / mine["seconds"] for mine, theirs in zip(ours, numpy))
    limit, peak = 1.5 * 8 * n * n / 2, max(r["peak"] for r in ours)
    difference = max(abs(mine["rows"] - other[0]["rows"]).max() for mine in ours for other in (numpy, cholesky))
    good = {f"no slower than NumPy ({ratio:.2f} times as fast)": ratio >= 1,
            f"a rank holds {peak / 1e6:.1f} MB of {limit / 1e6:.1f}": peak <= limit,
            f"weights differ by {difference:.1e}": difference < 1e-7}
    for what, met in good.items():
        print(f"{'met' if met else 'MISSED'}: {what}")
    return all(good.values())


def main():
    if sys.argv[1:2] == ["--peer"]:
        return peer(*sys.argv[2:])
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--items", default="5000,10000", help="orders, separated by commas")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--keep", help="folder for the files")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(args.keep or temporary)
        folder.mkdir(exist_ok=True)
        done = [compare(args, int(n), folder) for n in args.items.split(",")]
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
