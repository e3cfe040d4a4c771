"""The net as a drawing: layers in columns by depth, branches side by side, layers with a page wide enough for their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from dreamopt.atlas.site.source import items, text

LANE = 46
"""Height of a lane."""
_GAP, _DOT, _MARGIN = 26, 12, 24
_MOST_BENDS = 6000  # points at which edges pass a column; beyond, edges are straight
_SWEEPS = 6
_LONGEST = 22  # characters of a name that a box shows


def drawing(graph: Any, with_page: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the boxes, dots and edges of a net's graph, placed; None where there is none.

    Parameters
    ----------
    graph : object
        ``nodes`` and ``edges`` as in atlas.json; what is damaged is left out.
    with_page : mapping
        Addresses of layers that have a page.
    """
    nodes = items(graph.get("nodes")) if isinstance(graph, Mapping) else []
    if not nodes:
        return None
    edges = sorted({edge for edge in map(_edge, graph.get("edges") or []) if edge and edge[1] < len(nodes)})
    depth = _depths(len(nodes), edges)
    paths, columns = _columns(depth, edges)
    lane = _lanes(columns, paths)
    boxes = [_is_page(node, with_page) for node in nodes]
    widths = [max((_width(nodes[i]) if boxes[i] else _DOT for i in column if i < len(nodes)), default=_DOT) for column in columns]
    centres, x = [], float(_MARGIN)
    for width in widths:
        centres.append(x + width / 2)
        x += width + _GAP
    low = min(lane.values())
    y = {point: (value - low) * LANE + LANE / 2 + 8 for point, value in lane.items()}
    half = [(_width(node) if box else _DOT) / 2 for node, box in zip(nodes, boxes, strict=True)]
    column_of = {point: number for number, column in enumerate(columns) for point in column}
    placed = [
        {
            "name": text(node.get("name")) or "",
            "short": _short(text(node.get("name")) or ""),
            "type": text(node.get("type")) or "",
            "slug": node.get("slug") if box else None,
            "x": round(centres[column_of[i]], 1),
            "y": round(y[i], 1),
            "half": half[i],
        }
        for i, (node, box) in enumerate(zip(nodes, boxes, strict=True))
    ]
    lines = [_line([(centres[column_of[p]], y[p], half[p] if p < len(nodes) else 0.0) for p in points]) for points in paths]
    return {"nodes": placed, "edges": lines, "width": round(x - _GAP + _MARGIN), "height": round(max(y.values()) + LANE / 2 + 8)}


def _edge(edge: Any) -> tuple[int, int] | None:
    """Return an edge as two places; layers run in the order of their places, so that there is no circle."""
    if isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge) and 0 <= edge[0] < edge[1]:
        return edge[0], edge[1]
    return None


def _depths(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    depth = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        depth[target] = max(depth[target], depth[source] + 1)
    return depth


def _columns(depth: Sequence[int], edges: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[list[int]]]:
    """Return each edge as the points that it passes, one a column, and the points of each column."""
    columns: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for node, place in enumerate(depth):
        columns[place].append(node)
    bends = sum(depth[target] - depth[source] - 1 for source, target in edges)
    paths, free = [], len(depth)
    for source, target in edges:
        path = [source]
        if bends <= _MOST_BENDS:
            for place in range(depth[source] + 1, depth[target]):
                columns[place].append(free)
                path.append(free)
                free += 1
        paths.append([*path, target])
    return paths, columns


def _lanes(columns: list[list[int]], paths: Sequence[Sequence[int]]) -> dict[int, float]:
    """Return the lane of each point: columns are ordered by the middle of their neighbours, there and back, and centred."""
    before: dict[int, list[int]] = {}
    after: dict[int, list[int]] = {}
    for path in paths:
        for source, target in pairwise(path):
            before.setdefault(target, []).append(source)
            after.setdefault(source, []).append(target)
    lane = {point: place - (len(column) - 1) / 2 for column in columns for place, point in enumerate(column)}
    for sweep in range(_SWEEPS):
        neighbours = before if sweep % 2 == 0 else after
        for column in columns if sweep % 2 == 0 else reversed(columns):
            wanted = {p: _middle([lane[q] for q in neighbours.get(p, ())], lane[p]) for p in column}
            column.sort(key=lambda p: wanted[p])
            for place, point in enumerate(column):
                lane[point] = place - (len(column) - 1) / 2
    return lane


def _middle(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _line(points: Sequence[tuple[float, float, float]]) -> str:
    """Return the path of an edge: level where it leaves and where it arrives."""
    x, y, half = points[0]
    drawn, x = f"M{x + half:.1f} {y:.1f}", x + half
    for place, (end, level, width) in enumerate(points[1:], start=2):
        stop = end - width if place == len(points) else end
        middle = (x + stop) / 2
        drawn += f"L{stop:.1f} {level:.1f}" if level == y else f"C{middle:.1f} {y:.1f} {middle:.1f} {level:.1f} {stop:.1f} {level:.1f}"
        x, y = stop, level
    return drawn


def _is_page(node: Mapping[str, Any], with_page: Mapping[str, Any]) -> bool:
    slug = node.get("slug")
    return isinstance(slug, str) and slug in with_page


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST // 2 - 1]}…{name[-_LONGEST // 2 :]}"


def _width(node: Mapping[str, Any]) -> float:
    return 22 + 7.4 * len(_short(text(node.get("name")) or ""))
