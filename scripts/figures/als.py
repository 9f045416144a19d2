#!/usr/bin/env python3
"""Draws what scripts/bench als --json wrote: seconds to equal loss of each program, its best layout, one panel for each number of factors.

    scripts/figures/als.py als.json -o als.svg        or .png; needs matplotlib (Debian: python3-matplotlib)
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

from bench_als_report import best_rows, label

OURS, PEER = "#0072b2", "#b0b0b0"  # the colours of scripts/report


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("json")
    parser.add_argument("-o", "--output", required=True)
    args = parser.parse_args()
    import matplotlib
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    plt.rcParams["svg.hashsalt"] = "gridmf"  # the same figures, the same file
    result = json.loads(pathlib.Path(args.json).read_text())
    rows = [row for row in best_rows(result["rows"]) if row["to_loss"] is not None and row["race"] != "als"]
    factors = sorted({row["factors"] for row in rows})
    figure, panels = plt.subplots(1, len(factors), figsize=(5.6 * len(factors), 4.6), squeeze=False)
    for panel, k in zip(panels[0], factors):
        part = sorted((row for row in rows if row["factors"] == k), key=lambda row: (row["race"] == "rmse", row["race"] == "count", row["to_loss"]))
        for at, row in enumerate(part):
            panel.barh(at, row["to_loss"], color=OURS if row["program"].startswith("gridmf") else PEER)
            panel.annotate(f" {row['to_loss']:.2f}", (row["to_loss"], at), va="center", fontsize=8)
        panel.set_yticks(range(len(part)), [label(row) for row in part], fontsize=8)
        panel.invert_yaxis()
        panel.set_xscale("log")
        panel.set_xlim(right=4 * max(row["to_loss"] for row in part), left=0.5 * min(row["to_loss"] for row in part))
        panel.set_title(f"{k} factors, {part[0]['threads']} threads", fontsize=9)
        panel.set_xlabel("seconds to equal loss (rmse: to LIBMF's best)", fontsize=8)
        panel.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(args.output, metadata={"Date": None} if args.output.endswith(".svg") else None)


if __name__ == "__main__":
    main()
