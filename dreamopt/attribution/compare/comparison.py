"""What a comparison of attribution methods found."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dreamopt.attribution.compare.contestants import Contestant
from dreamopt.attribution.compare.randomization import Similarity
from dreamopt.attribution.compare.standing import Difference, Standing, differences, standings
from dreamopt.attribution.metric import AttributionMetric
from dreamopt.errors import UsageError
from dreamopt.parts.arguments import check_path
from dreamopt.parts.atomic import output_file
from dreamopt.parts.brief import brief, counted
from dreamopt.parts.cells import path_cell, text_cell
from dreamopt.statistics import json_number


@dataclass(frozen=True)
class Sanity:
    """What became of maps when weights were re-drawn from the top layer down.

    Parameters
    ----------
    stages : mapping of str to int
        ``top``, ``half``, ``all``: how many layers with weights were re-drawn, from the top.
    layers : tuple of str
        All of them, from the top down.
    similarities : mapping of str to mapping
        By method and stage, how alike its maps are to those of the net as it is; None where none of them is known.
    reason : str
        Why there are none.
    """

    stages: Mapping[str, int] = field(default_factory=dict)
    layers: tuple[str, ...] = ()
    similarities: Mapping[str, Mapping[str, Similarity | None]] = field(default_factory=dict)
    reason: str = ""

    def describe(self) -> dict[str, Any]:
        """Return the numbers, fit for JSON."""
        if self.reason:
            return {"reason": self.reason}
        by_method = {
            name: {stage: None if one is None else one.describe() for stage, one in stages.items()}
            for name, stages in self.similarities.items()
        }
        return {"stages": dict(self.stages), "layers": list(self.layers), "similarities": by_method}


@dataclass(frozen=True, eq=False)
class Comparison:
    """Attribution methods and controls, measured on the same images.

    Parameters
    ----------
    contestants : tuple of Contestant
        Methods, then controls.
    metrics : tuple of AttributionMetric
        The first one ranks.
    images, objectives, explains : tuple of str
        Of each image: its name, what is explained, and what kind of number that is.
    values : ndarray, (contestants, metrics, images)
        Not a number where a metric does not apply.
    seconds : ndarray, (contestants, images)
        That the maps took.
    sanity : Sanity
        Cascading randomization.
    failed : mapping of str to str
        Methods that do not go with this net or objective, and why.
    settings : dict
        All that decides the numbers, fit for JSON.
    interrupted : bool
        Whether it was stopped before its end.
    """

    contestants: tuple[Contestant, ...]
    metrics: tuple[AttributionMetric, ...]
    images: tuple[str, ...]
    objectives: tuple[str, ...]
    explains: tuple[str, ...]
    values: NDArray[np.float64]
    seconds: NDArray[np.float64]
    sanity: Sanity
    failed: Mapping[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    interrupted: bool = False

    def __repr__(self) -> str:
        """Return one line: how many methods on how many images, the metric that ranks, and the best of it."""
        methods, images = counted(len(self.methods), "method"), counted(len(self.images), "image")
        best = f"best by {self.metrics[0]}: {self.ranking[0]}" if self.metrics and self.ranking else ""
        return brief("Comparison", f"{methods} on {images}", best, "interrupted" if self.interrupted else "")

    @property
    def methods(self) -> list[str]:
        """The methods' names, without controls."""
        return [one.name for one in self.contestants if not one.is_control]

    @cached_property
    def standings(self) -> dict[str, dict[str, Standing]]:
        """By metric and contestant: mean, interval, mean rank."""
        seed = int(self.settings.get("seed", 0))
        return {
            str(metric): dict(zip(self.names, standings(self.values[:, k], metric.better, seed), strict=True))
            for k, metric in enumerate(self.metrics)
        }

    @property
    def names(self) -> list[str]:
        """All contestants' names."""
        return [one.name for one in self.contestants]

    @cached_property
    def ranking(self) -> list[str]:
        """Contestants from the best mean of the first metric to the worst; those without one at the end."""
        if not self.metrics:
            return self.names
        metric = self.metrics[0]
        sign = -1 if metric.better == "higher" else 1
        by_name = self.standings[str(metric)]
        return sorted(self.names, key=lambda name: (math.isnan(by_name[name].value.value), sign * by_name[name].value.value))

    def row(self, name: str, metric: AttributionMetric | None = None) -> NDArray[np.float64]:
        """Return a contestant's numbers of a metric, the first one by default, (images,)."""
        k = 0 if metric is None else self.metrics.index(metric)
        return np.asarray(self.values[self.names.index(name), k])

    def differences(self, name: str, others: Sequence[str]) -> dict[str, Difference]:
        """Return how much better a contestant is than others by the first metric."""
        found = differences(self.row(name), [self.row(one) for one in others], self.metrics[0].better, int(self.settings.get("seed", 0)))
        return dict(zip(others, found, strict=True))

    def seconds_of(self, name: str) -> float:
        """Return the median seconds that a contestant's map of one image took."""
        row = self.seconds[self.names.index(name)]
        return float(np.median(row[~np.isnan(row)])) if (~np.isnan(row)).any() else math.nan

    @cached_property
    def verdict(self) -> list[str]:
        """What the numbers say, in sentences, and what they do not."""
        from dreamopt.attribution.compare.verdict import sentences

        return sentences(self)

    def describe(self) -> dict[str, Any]:
        """Return everything, fit for JSON."""
        by_metric = {
            str(metric): {
                "unit": metric.unit,
                "better": metric.better,
                "contestants": {name: one.describe() for name, one in self.standings[str(metric)].items()},
            }
            for metric in self.metrics
        }
        rows = []
        for i, image in enumerate(self.images):
            numbers = {
                name: {str(metric): json_number(float(self.values[c, k, i])) for k, metric in enumerate(self.metrics)}
                | {"seconds": json_number(float(self.seconds[c, i]))}
                for c, name in enumerate(self.names)
            }
            rows.append({"image": image, "objective": self.objectives[i], "explains": self.explains[i], "contestants": numbers})
        return {
            "verdict": self.verdict,
            "ranking": self.ranking,
            "controls": [one.name for one in self.contestants if one.is_control],
            "metrics": by_metric,
            "seconds": {name: json_number(self.seconds_of(name)) for name in self.names},
            "sanity": self.sanity.describe(),
            "failed": dict(self.failed),
            "interrupted": self.interrupted,
            "settings": dict(self.settings),
            "images": rows,
        }

    def save(self, path: str | Path) -> list[Path]:
        """Write ``NAME.json``, all of it, and ``NAME.csv``, a row for each image and contestant; return the files.

        Parameters
        ----------
        path : str or Path
            NAME, with or without a suffix, which is left out. A folder that is not there is made.

        Raises
        ------
        UsageError
            For a path without a name.
        ImageError
            Where a file cannot be written.
        """
        texts = json.dumps(self.describe(), indent=2, allow_nan=False) + "\n", self.csv()
        # An image's name may hold bytes that are no UTF-8: they stay as they are.
        files = files_of(path)
        for file, text in zip(files, texts, strict=True):
            with output_file(file) as stream:
                stream.write(text.encode("utf-8", "surrogateescape"))
        return files

    def csv(self) -> str:
        """Return a row for each image and contestant as CSV; empty where a metric does not apply."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["image", "objective", "method", "control", "seconds", *map(str, self.metrics)])
        for i, image in enumerate(self.images):
            for c, one in enumerate(self.contestants):
                numbers = [self.seconds[c, i], *self.values[c, :, i]]
                cells = ["" if math.isnan(number) else repr(float(number)) for number in numbers]
                writer.writerow([path_cell(image), text_cell(self.objectives[i]), text_cell(one.name), int(one.is_control), *cells])
        return text.getvalue()

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return the head and the rows of the table that the command prints: the best mean of the first metric at the top."""
        shown = [metric for k, metric in enumerate(self.metrics) if not np.isnan(self.values[:, k]).all()]
        stages = [] if self.sanity.reason else list(self.sanity.stages)
        head = ["method", *(f"{metric} {'^' if metric.better == 'higher' else 'v'}" for metric in shown), "s/image"]
        head += [f"same, {stage} re-drawn" for stage in stages]
        rows = []
        for name in self.ranking:
            cells = [f"{name} (control)" if self.contestants[self.names.index(name)].is_control else name]
            cells += [_cell(self.standings[str(metric)][name], metric is shown[0]) for metric in shown]
            seconds = self.seconds_of(name)
            cells.append("" if math.isnan(seconds) else f"{seconds:.2g}")
            for stage in stages:
                one = self.sanity.similarities.get(name, {}).get(stage)
                cells.append("" if one is None else f"{one.rank_abs:.2f}")
            rows.append(cells)
        return head, rows

    def __str__(self) -> str:
        """Return table and verdict as text."""
        head, rows = self.table()
        widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in [head, *rows]]
        return "\n".join([*lines, "", *self.verdict])


def files_of(path: str | Path) -> list[Path]:
    """Return the files that a comparison is written to.

    >>> [file.name for file in files_of("all.png")]
    ['all.json', 'all.csv']
    """
    base = Path(check_path("path", path))
    if base.name in ("", ".."):
        raise UsageError(f"the output {base} must have a name, to which .json and .csv are added")
    return [base.with_suffix(".json"), base.with_suffix(".csv")]


def _cell(standing: Standing, interval: bool) -> str:
    value = standing.value
    if math.isnan(value.value):
        return ""
    text = f"{value.value:.3f}"
    if interval and not math.isnan(value.low):
        text += f" [{value.low:.3f}, {value.high:.3f}]"
    return text if math.isnan(standing.rank) else f"{text} ({standing.rank:.1f})"
