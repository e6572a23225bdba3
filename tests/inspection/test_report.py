"""The report of a pruning: its figures against a recount, its page as a browser reads it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes

from sklearn_prune import InfluencePruner
from sklearn_prune.baselines import RandomPruner
from sklearn_prune.inspection import KeptShare, Represented, report

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
VOID = {"meta", "br", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Checks that tags nest, and collects text, tags and what is loaded from elsewhere."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open, self.tags, self.texts, self.links = [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.texts.append(text)


@pytest.fixture(scope="module")
def raw():
    rng = np.random.default_rng(0)
    n = 200
    return pd.DataFrame(
        {
            "age": rng.normal(40, 10, n),
            "colour": rng.choice(["red", "blue"], n),
            "<b>odd & long</b>": rng.normal(size=n),
            "constant": 1.0,
        }
    ), np.array(["yes", "no"])[(np.arange(n) % 4 == 0).astype(int)]


@pytest.fixture(scope="module")
def pruner(raw):
    rows = raw[0].assign(colour=raw[0]["colour"] == "red").to_numpy(dtype=float)
    return InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0).fit(rows, raw[1])


@pytest.fixture(scope="module")
def result(pruner, raw):
    return report(pruner, *raw, groups=raw[0]["colour"])


def test_classes_and_groups_are_counted(result, pruner, raw):
    X, y = raw
    kept = pruner.support_
    assert result.n_kept == kept.sum() and result.n_dropped == (~kept).sum()
    assert result.classes == tuple(
        KeptShare(label, int((y == label).sum()), int((y[kept] == label).sum()))
        for label in ("no", "yes")
    )
    assert sum(group.n_dropped for group in result.groups) == result.n_dropped


def test_columns_moved_by_the_standardised_difference_of_means(result, pruner, raw):
    X = raw[0].assign(colour=raw[0]["colour"] == "red").astype(float)
    expected = ((X[pruner.support_].mean() - X.mean()) / X.std(ddof=0)).fillna(0.0)
    assert {c.name for c in result.columns} == set(X.columns)
    for column in result.columns:
        assert abs(column.difference) == pytest.approx(abs(expected[column.name]), abs=1e-5)
    sizes = [abs(column.difference) for column in result.columns]
    assert sizes == sorted(sizes, reverse=True)


def test_histograms_hold_all_rows(result):
    for column in result.columns:
        assert sum(column.all_rows) == pytest.approx(1)
        assert sum(column.kept_rows) == pytest.approx(1)


def test_a_dropped_row_is_represented_by_the_nearest_kept_row_of_its_class(result, pruner, raw):
    X, y = raw
    dummies = pd.get_dummies(X, dtype=float).drop(columns="constant")
    names, Z = dummies.columns.str.replace(r"^colour_.*", "colour", regex=True), dummies.to_numpy()
    Z = Z / Z.std(axis=0)
    for row in np.flatnonzero(~pruner.support_)[:20]:
        kept = np.flatnonzero(pruner.support_ & (y == y[row]))
        distances = np.linalg.norm(Z[kept] - Z[row], axis=1)
        found = result.represented_by(row)
        assert found.kept_row == kept[distances.argmin()]
        assert found.distance == pytest.approx(distances.min(), rel=1e-4)
        # Two columns for the colour, which differ together.
        squares = dict.fromkeys(X.columns, 0.0)
        for name, difference in zip(names, Z[found.kept_row] - Z[row], strict=True):
            squares[name] += difference**2
        differing = sorted((name for name in squares if squares[name]), key=squares.get)
        assert found.differs_in == tuple(reversed(differing))


def test_a_kept_row_represents_itself(result, pruner):
    row = int(pruner.sample_indices_[3])
    assert result.represented_by(row) == Represented(row, row, 0.0)


@pytest.mark.parametrize("row", [-1, 200, 1.0, None])
def test_rows_that_are_not_there_are_refused(result, row):
    with pytest.raises(ValueError, match="row must be a position from 0 to 199"):
        result.represented_by(row)


def test_the_dict_is_json_and_holds_the_certificate(result, pruner):
    facts = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert facts["rows"] == {"all": 200, "kept": 40, "dropped": 160}
    assert facts["promise"] == pruner.certificate_.summary()
    assert facts["seed"] == facts["settings"]["random_state"] == 0
    assert facts["certificate"] == pruner.certificate_.to_dict()
    assert facts["certificate"]["predicted_change"] == pruner.certificate_.predicted_change
    assert facts["certificate"]["saving_bound"] is None
    assert facts["certificate"]["seconds"].keys() >= {"selection", "certificate"}


def test_the_page_stands_alone_and_shows_text_as_text(result):
    page = Page(result.to_html())
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.links == []
    text = " ".join(page.texts)
    assert "<b>odd & long</b>" in text and "b" not in page.tags
    assert result.promise in text
    assert page.tags.count("figure") == min(5, len(result.columns))
    assert page.tags.count("svg") == 2 * page.tags.count("figure")


def test_a_notebook_shows_the_page_without_touching_its_own_style(result):
    shown = result._repr_html_()
    assert shown in result.to_html() and "body {" not in shown
    Page(shown)


def test_save_writes_the_page(result, tmp_path):
    result.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == result.to_html()


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
@pytest.mark.parametrize("width", [390, 1200], ids=["narrow", "wide"])
def test_a_browser_lays_the_page_out_within_its_window(result, tmp_path, width):
    # Chromium makes no window narrower than 500 pixels without a display; a frame may be.
    probe = (
        "<script>onload = () => {{ const d = document.querySelector('iframe').contentDocument"
        ".documentElement; document.title = `${{d.scrollWidth}} of ${{d.clientWidth}}` }}</script>"
        "<iframe style='border: 0; width: {width}px; height: 900px' srcdoc='{page}'></iframe>"
    )
    html = result.to_html().replace("&", "&amp;").replace("'", "&#39;")
    (tmp_path / "probe.html").write_text(probe.format(width=width, page=html), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", (tmp_path / "probe.html").as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    needed, offered = re.search(r"<title>(\d+) of (\d+)</title>", done.stdout).groups()
    # A scroll bar at the side takes some pixels.
    assert width - 20 <= int(needed) == int(offered) <= width


def test_a_target_of_numbers_is_a_column_that_moved():
    X, y = load_diabetes(return_X_y=True, as_frame=True)
    pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, random_state=0).fit(
        X, y, target_kind="regression"
    )
    result = report(pruner, X, y)
    (target,) = [column for column in result.columns if column.name == "target"]
    expected = (y[pruner.support_].mean() - y.mean()) / y.std(ddof=0)
    assert target.difference == pytest.approx(expected, abs=1e-4)
    assert result.classes == ()


def test_weighted_rows_are_reported_with_their_weights():
    X, y = load_diabetes(return_X_y=True)
    pruner = InfluencePruner(prune_ratio=0.8, damping=1e-2, reweight=True, random_state=0)
    pruner.fit(X, y, target_kind="regression")
    kept, weights = X[pruner.support_, 0], pruner.sample_weight_
    expected = (np.average(kept, weights=weights) - X[:, 0].mean()) / X[:, 0].std()
    (first,) = [c for c in report(pruner, X, y).columns if c.name == "column 0"]
    assert first.difference == pytest.approx(expected, abs=1e-5)


def test_a_pruner_without_certificate_promises_nothing(iris):
    pruner = RandomPruner(prune_ratio=0.5, random_state=np.random.RandomState(0)).fit(*iris)
    result = report(pruner, *iris)
    assert "promises nothing" in result.promise and "RandomPruner" in repr(result)
    facts = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert facts["certificate"] is None and facts["seed"].startswith("RandomState")
    Page(result.to_html())


def test_nothing_dropped_is_reported_too(iris):
    pruner = RandomPruner(prune_ratio=0.0, random_state=0).fit(*iris)
    result = report(pruner, *iris)
    assert result.n_dropped == 0 and result.examples == ()
    Page(result.to_html())


def test_labels_in_a_column_and_groups_of_several_types_are_counted(iris):
    X, y = iris
    pruner = RandomPruner(prune_ratio=0.5, random_state=0).fit(X, y)
    groups = ["a"] * 50 + [1] * 100
    result = report(pruner, X, y[:, np.newaxis], groups=groups)
    assert result.classes == report(pruner, X, y).classes
    assert [(share.label, share.n_samples) for share in result.groups] == [("1", 100), ("a", 50)]


def test_what_is_not_aligned_is_refused(iris_pruner, iris):
    X, y = iris
    with pytest.raises(ValueError, match="y must have one entry for each of the 150 training rows"):
        report(iris_pruner, X, y[1:])
    with pytest.raises(TypeError, match="pruner must be .*, no ndarray. Give the pruner_"):
        report(X, y)
    with pytest.raises(TypeError, match="it is a TensorDataset, a torch dataset. Give its rows"):
        report(iris_pruner, torch.utils.data.TensorDataset(torch.zeros(150, 4)))
