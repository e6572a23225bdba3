"""The page of a pruning report: HTML, style and drawings in one file, without scripts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from ..matching import Certificate
from ._kept_shares import KeptShare
from ._moved_columns import MovedColumn, Represented

_N_DRAWN, _N_LISTED = 5, 100
# Standardised differences beyond this are drawn at full length.
_LONGEST_BAR = 0.5

_STYLE = """
.prune-report { color-scheme: light; max-width: 60rem; margin: 0 auto; padding: 1rem;
  font: 16px/1.5 system-ui, sans-serif; color: #1c2330; background: #fff; }
.prune-report h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
.prune-report h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; border-bottom: 1px solid #d5dae2; }
.prune-report p { margin: .5rem 0; max-width: 45rem; }
.prune-report .lead { font-size: 1.1rem; }
.prune-report .note { color: #566074; font-size: .9rem; }
.prune-report .wide { overflow-x: auto; }
.prune-report table { border-collapse: collapse; width: 100%; font-size: .95rem; }
.prune-report th, .prune-report td { text-align: left; padding: .3rem .8rem .3rem 0;
  vertical-align: top; border-bottom: 1px solid #e8ebf0; }
.prune-report th { font-weight: 600; }
.prune-report td { overflow-wrap: anywhere; min-width: 4rem; }
.prune-report .number { text-align: right; font-variant-numeric: tabular-nums; min-width: 0; }
.prune-report td.number { white-space: nowrap; overflow-wrap: normal; }
.prune-report figure { margin: .8rem 0; display: grid; gap: .3rem 1.2rem; align-items: center;
  grid-template-columns: minmax(0, 1fr) minmax(0, 1fr) minmax(0, 1.4fr); }
.prune-report figcaption { overflow-wrap: anywhere; }
.prune-report svg { display: block; width: 100%; height: 3.2rem; }
.prune-report .all { fill: #c3cad6; } .prune-report .kept { fill: none; stroke: #0b62b8; }
.prune-report .moved { fill: #0b62b8; } .prune-report .axis { stroke: #566074; }
@media (max-width: 40rem) { .prune-report figure { grid-template-columns: minmax(0, 1fr); }
  .prune-report { padding: .75rem; } }
"""


def page(title: str, body: str) -> str:
    """Return a whole page of HTML around what `fragment` returns."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        "<style>body { margin: 0; background: #fff; }</style>\n</head>\n<body>\n"
        f"{body}\n</body>\n</html>\n"
    )


def fragment(title: str, promise: str, *sections: str) -> str:
    """Return what a notebook shows: title, promise and sections of a report, and their style."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="lead">{escape(promise)}</p>',
        '<p class="note">Rows are interchangeable: another seed keeps other rows that serve as '
        "well. That a row is dropped does not say that it is bad.</p>",
        *sections,
    ]
    return f'<div class="prune-report"><style>{_STYLE}</style>\n' + "\n".join(parts) + "</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], n_text: int = 1) -> str:
    """Return a table of escaped cells; all columns but the first ``n_text`` are numbers."""

    def line(tag: str, cells: Sequence[str]) -> str:
        starts = [f"<{tag}>"] * n_text + [f'<{tag} class="number">'] * (len(cells) - n_text)
        filled = [
            f"{start}{escape(cell)}</{tag}>" for start, cell in zip(starts, cells, strict=True)
        ]
        return f"<tr>{''.join(filled)}</tr>"

    body = "\n".join(line("td", cells) for cells in rows)
    return (
        f'<div class="wide"><table><thead>{line("th", head)}</thead>\n'
        f"<tbody>{body}</tbody></table></div>"
    )


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "not known"


def what_it_costs(certificate: Certificate | None) -> str:
    """Return the section of the expected and the observed change."""
    if certificate is None:
        return ""
    unit = "rise of the training loss" if certificate.norm == "loss" else "distance of parameters"
    expected = (certificate.predicted_change, certificate.random_change)
    observed = (certificate.actual_change, certificate.random_actual_change)
    cells = [
        ("expected, to first order", *map(_number, expected)),
        ("observed, last layer refitted", *map(_number, observed)),
    ]
    return f"<h2>What it costs</h2>\n{_table((unit, 'these rows', 'random rows'), cells)}"


def counts(title: str, kind: str, shares: Sequence[KeptShare]) -> str:
    """Return the section of the rows kept of each class or group; empty without any."""
    if not shares:
        return ""
    cells = [
        (
            str(share.label),
            f"{share.n_samples:,}",
            f"{share.n_kept:,}",
            f"{share.n_dropped:,}",
            f"{share.n_kept / share.n_samples:.1%}",
        )
        for share in shares[:_N_LISTED]
    ]
    more = _more(len(shares), kind)
    return (
        f"<h2>{title}</h2>\n{_table((kind, 'rows', 'kept', 'dropped', 'share kept'), cells)}{more}"
    )


def _more(n_entries: int, kind: str) -> str:
    hidden = n_entries - _N_LISTED
    return "" if hidden <= 0 else f'<p class="note">{hidden:,} more, by {kind}, in to_dict().</p>'


def moved_columns(columns: Sequence[MovedColumn]) -> str:
    """Return the section of the columns that moved."""
    drawn = "\n".join(_drawing(column) for column in columns[:_N_DRAWN])
    cells = [(c.name, c.part, f"{c.difference:+.3f}") for c in columns[:_N_LISTED]]
    return (
        "<h2>How far the columns moved</h2>\n"
        "<p>Mean over the rows kept minus mean over all rows, in standard deviations; of a column "
        "that holds categories or dates, the part that moved most. Below 0.1 is small. "
        "InfluencePruner moves some on purpose, to keep more of what is rare or uncertain.</p>\n"
        f'{drawn}\n<p class="note">Bars: the difference, ±{_LONGEST_BAR} at full length. '
        "Histograms: all rows in grey, the rows kept as a line, low values on the left; of two "
        "values, such as a category and all others, the category is on the right.</p>\n"
        f"<details><summary>All columns</summary>"
        f"{_table(('column', 'part', 'difference'), cells, n_text=2)}"
        f"{_more(len(columns), 'column')}</details>"
    )


def _drawing(column: MovedColumn) -> str:
    shares = ""
    if len(column.all_rows) == 2:
        shares = f" from {column.all_rows[1]:.1%} to {column.kept_rows[1]:.1%} of the rows"
    return (
        f"<figure><figcaption>{escape(column.part)}<br><strong>{column.difference:+.3f}</strong>"
        f"{shares}</figcaption>{_bar(column.difference)}{_histogram(column)}</figure>"
    )


def _bar(difference: float) -> str:
    """Return a bar from the axis in the middle, to the left where the mean fell."""
    width, height, middle = 200, 40, 100
    length = middle * min(abs(difference) / _LONGEST_BAR, 1.0)
    start = middle if difference >= 0 else middle - length
    drawing = (
        f'<rect class="moved" x="{start:.2f}" y="10" width="{length:.2f}" height="20"/>'
        f'<line class="axis" x1="{middle}" y1="2" x2="{middle}" y2="{height - 2}" '
        'vector-effect="non-scaling-stroke"/>'
    )
    return _svg(width, height, f"difference {difference:+.3f}", drawing)


def _histogram(column: MovedColumn) -> str:
    """Return bars for all rows, and a line of steps for the rows kept."""
    width, height, bottom = 240, 60, 58
    step = width / len(column.all_rows)
    per_share = (bottom - 2) / max(*column.all_rows, *column.kept_rows)
    bars = "".join(
        f'<rect class="all" x="{i * step + 0.5:.2f}" y="{bottom - per_share * share:.2f}" '
        f'width="{step - 1:.2f}" height="{per_share * share:.2f}"/>'
        for i, share in enumerate(column.all_rows)
    )
    points = " ".join(
        f"{x:.2f},{bottom - per_share * share:.2f}"
        for i, share in enumerate(column.kept_rows)
        for x in (i * step, (i + 1) * step)
    )
    line = (
        f'<polyline class="kept" points="{points}" stroke-width="2" '
        'vector-effect="non-scaling-stroke"/>'
    )
    return _svg(width, height, f"histogram of {column.part}", bars + line)


def _svg(width: int, height: int, label: str, drawing: str) -> str:
    """Return a drawing that the page stretches to the width there is."""
    return (
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{drawing}</svg>'
    )


def represented_by(examples: Sequence[Represented]) -> str:
    """Return the section of dropped rows and those that stand for them."""
    if not examples:
        return ""
    head = ("dropped row", "nearest kept row", "distance", "differs most in")
    cells = [
        (f"{e.row:,}", f"{e.kept_row:,}", f"{e.distance:.2f}", ", ".join(e.differs_in))
        for e in examples
    ]
    return (
        "<h2>Represented by</h2>\n<p>For some of the dropped rows, the nearest row that is kept, "
        "of the same class if there are classes. Distances are in standard deviations of the "
        "columns. Rows are counted from 0; represented_by(row) tells of any other.</p>\n"
        + _table(head, cells, n_text=4)
    )


def settings_table(settings: Mapping[str, object]) -> str:
    """Return the section of the pruner's parameters."""
    cells = [(name, str(value)) for name, value in settings.items()]
    return f"<h2>Settings</h2>\n{_table(('parameter', 'value'), cells, n_text=2)}"
