"""Pictures for the report, as SVG text without scripts, ids that repeat, or anything fetched from elsewhere."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from connector.plain import visible

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL, MOST_LABELS = 48, 12
ACCENT, SOFT, LINE = "#2f6f8f", "#5b6776", "#dde3ea"

logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)


def bars(labels: Sequence[str], values: Sequence[float], unit: str) -> str:
    """Columns over time; as many labels as fit are written out."""
    figure, axes = _canvas(8.6, 2.6)
    axes.bar(range(len(values)), values, color=ACCENT, width=0.8)
    step = -(-len(labels) // MOST_LABELS)
    axes.set_xticks(range(0, len(labels), step), [labels[n] for n in range(0, len(labels), step)])
    axes.set_ylabel(unit, color=SOFT)
    return _svg(figure)


def levels(labels: Sequence[str], values: Sequence[float], unit: str) -> str:
    """One horizontal bar a name, the value written beside it."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _canvas(8.6, 0.5 + 0.32 * len(labels))
    places = range(len(labels))[::-1]
    axes.barh(list(places), values, color=ACCENT, height=0.65)
    axes.set_yticks(list(places), [_plain(label) for label in labels])
    for text in axes.get_yticklabels():
        text.set_parse_math(False)
    top = max([*values, 1])
    for place, value in zip(places, values, strict=True):
        axes.text(value + top * 0.01, place, f"{value:,.0f}", va="center", color=SOFT, fontsize=9)
    axes.set_xlim(0, top * 1.12)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(unit, color=SOFT)
    return _svg(figure)


def reliability(points: Sequence[Sequence[float]]) -> str:
    """Predicted against realised share, one point a tenth of the people: on the line is honest."""
    figure, axes = _canvas(4.6, 3.4)
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.5)
    axes.plot([p[0] for p in points], [p[1] for p in points], color=ACCENT, marker="o", markersize=5)
    axes.set_xlabel("predicted probability", color=SOFT)
    axes.set_ylabel("share that came true", color=SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    return _svg(figure)


def _plain(label: str) -> str:
    """A name as one line of text that leaves room for its bar."""
    shown = visible(label)
    return shown if len(shown) <= LABEL else f"{shown[: LABEL - 1]}…"


def _canvas(width: float, height: float) -> tuple[Figure, Axes]:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes: Any = figure.subplots()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LINE)
    axes.tick_params(colors=SOFT, labelsize=9)
    axes.ticklabel_format(style="plain", useOffset=False)
    return figure, axes


def _svg(figure: Figure) -> str:
    from matplotlib import rc_context

    out = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the page's reader has the glyphs that this machine's font lacks
        with rc_context({"svg.hashsalt": "rollcall", "svg.fonttype": "none", "font.family": "sans-serif"}):
            figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    return text[text.index("<svg") :]


def gains(points: Sequence[Sequence[float]]) -> str:
    """Share of all that came true, or of all money, found among the best-ranked part of the people; the line is chance."""
    figure, axes = _canvas(4.6, 3.4)
    axes.plot([0, 1], [0, 1], color=LINE, linewidth=1.5)
    axes.plot([0, *(p[0] for p in points)], [0, *(p[1] for p in points)], color=ACCENT, linewidth=2)
    axes.set_xlabel("share of the people, best-ranked first", color=SOFT)
    axes.set_ylabel("share of what came", color=SOFT)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return _svg(figure)


def pairs(labels: Sequence[str], values: Sequence[Sequence[float]], unit: str) -> str:
    """Two columns a name: what was expected (light) and what came (dark)."""
    figure, axes = _canvas(4.6, 3.4)
    places = range(len(labels))
    axes.bar([p - 0.2 for p in places], [v[0] for v in values], width=0.38, color=LINE, label="expected")
    axes.bar([p + 0.2 for p in places], [v[1] for v in values], width=0.38, color=ACCENT, label="came")
    axes.set_xticks(list(places), [_plain(label) for label in labels])
    axes.set_xlabel(unit, color=SOFT)
    axes.legend(frameon=False, labelcolor=SOFT, fontsize=9)
    return _svg(figure)
