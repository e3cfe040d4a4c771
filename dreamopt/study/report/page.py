"""What the page shows, gathered from request, analysis and rows, and filled into the templates."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from dreamopt.errors import printable
from dreamopt.parts.pages import page_templates
from dreamopt.study.analysis import Analysis, Pair, Scope, Standing
from dreamopt.study.commands import replay_command
from dreamopt.study.report import numbers
from dreamopt.study.report.plot import Plot, names_of, place_of
from dreamopt.study.report.presets import Chosen
from dreamopt.study.report.sheet import Cell, Line, image_path, lines_of, link, pages_of, scored_runs
from dreamopt.study.report.style import DASHES, LIGHT, REFERENCE
from dreamopt.study.report.words import again, facts, fairness, kind_of, range_ends, subtitle
from dreamopt.study.request import Request
from dreamopt.study.run import Row

_ARROWS = {"higher": "▲", "lower": "▼", "neither": ""}
_DASHES = {"-": "", "--": "7 3.5", "-.": "8 3 2 3", ":": "2 2.6"}
_MOST_FAILURES = 100
_MOST_SETTINGS = 600
"""Characters of a setting that are shown; a direction has thousands."""


@dataclass(frozen=True)
class Pages:
    """The pages of a report.

    Parameters
    ----------
    report : str
        The first one.
    sheets : mapping of str to str
        Further pages of the contact sheet, by their files' names.
    """

    report: str
    sheets: Mapping[str, str]


def page_name(number: int) -> str:
    """Return the file of a page of the contact sheet; the first is the report's.

    >>> page_name(1), page_name(2)
    ('report.html', 'sheet-2.html')
    """
    return "report.html" if number == 1 else f"sheet-{number}.html"


def pages(
    folder: Path,
    request: Request,
    analysis: Analysis,
    rows: Sequence[Row],
    plots: Mapping[str, Plot],
    drawn: Mapping[str, str],
    chosen: Sequence[Chosen],
    files: Sequence[str],
    study: Mapping[str, str],
) -> Pages:
    """Return the pages of a report.

    Parameters
    ----------
    folder : Path
        The study's, with its images.
    request, analysis, rows
        Of the study, the rows in the order of the request.
    plots, drawn : mapping
        Plots, and their SVG, by name.
    chosen : sequence of Chosen
        Settings of contestants as they were scored.
    files : sequence of str
        That lie beside the page, for its end.
    study : mapping of str to str
        The study file, and the presets that it names.
    """
    columns = names_of(analysis)
    runs = scored_runs(request, rows)
    units = pages_of(request, columns)
    common = _common(folder, request, analysis, columns, chosen) | {"pages": len(units)}
    own = {
        "plots": list(plots.values()),
        "drawn": {name: _markup(svg) for name, svg in drawn.items()},
        "subtitle": subtitle(request, analysis),
        "kind": kind_of(analysis),
        "reading": fairness(request),
        "pair_rows": _pair_rows(analysis),
        "ends": range_ends(analysis),
        "facts": facts(request, analysis, rows),
        "files": list(files),
        "total_runs": len(rows),
        "failures": [row for row in rows if row.status == "failed"],
        "most_failures": _MOST_FAILURES,
        "contestants": [_settings(one, f"contestant-{number}") for number, one in enumerate(chosen)],
        "tuning_words": "Each contestant was tuned with the same number of trials, on units that it was not scored on. "
        "A trial that was behind beyond chance was stopped early.",
    } | _machines(rows)
    words, commands = again(request, study)
    own |= {"again": words, "commands": [_markup(escaped(text)) for text in commands]}
    sections = {plot.section for plot in plots.values()}
    own["has_section"] = sections.__contains__
    own["sections"] = _sections(sections, common["several_nets"], bool(analysis.tuning))
    lines = lines_of(folder, units[0], columns, runs)
    environment = _environment()
    report = environment.get_template("report.html").render(common | own | {"lines": lines, "page": 1, "home": ""})
    sheets = {
        page_name(number): environment.get_template("sheet.html").render(
            common | {"lines": lines_of(folder, numbered, columns, runs), "page": number, "home": "report.html"}
        )
        for number, numbered in enumerate(units[1:], start=2)
    }
    return Pages(report, sheets)


def notebook_html(request: Request, analysis: Analysis, svg: str = "") -> str:
    """Return the verdict, the table of contestants and a plot, for a notebook."""
    own = {"subtitle": subtitle(request, analysis), "kind": kind_of(analysis), "svg": _markup(svg), "id": f"standings-{request.key[:12]}"}
    common = _common(Path(), request, analysis, names_of(analysis), ())
    return str(_environment().get_template("notebook.html").render(common | own))


def _common(folder: Path, request: Request, analysis: Analysis, columns: Sequence[str], chosen: Sequence[Chosen]) -> dict[str, Any]:
    """Return what all templates need."""
    known = {name: one for standing in analysis.overall.standings for name, one in standing.measures.items()}
    return {
        "analysis": analysis,
        "percent": f"{analysis.confidence:.0%}",
        "alpha": f"{1 - analysis.confidence:.2g}".removeprefix("0"),
        "measures": [one for name, one in known.items() if name != analysis.criterion],
        "measure_names": list(request.measures),
        "arrows": _ARROWS,
        "looks": {name: _look(place_of(analysis, name)) for name in columns},
        "anchors": {one.name: f"contestant-{number}" for number, one in reversed(list(enumerate(chosen)))},
        "ordered": partial(_ordered, analysis),
        "pairs": partial(_against_reference, analysis),
        "columns": list(columns),
        "several_nets": len(request.nets) > 1,
        "value_of": partial(_value_of, analysis, len(request.nets) > 1),
        "replay": lambda row: replay_command(row.image, request.net(row.net).load),
        "has_image": lambda row: image_path(folder, row) is not None,
        "cell_meaning": "the mean over seeds on the scale of the table" if analysis.normalized else "the mean over seeds",
        "first_number": 0,
        "page_name": page_name,
    }


def _sections(drawn: set[str], several_nets: bool, tuned: bool) -> list[tuple[str, str]]:
    """Return ids and titles of the sections that the page has."""
    every = {
        "contestants": ("Contestants", True),
        "sheet": ("Contact sheet", True),
        "progress": ("Convergence", "progress" in drawn),
        "targets": ("Targets", "targets" in drawn),
        "profiles": ("Profiles", "profiles" in drawn),
        "pairs": ("Every pair", True),
        "tuning": ("Tuning", tuned),
        "measures": ("Measures", "measures" in drawn),
        "nets": ("Net by net", several_nets),
        "failures": ("Failures", True),
        "settings": ("Settings", True),
        "how": ("How it was run", True),
    }
    return [(name, title) for name, (title, there) in every.items() if there]


def _ordered(analysis: Analysis, scope: Scope) -> list[Standing]:
    """Return a scope's standings, the best first, the reference last."""
    standings = [scope.standing(name) for name in scope.ranking]
    return [*standings, *(one for one in scope.standings if one.reference)]


def _against_reference(analysis: Analysis, scope: Scope, name: str) -> Pair | None:
    return next((pair for pair in scope.pairs if (pair.first, pair.second) == (name, analysis.reference)), None)


def _pair_rows(analysis: Analysis) -> list[Pair]:
    """Return all comparisons of contestants with each other and with the reference, each once, the better ranked one first."""
    names = names_of(analysis)
    rank = {name: place for place, name in enumerate(names)}
    known = [pair for pair in analysis.overall.pairs if rank.get(pair.first, 0) < rank.get(pair.second, 0)]
    return sorted(known, key=lambda pair: (rank[pair.first], rank[pair.second]))


def _value_of(analysis: Analysis, several: bool, cell: Cell, line: Line) -> str:
    """Return what stands below a cell."""
    if cell.failures:
        return f"{cell.failures} of {len(cell.runs)} failed"
    values = analysis.overall.standing(cell.contestant).values
    value = values.get(f"{line.net} {line.unit}" if several else line.unit)
    return "runs" if value is None else numbers.number(value, 1.0) if analysis.normalized else numbers.number(value)


def _settings(chosen: Chosen, anchor: str) -> dict[str, Any]:
    described = chosen.settings.describe()
    shown = [(name, _short_setting(value)) for name, value in described.items() if value not in (None, [], ())]
    return {
        "name": chosen.name,
        "net": chosen.net,
        "anchor": anchor,
        "axes": list(map(str, chosen.axes)),
        "trial": chosen.trial,
        "settings": shown,
        "file": chosen.file,
    }


def _short_setting(value: Any) -> str:
    if isinstance(value, list):
        return "; ".join(printable(json.dumps(one) if isinstance(one, dict) else one, _MOST_SETTINGS) for one in value)
    return printable(value, _MOST_SETTINGS)


def _machines(rows: Sequence[Row]) -> dict[str, Any]:
    counts = Counter(json.dumps(dict(row.machine), sort_keys=True, default=str) for row in rows)
    machines = [(json.loads(text), count) for text, count in counts.most_common()]
    return {"machines": machines, "machine_columns": list(dict.fromkeys(name for machine, _ in machines for name in machine))}


def _look(place: int) -> dict[str, str]:
    """Return the colour and the dashes of a contestant's sign, as in plots."""
    if place == REFERENCE:
        return {"colour": "var(--ink)", "dash": "2.5 2.5"}
    return {"colour": f"var(--s{place % len(LIGHT)})", "dash": _DASHES[DASHES[place % len(DASHES)]]}


@cache
def _environment() -> Any:
    """Return jinja2's environment: everything that is filled in is escaped, and shown without control characters."""
    environment = page_templates("dreamopt.study.report", "a report needs", "bench")
    filters: Mapping[str, Callable[..., Any]] = {
        "number": numbers.number,
        "middle": numbers.middle,
        "interval": numbers.interval,
        "probability": numbers.probability,
        "share": lambda value: numbers.number(value, 0.5),
        "seconds": numbers.seconds,
        "link": link,
        "path": quote,
    }
    environment.filters.update(filters)
    environment.globals["css"] = _markup(environment.loader.mapping["report.css"])
    return environment


def escaped(text: str) -> str:
    """Return a text of several lines as HTML, each line shown without control characters."""
    import markupsafe

    return "\n".join(str(markupsafe.escape(printable(line))) for line in text.split("\n"))


def _markup(text: str) -> Any:
    import markupsafe

    return markupsafe.Markup(text)
