"""gridmf import on 2 ranks against pandas.read_csv of the same file. Run by scripts/bench."""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy

READ = "import sys, time, pandas; t = time.perf_counter(); d = pandas.read_csv(sys.argv[1]); " \
       "print(time.perf_counter() - t, len(d))"


def write_csv(path, rows):
    """Ratings in the shape of MovieLens: 4 columns, power-law users and items, in random order."""
    random = numpy.random.default_rng(1)
    users, items = max(10, rows // 100), max(10, rows // 500)
    with open(path + ".part", "w", encoding="ascii") as file:
        file.write("userId,movieId,rating,timestamp\n")
        for begin in range(0, rows, 500_000):
            n = min(500_000, rows - begin)
            user = (users * random.random(n) ** 2).astype(int) + 1
            item = (items * random.random(n) ** 3).astype(int) + 1
            half_stars = random.integers(1, 11, n)
            seconds = random.integers(1_100_000_000, 1_600_000_000, n)
            file.write("".join(f"{u},{i},{r / 2},{t}\n" for u, i, r, t in
                               zip(user.tolist(), item.tolist(), half_stars.tolist(), seconds.tolist())))
    os.replace(path + ".part", path)


def run_pandas(csv):
    """Seconds of read_csv alone: neither the start of Python nor the import of pandas is counted."""
    out = subprocess.run([sys.executable, "-c", READ, csv], check=True, capture_output=True, text=True).stdout
    return float(out.split()[0])


def run_gridmf(gridmf, ranks, csv, output):
    """Seconds of the whole command, start of MPI included, where no file is replaced; and its own report."""
    if os.path.exists(output):
        os.remove(output)
    begin = time.perf_counter()
    done = subprocess.run(["mpirun", "-n", str(ranks), gridmf, "import", csv, "-o", output],
                          check=True, capture_output=True, text=True)
    return time.perf_counter() - begin, done.stderr


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--keep")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.keep or temporary
        os.makedirs(folder, exist_ok=True)
        csv = os.path.join(folder, f"bench-{args.rows}.csv")
        if not os.path.exists(csv):
            print(f"writing {args.rows:,} lines ...", flush=True)
            write_csv(csv, args.rows)
        size = os.path.getsize(csv)
        print(f"{csv}: {args.rows:,} lines, {size / 1e6:.0f} MB")
        pandas, two, one, peaks = [], [], [], {}
        for _ in range(args.repeat):
            pandas.append(run_pandas(csv))
            seconds, report = run_gridmf(args.gridmf, 2, csv, os.path.join(folder, "bench.h5"))
            two.append(seconds)
            seconds, alone = run_gridmf(args.gridmf, 1, csv, os.path.join(folder, "bench.h5"))
            one.append(seconds)
            for ranks, text in ((1, alone), (2, report)):
                peaks[ranks] = float(re.search(r"peak memory MB +\S+ +\S+ +(\S+)", text).group(1))
            print(f"  pandas.read_csv {pandas[-1]:6.2f} s   gridmf import, 2 ranks {two[-1]:6.2f} s   "
                  f"1 rank {one[-1]:6.2f} s", flush=True)
    print(report)
    base = statistics.median(pandas)
    print(f"{'median of ' + str(args.repeat):<22} {'seconds':>8} {'MB/s':>8} {'pandas / this':>14} {'MB of a rank':>13}")
    for name, times, ranks in (("pandas.read_csv", pandas, 0), ("gridmf import, 1 rank", one, 1),
                               ("gridmf import, 2 ranks", two, 2)):
        median = statistics.median(times)
        print(f"{name:<22} {median:8.2f} {size / 1e6 / median:8.0f} {base / median:14.2f} {peaks.get(ranks, ''):>13}")


if __name__ == "__main__":
    main()
