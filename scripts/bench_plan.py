#!/usr/bin/env python3
"""scripts/bench plan: the seconds of a sweep that gridmf plan predicts from gridmf bench's rates, and those that gridmf
train takes; see scripts/bench for its options. Fails when they differ by more than a factor."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

FACTOR = 2.0
SOLVED = (["als"], ["als", "--solver", "cg"], ["ials"], ["ials", "--solver", "cg"])


def run(*words, ranks=1):
    launch = ["mpirun", "-n", str(ranks)] if ranks > 1 else []
    done = subprocess.run([str(w) for w in (*launch, *words)], capture_output=True, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"})
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gridmf", required=True)
    parser.add_argument("--shapes", default="ml-1m,ml-25m/10")
    parser.add_argument("--ranks", default="1,2,4")
    parser.add_argument("--factors", default="64,128")
    parser.add_argument("--sweeps", type=int, default=5)
    args = parser.parse_args()
    asked = [int(p) for p in args.ranks.split(",")]
    cores = len(os.sched_getaffinity(0))
    counts = [p for p in asked if p <= cores]
    if counts != asked:
        print(f"left out: {', '.join(str(p) for p in asked if p > cores)} ranks, which would wait for each other on {cores} cores",
              flush=True)
    if not counts:
        sys.exit("no number of ranks is left")
    ratios = []
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        print(f"{'shape':>10} {'solver':>16} {'factors':>7} {'ranks':>5} {'predicted, s':>12} {'measured, s':>12} {'ratio':>6}")
        data = {shape: folder / f"{shape.replace('/', '-')}.h5" for shape in args.shapes.split(",")}
        for shape, path in data.items():
            run(args.gridmf, "synth", "-o", path, "--like", shape, "--quiet")
        for ranks in counts:
            bench = folder / "bench.json"
            bench.write_text(run(args.gridmf, "bench", "--json", "--quiet", ranks=ranks))
            for shape, path in data.items():
                for solved in SOLVED:
                    for k in args.factors.split(","):
                        words = [path, "--algorithm", *solved, "--factors", k]
                        plan = json.loads(run(args.gridmf, "plan", *words, "--np", ranks, "--bench", bench, "--json", "--quiet"))
                        log = folder / "log.jsonl"
                        log.unlink(missing_ok=True)
                        run(args.gridmf, "train", *words, "-o", folder / "model.h5", "--iterations", args.sweeps, "--log-json",
                            log, "--quiet", ranks=ranks)
                        events = map(json.loads, log.read_text().splitlines())
                        measured = statistics.median(e["seconds"] for e in events if e["event"] == "sweep")
                        predicted = plan["plans"][0]["sweep_seconds"]
                        ratio = predicted / measured
                        ratios.append(ratio)
                        print(f"{shape:>10} {' '.join(solved).replace('--solver ', ''):>16} {k:>7} {ranks:>5} {predicted:12.4f} "
                              f"{measured:12.4f} {ratio:6.2f}", flush=True)
    missed = sum(not 1 / FACTOR <= ratio <= FACTOR for ratio in ratios)
    print(f"predicted / measured: {min(ratios):.2f} to {max(ratios):.2f} in {len(ratios)} runs, median "
          f"{statistics.median(ratios):.2f}")
    sys.exit(f"{missed} predictions are off by more than {FACTOR} times" if missed else 0)


if __name__ == "__main__":
    main()
