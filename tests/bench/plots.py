"""Plots: curves as SVG, with text as text and nothing in it that changes from run to run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

SIZE_INCHES = (7.0, 3.6)
FREE = {"Date": None, "Creator": None, "Format": None, "Type": None}
"""Metadata left out: a plot that has not changed is the same file."""


@dataclass(frozen=True, slots=True)
class Curve:
    """What was measured for one thing."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Plot:
    """Curves over one axis; both begin at 0 where they are not logarithmic."""

    name: str
    """Of the file, without its ending."""
    title: str
    x: str
    y: str
    curves: Sequence[Curve]
    log_x: bool = True
    log_y: bool = False


def save(plot: Plot, folder: Path) -> Path:
    """Write a plot, and return where it is."""
    path = folder / f"{plot.name}.svg"
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": plot.name}):
        figure = Figure(figsize=SIZE_INCHES, layout="constrained")
        axes = figure.add_subplot(title=plot.title, xlabel=plot.x, ylabel=plot.y)
        for curve in plot.curves:
            axes.plot(*zip(*curve.points, strict=True), marker="o", label=curve.name)
        axes.set_xscale("log" if plot.log_x else "linear")
        axes.set_yscale("log" if plot.log_y else "linear")
        if not plot.log_y:
            axes.set_ylim(bottom=0)
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
        figure.savefig(path, metadata=FREE)
    return path
