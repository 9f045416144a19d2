"""What scripts/bench als found, as a table for people, as Markdown, and as the figures of the README."""

import json
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAMES = {"libmf": "LIBMF", "spark": "Spark MLlib"}
BEGIN, END = "<!-- scripts/bench als --figures: begin -->", "<!-- scripts/bench als --figures: end -->"

TITLES = {"none": "implicit feedback: one loss, lambda as it is", "count": "implicit feedback: lambda times a row's ratings, as Spark has it",
          "als": "explicit ratings: sweeps of gridmf train --algorithm als", "rmse": "explicit ratings: time to LIBMF's best held-out rmse"}


def cells(line):
    layout = f"{line['threads']}" if line["ranks"] is None else f"{line['ranks']} x {line['threads'] // line['ranks']}"
    return [line["program"], line["mode"], layout, f"{line['sweep']:.4f}", f"{line['least']:.4f}-{line['most']:.4f}",
            ("<= " if line["rough"] else "") + str(line["sweeps"] or "-"), f"{line['to_loss']:.2f}" if line["to_loss"] is not None else "-"]


HEADS = ["", "solver", "threads, or ranks x threads", "s a sweep", "range", "sweeps", "s to equal loss"]


def table(heads, align, rows):
    """A table in Markdown; align has l or r for each column."""
    return ["| " + " | ".join(heads) + " |", "| " + " | ".join({"l": "---", "r": "---:"}[a] for a in align) + " |",
            *("| " + " | ".join(row) + " |" for row in rows)]


def sections(lines):
    for factors in sorted({line["factors"] for line in lines}):
        for race, title in TITLES.items():
            part = [line for line in lines if line["factors"] == factors and line["race"] == race]
            if part:
                yield f"{factors} factors, {title}", sorted(part, key=lambda l: (l["threads"], l["to_loss"] or 1e9, l["sweep"]))


def target_line(target):
    measured = "none" if target["measured"] is None else f"{target['measured']:.2f}"
    return f"target {target['text']}: at least {target['target']:g}, measured {measured}: {target['verdict']}"


def print_plain(result):
    print(result["title"])
    for title, lines in sections(result["rows"]):
        print(f"\n{title}")
        rows = [HEADS, *map(cells, lines)]
        widths = [max(len(row[c]) for row in rows) for c in range(len(HEADS))]
        for row in rows:
            print("  ".join(cell.ljust(w) if c < 3 else cell.rjust(w) for c, (cell, w) in enumerate(zip(row, widths))).rstrip())
    for peer, why in result["failed"].items():
        print(f"\n{NAMES.get(peer, peer)}: does not run here: {why}")
    print()
    for target in result["targets"]:
        print(target_line(target))


def failures(result):
    return [f"{NAMES.get(peer, peer)} does not run here: {why}" for peer, why in result["failed"].items()]


def markdown(result):
    text = [result["title"], ""]
    for title, lines in sections(result["rows"]):
        text += [f"**{title[0].upper() + title[1:]}**", "", *table(HEADS, "lllrrrr", map(cells, lines)), ""]
    return "\n".join([*text, *failures(result), "", *targets(result)]) + "\n"


def targets(result):
    return table(["target", "at least", "measured", ""], "lrrl", (
        [t["text"], f"{t['target']:g}", "-" if t["measured"] is None else f"{t['measured']:.2f}", t["verdict"]] for t in result["targets"]))


# ---- the README ------------------------------------------------------------------------------------------------------


def best_rows(lines):
    """At the most threads, of each program and solver the layout that is quickest."""
    best, threads = {}, max(line["threads"] for line in lines)
    for line in lines:
        key = line["factors"], line["race"], line["program"], line["mode"]
        seconds = line["to_loss"] or line["sweep"]
        if line["threads"] == threads and (key not in best or seconds < (best[key]["to_loss"] or best[key]["sweep"])):
            best[key] = line
    return list(best.values())


def label(row):
    """What a row is called where only the best layouts are told."""
    mode = row["mode"] if row["race"] != "rmse" else "to the rmse of LIBMF" if row["program"] != "LIBMF" else "SGD"
    return f"{row['program']}, {mode}" + (", lambda as Spark" if row["race"] == "count" and row["program"] == "gridmf" else "")


def summary(parts):
    """Seconds a sweep and to equal loss, side by side for each part: what it is called, and its rows."""
    order = ["none", "count", "als", "rmse"]
    found = {}
    for name, rows in parts:
        for row in rows:
            found.setdefault((order.index(row["race"]), label(row)), {})[name] = row
    first = parts[0][0]

    def seconds(row, what):
        if row is None or row[what] is None:
            return "-"
        return f"{row[what]:.3f}" if what == "sweep" else f"{row[what]:.2f}"

    lines = sorted(found.items(), key=lambda item: (item[0][0], (item[1].get(first) or {}).get("to_loss") or 1e9, item[0][1]))
    cells_of = [[name, *(seconds(by_part.get(part), what) for part, _ in parts for what in ("sweep", "to_loss"))] for (_, name), by_part in lines]
    heads = [f"best of {max(row['threads'] for _, rows in parts for row in rows)} threads or ranks",
             *(f"{part}: {what}" for part, _ in parts for what in ("s a sweep", "s to equal loss"))]
    return table(heads, "l" + "r" * (len(heads) - 1), cells_of)


def by_factors(result):
    rows = best_rows(result["rows"])
    return [(f"{k} factors", [row for row in rows if row["factors"] == k]) for k in sorted({row["factors"] for row in rows})]


def shape_parts(result):
    """The same of another shape, which is told beside others."""
    parts = by_factors(result)
    return [(result["shape"] if len(parts) == 1 else f"{result['shape']}, {name}", rows) for name, rows in parts]


def other_shapes(results):
    """Data of other shapes than the first, in one table, and the targets that were measured there in another."""
    measured = {}
    for at, result in enumerate(results):
        for target in result["targets"]:
            if target["verdict"] in ("met", "missed"):
                told = "-" if target["measured"] is None else f"{target['measured']:.2f}"
                measured.setdefault((target["text"], f"{target['target']:g}"), {})[at] = f"{told}, {target['verdict']}"
    rows = [[*key, *(told.get(at, "-") for at in range(len(results)))] for key, told in measured.items()]
    return [f"Larger data (`scripts/bench als --short --like NAME --figures`): {'; '.join(result['title'] for result in results)}.", "",
            *summary([part for result in results for part in shape_parts(result)]), "",
            *table(["target", "at least", *(result["shape"] for result in results)], "lr" + "r" * len(results), rows), ""]


FIRST = "ml-1m"  # the shape that the README tells all about


def readme_part(folder):
    """What stands between the two comments, of all results in the folder."""
    result = json.loads((folder / "als.json").read_text())
    others = [json.loads(path.read_text()) for path in sorted(folder.glob("als-*.json"))]
    others.sort(key=lambda other: max(row["sweep"] for row in other["rows"]))
    return "\n".join([BEGIN, result["title"] + ".", "", *summary(by_factors(result)), "", *failures(result), *targets(result), "",
                      "All solvers, layouts and ranges are in `scripts/figures/als.md`.", "",
                      *(other_shapes(others) if others else []), "![seconds to equal loss](scripts/figures/als.svg)", END])


def write_figures(result):
    """scripts/figures/als.{json,md,svg}, or als-SHAPE.{json,md} of another shape, and the part of the README between two comments."""
    folder = ROOT / "scripts" / "figures"
    is_first = result["shape"] == FIRST
    name = "als" if is_first else "als-" + re.sub(r"[^\w.]+", "-", result["shape"])
    (folder / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / f"{name}.md").write_text(markdown(result))
    if is_first:
        subprocess.run(["/usr/bin/python3", folder / "als.py", folder / "als.json", "-o", folder / "als.svg"], check=True)
    readme, text = ROOT / "README.md", readme_part(folder)
    readme.write_text(re.sub(re.escape(BEGIN) + ".*" + re.escape(END), lambda _: text, readme.read_text(), flags=re.DOTALL))
