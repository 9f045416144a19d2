#!/usr/bin/env python3
"""Draws scale.svg from what scripts/bench scale --output FILE wrote: scripts/figures/scale.py FILE [-o scale.svg]"""

import argparse
import json
import pathlib

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402

WAYS = (("gram", "folded Gram matrices", "tab:red"), ("fetch", "row fetch in one dimension", "tab:orange"),
        ("chosen", "gridmf", "tab:blue"), ("bf16", "gridmf --wire bf16", "tab:cyan"))


def draw(axis, lines, title, ways):
    for key, label, color in ways:
        points = [(line["ranks"], line[key] / 1e6) for line in lines if key in line and line["ranks"] > 1]
        axis.plot(*zip(*points), label=label, color=color, marker="o", markersize=3, linewidth=1.2)
    memory = [(line["ranks"], line["memory"] / 1e6) for line in lines]
    axis.plot(*zip(*memory), label="memory of a rank (gridmf)", color="tab:gray", linestyle=":", linewidth=1.2)
    axis.set(xscale="log", yscale="log", title=title, xlabel="ranks")
    axis.set_xscale("log", base=2)
    axis.grid(alpha=0.3)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    parser.add_argument("-o", "--output", default=pathlib.Path(__file__).resolve().parent / "scale.svg")
    options = parser.parse_args()
    result = json.loads(pathlib.Path(options.file).read_text())
    plt.rcParams.update({"svg.hashsalt": "gridmf", "font.size": 8})
    panels = [*result["strong"].items(), ("1.5 M ratings a rank", result["weak"])]
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 3.2), layout="constrained")
    for axis, (title, lines) in zip(axes, panels):
        draw(axis, lines, title, [w for w in WAYS if w[0] in lines[0]])
    axes[0].set_ylabel("MB a rank (messages: in a sweep)")
    axes[0].legend(fontsize=7)
    figure.savefig(options.output, metadata={"Date": None})


if __name__ == "__main__":
    main()
