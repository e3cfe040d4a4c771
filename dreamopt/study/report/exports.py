"""A study's rows as files and tables: JSONL and CSV always, Parquet where pyarrow is, data frames where pandas is."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dreamopt.parts.atomic import atomic_path, atomic_write
from dreamopt.study.request import Request
from dreamopt.study.run import Row

Record = dict[str, Any]
Scales = Mapping[tuple[str, str], tuple[float, float]]
"""By net and unit: the objective of the start image, and the reference's."""
_FLAT = ("key", "phase", "net", "contestant", "unit", "number", "seed", "status", "reason", "evaluations", "seconds", "steps")
_PHASES = ("reference", "tune", "score")


def ordered(request: Request, rows: Iterable[Row]) -> list[Row]:
    """Return rows in the order of the request, whatever the order in which they were made."""
    names = [one.name for one in (request.reference, *request.contestants)]
    units = {
        (net.name, unit): (place, number)
        for place, net in enumerate(request.nets)
        for number, unit in enumerate((*net.units, *net.tuning_units))
    }

    def place(row: Row) -> tuple[Any, ...]:
        trial = json.dumps(dict(row.trial), sort_keys=True, default=str)
        who = names.index(row.contestant) if row.contestant in names else len(names)
        unit = units.get((row.net, row.unit), (len(request.nets), 0))
        return _PHASES.index(row.phase), who, trial, unit, row.net, row.unit, row.number, row.contestant, row.key

    return sorted(rows, key=place)


def run_records(rows: Sequence[Row]) -> list[Record]:
    """Return one flat record of each run; all have the same columns, ``trial.*``, ``measure.*`` and ``machine.*`` among them."""
    trials, measures, machine = (
        list(dict.fromkeys(name for row in rows for name in getattr(row, part))) for part in ("trial", "measures", "machine")
    )
    return [
        {name: getattr(row, name) for name in _FLAT}
        | {"label": row.label, "image": row.image}
        | {f"trial.{name}": row.trial.get(name) for name in trials}
        | {f"measure.{name}": _finite(row.measures.get(name)) for name in measures}
        | {f"machine.{name}": row.machine.get(name) for name in machine}
        for row in rows
    ]


def trace_records(rows: Sequence[Row], scales: Scales) -> list[Record]:
    """Return one record of each point of each run's trace.

    ``raw`` is the objective there, ``best`` the best so far, and ``normalized`` the best on the unit's scale: 0 the start image, 1 the
    reference. None where there is no number.
    """
    records = []
    for row in rows:
        best: float | None = None
        start, reference = scales.get((row.net, row.unit), (math.nan, math.nan))
        own = {name: getattr(row, name) for name in ("key", "phase", "net", "contestant", "unit", "number")}
        own["trial"] = json.dumps(dict(row.trial), sort_keys=True, default=str)
        for evaluations, seconds, value in zip(row.trace.evaluations, row.trace.seconds, row.trace.values, strict=True):
            raw = _finite(value)
            best = raw if best is None else best if raw is None else max(best, raw)
            length = reference - start
            normalized = None if best is None or not length > 0 else _finite((best - start) / length)
            records.append(
                own | {"evaluations": evaluations, "seconds": seconds, "raw": raw, "best": best, "normalized": normalized},
            )
    return records


def write_exports(folder: Path, rows: Sequence[Row], scales: Scales) -> list[str]:
    """Write ``rows.jsonl``, ``rows.csv``, ``traces.csv`` and, where pyarrow is, both as Parquet; return the files' names."""
    runs, traces = run_records(rows), trace_records(rows, scales)
    lines = (json.dumps(_plain(row.describe()), ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    _write(folder / "rows.jsonl", "".join(lines))
    _write(folder / "rows.csv", _csv(runs))
    _write(folder / "traces.csv", _csv(traces))
    names = ["rows.jsonl", "rows.csv", "traces.csv"]
    if has("pyarrow"):
        for name, records in {"rows.parquet": runs, "traces.parquet": traces}.items():
            _write_parquet(folder / name, records)
            names.append(name)
    return names


def table_of(records: Sequence[Record], index: str | None = None) -> Any:
    """Return records as a pandas DataFrame, or as they are where pandas is not installed."""
    if not has("pandas"):
        return list(records)
    import pandas

    frame = pandas.DataFrame.from_records(list(records))
    return frame if index is None or not records else frame.set_index(index)


def has(library: str) -> bool:
    """Return whether a library is installed."""
    return find_spec(library) is not None


def _write(path: Path, text: str) -> None:
    with atomic_write(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))


def _csv(records: Sequence[Record]) -> str:
    text = io.StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return text.getvalue()


def _write_parquet(path: Path, records: Sequence[Record]) -> None:
    import pyarrow
    from pyarrow import parquet

    columns = {name: _column([record[name] for record in records]) for name in (records[0] if records else ())}
    with atomic_path(path) as temporary:
        parquet.write_table(pyarrow.table(columns), temporary)


def _column(values: list[Any]) -> list[Any]:
    """Return values of one type, as a column has it: numbers, or texts where they are not all numbers."""
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float}:
        return [float(value) if float in kinds and value is not None else value for value in values]
    return values if len(kinds) == 1 and kinds <= {bool, str} else [None if value is None else str(value) for value in values]


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Return a description in which what JSON has no number for is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return _finite(value) if isinstance(value, float) else value
