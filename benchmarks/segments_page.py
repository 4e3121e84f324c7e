"""The table and the plot of docs/segments-speed.md from the figures of benchmarks/segments.py.

    python benchmarks/segments_page.py docs/segments-speed.json

Writes segments-speed.svg beside the figures and prints the table in Markdown. Of several runs of a size the last counts.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

PLOTTED = {
    "identity, purchases and facts, everybody": "identity, purchases, facts: everybody",
    "profile and RFM, everybody, every column": "profile and RFM: everybody",
    "next night": "next night: profile, RFM, 32 rules, difference",
    "news of 1 %": "news of 1 %: all of it",
    "30 event rules in one statement": "30 event rules",
    "floor: count per person, three tables": "floor: count per person",
}
NIGHT = ("profile and RFM, next day", "32 rules and difference, next day")


def main() -> None:
    path = Path(sys.argv[1])
    sizes: dict[int, dict[str, dict[str, Any]]] = {}
    for run in json.loads(path.read_text()):
        steps, whole = {}, ""
        for row in run["steps"]:
            is_part = row["step"].startswith(" ")
            whole = whole if is_part else row["step"]
            steps[f"{whole}: {row['step'].strip()}" if is_part else whole] = row
        sizes.setdefault(run["people"], {}).update(steps)
    for steps in sizes.values():
        steps["next night"] = _sum([steps[s] for s in NIGHT])
        steps["news of 1 %"] = _sum([r for s, r in steps.items() if s.startswith("news of 1 %: ") and "of which" not in s])
    print(_table(sizes))
    path.with_suffix(".svg").write_text(_plot(sizes))


def _sum(rows: list[dict[str, Any]]) -> dict[str, Any]:
    totals = {k: sum(r[k] for r in rows) for k in ("wall_s", "cpu_s")}
    return totals | {k: max(r[k] for r in rows) for k in ("peak_mb", "load")}


def _table(sizes: dict[int, dict[str, dict[str, Any]]]) -> str:
    steps = list(dict.fromkeys(s for found in sizes.values() for s in found))
    lines = ["| step | " + " | ".join(f"{n:,} people" for n in sorted(sizes)) + " |", "|---" * (len(sizes) + 1) + "|"]
    for step in steps:
        cells = []
        for n in sorted(sizes):
            row = sizes[n].get(step)
            cells.append(f"{row['wall_s']:.2f} / {row['cpu_s']:.2f} / {row['peak_mb']} / {row['load']}" if row else "")
        lines.append(f"| {step} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _plot(sizes: dict[int, dict[str, dict[str, Any]]]) -> str:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.6, 4.6), layout="constrained")
    axes: Any = figure.subplots()
    for step, label in PLOTTED.items():
        points = [(n, sizes[n][step]["cpu_s"]) for n in sorted(sizes) if step in sizes[n]]
        style = "--" if step.startswith("floor") else "-"
        axes.plot([p[0] for p in points], [max(p[1], 0.01) for p in points], style, marker="o", markersize=4, label=label)
    people = sorted(sizes)
    axes.plot(people, [n * 1e-4 for n in people], color="#c4ccd6", linewidth=1, label="0.1 ms a person: as the data grows")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("people")
    axes.set_ylabel("CPU seconds")
    axes.grid(color="#eef1f5")
    axes.legend(fontsize=8, frameon=False)
    out = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "rollcall", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None})
    return out.getvalue()


if __name__ == "__main__":
    main()
