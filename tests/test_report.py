"""The page and the model card quote metrics/ exactly, need nothing but themselves, and survive odd input."""

import csv
import hashlib
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pandas as pd
import pytest
import yaml
from markupsafe import escape
from test_settings import write_params

from stages import report as stage
from unlearning.audit import catalogue, membership
from unlearning.audit.evaluation import EXAMPLES
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, write_metrics, write_series, write_table
from unlearning.charts import style
from unlearning.data import copies, request
from unlearning.data.request import Request
from unlearning.report import card as card_of
from unlearning.report import evidence, quoting
from unlearning.report import page as page_of
from unlearning.report.metrics import TABLES, Metrics, dotted
from unlearning.report.quoting import html_quoter
from unlearning.settings.game import GameParams
from unlearning.settings.report import ReportParams
from unlearning.settings.whole import load_params

ROOT = Path(__file__).parents[1]
HOSTILE = (
    '<b>"bold"</b>',
    "$a_{b}$",
    "it's a `tick` | pipe & more",
    "name " * 40,
    "ゾウ象코끼리ช้าง",
    "cat.with\\dots.",
    "{{ metric() }}",
    "-->]]>",
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "ftp://evil.example/x",
    "@octocat",
    "WWW.evil.example",
)
VARIED = ("membership_auc", "membership_tpr", "cka_to_original", "cka_to_retrained", "auditor_auc")
LAYERS = ("stem", "layer1", "layer2", "layer3", "features")
NEEDS = "not measured: needs 100 images"
NO_REFERENCE = "no reference"
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """A parsed page: tags in order, quoted figures, ids, and whether all tags were closed in order."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.quotes: list[list[str]] = []
        self.text = ""
        self._quoting: list[tuple[int, list[str]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        found = {key: value or "" for key, value in attrs}
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if "data-metric" in found:
            quote = [found["data-metric"], found.get("value", ""), ""]
            self.quotes.append(quote)
            self._quoting.append((len(self.open), quote))

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        if self._quoting and self._quoting[-1][0] == len(self.open):
            self._quoting.pop()
        self.open.pop()

    def handle_data(self, data):
        self.text += data
        for _, quote in self._quoting:
            quote[2] += data

    def values(self, name: str) -> list[str]:
        """Return an attribute's value of every tag that has it."""
        return [attributes[name] for _, attributes in self.tags if name in attributes]


NAMES = catalogue.ordered(
    [
        *(key for key in catalogue.ENTRIES if key.split(".")[0] not in VARIED),
        *(f"membership_auc.{attack}" for attack in (*membership.ATTACKS, "layer3", "features")),
        *(f"membership_tpr.at_{n}_percent.{attack}" for n in (1, 5) for attack in membership.ATTACKS),
        *(f"cka_to_{to}.{layer}" for to in ("original", "retrained") for layer in LAYERS),
        *(f"auditor_auc.{seen}" for seen in ("outputs", "features")),
    ]
)  # fmt: skip


def audit_figures(models: int) -> list[dict[str, Any]]:
    """Return a row per figure, all values different; without retrained models as the audit has it then."""
    count = iter(range(1, 10_000))

    def new() -> float:
        return next(count) / 1000

    words = ("inside", "outside")
    rows = []
    for number, name in enumerate(NAMES):
        compared: dict[str, Any] = {"distance": new(), "limit": new()}
        compared["reading"] = words[number % 2]
        if not models:
            compared = dict.fromkeys(compared, NO_REFERENCE)
        values = {model: new() for model in ("unlearned", "original", "head_edited")}
        retrained = {f"retrained ({seed})": new() for seed in range(1, models + 1)}
        rows.append(
            {"figure": name, "decisive": "yes" if catalogue.decides(name) else "no", **compared}
            | {"low": new(), "high": new(), **values}
            | {"retrained": new() if models else NO_REFERENCE, **retrained}
        )
    return rows


def audit(models: int) -> dict[str, Any]:
    """Return as much of an audit.json as the report reads."""
    return {
        "request": "classes",
        "retrained": {"models": models} if models else NO_REFERENCE,
        "original": {"memory": "outside" if models else NO_REFERENCE},
        "error_rates": {
            "false_alarms": 0.0311,
            "false_alarms_of": 24,
            "caught": 0.9622,
            "caught_of": 6,
        },
        "worst_forget_accuracy": 0.0202,
        "verdict": "told apart" if models else "not contradicted",
        "verdicts": {
            "original": "failed: still known",
            "head_edited": "told apart" if models else "contradicted",
        },
        "article_comparison": "disagree: told apart" if models else "not compared",
    }


def accuracies(models: int) -> dict[str, Any]:
    """Return evaluate_forget.json and evaluate_retain.json by their names."""
    reference = {"test_accuracy": 0.0123, "test_accuracy_spread": 0.0045}
    return {
        "evaluate_forget": {
            "train_accuracy": 0.0301, "test_accuracy": 0.0202, "images": 7,
            "original": {"test_accuracy": 0.9189},
            "retrained": reference if models else NO_REFERENCE,
            "assessment": "forgotten and kept", "article_assessment": "good", "confidence_mean": 0.4,
            "discriminator_score": {"mean": 0.2},
        },
        "evaluate_retain": {
            "train_accuracy": 0.9303, "test_accuracy": 0.8808, "images": 70, "chance": 0.3333,
            "kept_against": 0.9069,
            "original": {"test_accuracy": 0.9069},
            "retrained": reference if models else NO_REFERENCE,
        },
    }  # fmt: skip


def write_run(
    folder: Path,
    classes: tuple[str, ...] = ("cat", "cow", "dog", "elephant"),
    forget: tuple[str, ...] = ("elephant",),
    seeds: tuple[int, ...] = (1, 2),
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    change_tables: Callable[[dict[str, list[dict[str, Any]]]], None] = lambda _: None,
    **params: Any,
) -> Path:
    """Write all that the stage reads to a folder, as a run with so many classes leaves it."""
    contents = {
        **accuracies(len(seeds)),
        "audit": audit(len(seeds)),
        "prepare_data": {
            "images": 25 * len(classes), "duplicates": 3, "conflicting_duplicates": 1, "skipped": 60,
            "image_size": 64,
        },
        "split_dataset": {
            **{role: {"train": 15, "test": 7} for role in ("forget", "retain")},
            "withdrawn": 1, "forget_images_also_retained": 2,
        },
        "train_original": {"validation_accuracy": 0.9692},
        "retrain": {"validation_accuracy": {str(seed): 0.906 for seed in seeds}},
        "adversarial_train": {
            "image_passes": 1310, "cost_ratio": 0.0919,
            "cost_assessment": "cheaper than retraining", "warnings": "none",
            "final": {"discriminator_accuracy": 0.7, "effective_classes": 3.1},
        },
    }  # fmt: skip
    change(contents)
    for name, values in contents.items():
        write_metrics(folder / f"metrics/{name}.json", values)
    write_plots(folder / "plots", classes, forget, seeds, change_tables)
    write_data(folder, classes, forget)
    write_params(
        folder, **{"forget__classes": list(forget), "retrain__seeds": list(seeds), **params}
    )
    return folder


def write_plots(
    folder: Path,
    classes: tuple[str, ...],
    forget: tuple[str, ...],
    seeds: tuple[int, ...],
    change: Callable[[dict[str, list[dict[str, Any]]]], None],
) -> None:
    kept = [name for name in classes if name not in forget]
    reference = {f"retrained ({seed})": 0.7 for seed in seeds} | (
        {"retrained": 0.7} if seeds else {}
    )
    neighbour = (
        "feature_similarity",
        "ssim",
        "destination",
        "destination_retrained",
        "against_original",
    )
    models = ("original", "unlearned", *(f"retrained ({seed})" for seed in seeds), "head_edited")
    tables: dict[str, list[dict[str, Any]]] = {
        "audit_figures": audit_figures(len(seeds)),
        "images_per_class": [{"class": name, "images": 25} for name in sorted(classes)],
        "destinations": [
            {"class": name, "original": 1 / len(classes), "unlearned": 1 / len(classes), **reference}
            for name in classes
        ],
        "per_class": [{"class": name, "original": 0.9, "unlearned": 0.8, **reference} for name in kept],
        "neighbours": [
            {"class": name, **{key: number / 7 for number, key in enumerate(neighbour)}} for name in kept
        ],
        "neighbour_correlation": [
            {"likeness": key, "destination": 0.5, "destination_retrained": NO_REFERENCE,
             "against_original": -0.25}
            for key in ("feature_similarity", "ssim")
        ],
        "train_original": [{"epoch": epoch, "loss": 1.5 / epoch} for epoch in (1, 2)],
        "retrain": [{"seed": s, "epoch": e, "loss": 1.4 / e} for s in seeds for e in (1, 2)],
        "adversarial_train": [
            {"epoch": 1, "discriminator_loss": 1.2, "generator_loss": 0.8, "retain_loss": 0.1}
        ],
        "forget_confusion": [{"actual": name, "predicted": classes[0]} for name in forget],
        "retain_confusion": [
            {"actual": name, "predicted": name} for name in classes if name not in forget
        ],
        "audit_layers": [
            {"model": model, "layer": layer, "probe_recall": 0.5, "knn_recall": NEEDS,
             "cka_to_original": 0.9, "cka_to_retrained": 0.8 if seeds else NO_REFERENCE}
            for model in models for layer in LAYERS
        ],
        "audit_relearning": [
            {"model": model, "images": images, "passes": passes, "forget_accuracy": passes / 64}
            for model in models for images in ("forget and retain", "retain only")
            for passes in (0, 32)
        ],
        "audit_histograms": [
            {"model": model, "quantity": quantity, "low": low, "high": low + 0.5, "share": 0.5}
            for model in models for quantity in ("confidence", "entropy") for low in (0.0, 0.5)
        ],
    }  # fmt: skip
    change(tables)
    for name, rows in tables.items():
        write_series(
            folder / f"{name}.csv", rows, list(rows[0]) if rows else ["seed", "epoch", "loss"]
        )


def write_data(folder: Path, classes: tuple[str, ...], forget: tuple[str, ...]) -> None:
    names = sorted(classes) * 3
    (folder / "data/images").mkdir(parents=True)
    np.save(folder / "data/images/00000.npy", np.full((len(names), 32, 32, 3), 99, dtype=np.uint8))
    request.write(Request(forget), folder / "data/request.json")
    # Ids are not row numbers: a picture must be found by its row.
    samples = pd.DataFrame({"id": range(5, len(names) + 5), "path": "x.png", "class": names})
    write_table(folder / "data/samples.csv", samples)
    write_table(folder / "data/split.csv", samples[["id"]])
    skipped = pd.DataFrame({"path": [f"<i>{n}.jpg" for n in range(60)], "reason": "empty file"})
    write_table(folder / "data/skipped.csv", skipped)
    found = pd.DataFrame({"id": range(60), "path": [f"<b>{n}.jpg" for n in range(60)]})
    for column in copies.COLUMNS[1:]:
        found[column] = found.get(column, f"<u>{column}")
    write_table(folder / "data/copies.csv", found)
    shown = samples[samples["class"].isin(forget)]["id"]
    rows = [
        {"id": number, "model": model, "rank": rank, "class": classes[rank], "probability": 0.5 / rank}
        for number in shown for model in ("original", "unlearned", "retrained") for rank in (1,)
    ]  # fmt: skip
    write_series(folder / "data/audit_examples.csv", rows, list(rows[0]))
    for name in (
        "original",
        "unlearned",
        "discriminator",
        "retrained/1",
        "retrained/10",
        "retrained/2",
    ):
        path = folder / f"models/{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())


def make(folder: Path) -> tuple[str, str]:
    """Run the stage in a folder and return the page and the model card."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        stage.main()
    texts = [folder / "report/index.html", folder / "report/model_card.md"]
    page, card = (path.read_text(encoding="utf-8") for path in texts)
    return page, card


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def made(run: Path) -> tuple[str, str]:
    return make(run)


@pytest.fixture(scope="module")
def page(made: tuple[str, str]) -> Page:
    return Page(made[0])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str]:
    """Return a run whose classes have names to break a page with; three of them are forgotten."""
    folder = write_run(tmp_path_factory.mktemp("hostile"), HOSTILE, HOSTILE[:3])
    return folder, *make(folder)


def value_at(folder: Path, path: str) -> Any:
    """Look a path up in a metrics folder as a reader would: written apart from the page's own code."""
    keys = [
        re.sub(r"\\(.)", r"\1", key, flags=re.DOTALL)
        for key in re.findall(r"(?:\\.|[^.\\])+", path, flags=re.DOTALL)
    ]
    if keys[0] in TABLES:
        with (folder / f"plots/{keys[0]}.csv").open(encoding="utf-8", newline="") as file:
            rows = {row[TABLES[keys[0]]]: row for row in csv.DictReader(file)}
        cell = rows[keys[1]][keys[2]]
        return float(cell) if re.fullmatch(r"-?[\d.]+", cell) else cell
    value = json.loads((folder / f"metrics/{keys[0]}.json").read_text())
    for key in keys[1:]:
        value = value[key]
    return value


def assert_quoted_exactly(folder: Path, parsed: Page) -> None:
    for path, attribute, text in parsed.quotes:
        value = value_at(folder, path)
        if isinstance(value, str):
            assert value in (attribute, text), path
        else:
            assert attribute == json.dumps(value), path
            digits = re.sub(r"[ ,%]", "", text).replace("−", "-")
            # Figures of counts lose a trailing ".0".
            decimals = len(digits.partition(".")[2]) or 1
            scale = 100 if text.endswith("%") else 1
            assert abs(float(digits) - scale * value) <= 0.5 / 10**decimals + 1e-9, (path, text)


def assert_sound(text: str) -> Page:
    """Check what must hold of every page: balanced, self-contained, no id twice, no script."""
    parsed = Page(text)
    assert parsed.open == []
    ids = parsed.values("id")
    assert len(ids) == len(set(ids))
    for name in ("src", "href"):
        for target in parsed.values(name):
            assert target.startswith(("#", "data:image/")), target
            assert not target.startswith("#") or target[1:] in ids, target
    everything = " ".join(value for _, tag in parsed.tags for value in tag.values())
    targets = re.findall(r"url\(([^)]*)\)", everything)
    assert all(target[0] == "#" and target[1:] in ids for target in targets), targets
    assert not re.search(r"https?://|url\((?!#)|@import", text)
    assert not {"script", "link", "iframe", "object", "form", "b:script"} & {
        tag for tag, _ in parsed.tags
    }
    assert not [key for _, tag in parsed.tags for key in tag if key.startswith("on")]
    return parsed


def damage(folder: Path, path: str, column: str, value: str | None) -> None:
    """Put a value into the last row's cell of a table, or take the column away."""
    table = pd.read_csv(folder / path, dtype=str, keep_default_na=False)
    if value is None:
        table = table.drop(columns=column)
    else:
        table.loc[table.index[-1], column] = value
    write_table(folder / path, table)


@pytest.mark.parametrize(
    ("path", "column", "value", "said"),
    [
        ("plots/destinations.csv", "unlearned", "many", r"destinations\.elephant\.unlearned .* no number"),
        ("plots/destinations.csv", "unlearned", None, r"destinations\..*\.unlearned .* not there"),
        ("plots/per_class.csv", "original", "nan", r"per_class\.dog\.original .* no number"),
        ("plots/audit_layers.csv", "model", "stranger", "model 'stranger', which is unknown"),
        ("plots/audit_histograms.csv", "model", "", "model '', which is unknown"),
        ("plots/audit_figures.csv", "decisive", None, r"decisive .* not there"),
        ("data/audit_examples.csv", "id", "999", "do not belong together"),
    ],
)  # fmt: skip
def test_a_damaged_table_is_refused_in_one_line(tmp_path, path, column, value, said):
    """Must fail if a table's cell or column is looked up without `Metrics`, or a model without a check."""
    folder = write_run(tmp_path)
    damage(folder, path, column, value)
    with pytest.raises(UserError, match=said):
        make(folder)


@pytest.mark.parametrize(
    ("path", "column"),
    [("plots/adversarial_train.csv", "epoch"), ("plots/audit_histograms.csv", "high")],
)
def test_a_row_without_a_number_is_not_drawn(tmp_path, path, column):
    """Must fail if a word in a curve's table ends in a traceback."""
    folder = write_run(tmp_path)
    damage(folder, path, column, "not measured")
    make(folder)


def test_every_figure_on_the_page_is_the_files_own(run, page):
    """Must fail if a figure is rounded in its value, looked up at another path or typed by hand."""
    assert_quoted_exactly(run, page)
    quoted = {path for path, _, _ in page.quotes}
    for name in NAMES:
        escaped = name.replace(".", "\\.")
        for column in (
            "unlearned", "original", "head_edited", "retrained",
            "low", "high", "distance", "limit", "reading",
        ):  # fmt: skip
            assert f"audit_figures.{escaped}.{column}" in quoted
    assert {"audit.verdict", "evaluate_forget.article_assessment", "adversarial_train.cost_ratio",
            "evaluate_retain.retrained.test_accuracy_spread"} <= quoted  # fmt: skip


def test_the_page_is_balanced_and_needs_nothing_but_itself(made):
    """Must fail if a tag stays open, two charts share an id, or anything is fetched or run."""
    parsed = assert_sound(made[0])
    policy = next(tag["content"] for _, tag in parsed.tags if "http-equiv" in tag)
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert next(tag for name, tag in parsed.tags if name == "html")["lang"] == "en"
    assert all(tag.get("alt") for name, tag in parsed.tags if name == "img")
    drawn = [tag for name, tag in parsed.tags if name == "svg"]
    assert len(drawn) == 13 - 1, "one chart holds no number and is not drawn"
    assert all(tag["role"] == "img" and tag["aria-label"] for tag in drawn)


def test_charts_take_the_pages_colours_and_keep_their_ids_apart(page, made):
    """Must fail if a stand-in colour stays, or an id is not the chart's own."""
    drawings = made[0].split("</style>")[1].lower()
    for name in ("INK", "RULE", "ORANGE", "BLUE", "GREY", "PURPLE"):
        assert getattr(style, name) not in drawings
    for name in ("currentcolor", "var(--rule)", "var(--unlearned)", "var(--head-edited)"):
        assert name in drawings
    drawn = [tag["id"] for name, tag in page.tags if name in ("clippath", "path") and "id" in tag]
    assert {name.split("-")[0] for name in drawn} >= {"destinations", "game", "training"}


def test_the_same_inputs_give_the_same_bytes(run, made):
    """Must fail if a date, a random id or the order of a set gets into an output."""
    assert make(run) == made
    assert str(run) not in made[0] + made[1]


def test_figures_that_decide_the_verdict_are_marked(page):
    """Must fail if every figure, or none, is shown as decisive."""
    decisive = {name for name in NAMES if catalogue.decides(name)}
    assert 0 < len(decisive) < len(NAMES)
    linked = {
        tag["href"].removeprefix("#figure-")
        for name, tag in page.tags
        if name == "a" and tag.get("class") == "decides"
    }
    rows = [tag for name, tag in page.tags if name == "th" and tag.get("class") == "decides"]
    assert linked == decisive
    assert len(rows) == len(decisive)


def test_every_figure_has_a_title_a_meaning_and_a_direction(page):
    """Must fail if a figure of the audit is not explained, or an explanation is not on the page."""
    for name in NAMES:
        assert catalogue.title(name) in page.text
        assert catalogue.entry(name).meaning in page.text
        assert catalogue.entry(name).good in page.text
    with pytest.raises(KeyError, match="does not explain"):
        catalogue.family("new_figure")


def test_the_page_shows_before_it_tells(page):
    """Must fail if anything but the verdict stands above the pictures, or a text above the audit."""
    sections = [tag["id"] for name, tag in page.tags if name == "section"]
    assert sections[:5] == ["verdict", "seen", "audit", "reading", "figures"]
    order = [tag.get("id") or name for name, tag in page.tags if name in ("section", "img", "svg")]
    assert order[:3] == ["verdict", "seen", "img"]
    assert "svg" in order[: order.index("audit")], "where the forgotten images went"
    assert re.findall("original|unlearned|retrained", page.text[page.text.index("In bold") :])[
        :3
    ] == ["original", "unlearned", "retrained"]


def test_the_verdict_speaks_in_names_and_keys_stay_in_the_tables(page):
    """Must fail if a key of metrics/ stands in a sentence."""
    said = [text for path, _, text in page.quotes if "verdict" in path or "assessment" in path]
    assert len(said) >= 5
    assert not [text for text in said if re.search(r"\w_\w|\w\.[a-z]", text)]


def test_class_names_are_text_and_nothing_else(hostile):
    """Must fail if autoescape is off, or a path with dots and quotes is not told apart."""
    folder, text, _ = hostile
    parsed = assert_sound(text)
    assert_quoted_exactly(folder, parsed)
    for name in HOSTILE:
        assert str(escape(name)).strip() in text
    assert "<b>" not in text.replace("<b>unlearned", "").replace("<b>original", "").replace(
        "<b>head-edited", ""
    ).replace("<b>retrained", "")


def test_what_training_began_with_stands_beside_its_own_figures(tmp_path):
    """Must fail if its probe is held beside figures that metrics/ lack, or another model's."""

    def change(tables: dict[str, list[dict[str, Any]]]) -> None:
        for row in tables["audit_figures"]:
            row["start"] = 0.5

    begun = dict.fromkeys(("probe_recall", "few_shot_recall", "knn_recall"), 0.25)
    folder = write_run(
        tmp_path, change=lambda found: found["audit"].update(start=begun), change_tables=change
    )
    parsed = Page(make(folder)[0])
    assert_quoted_exactly(folder, parsed)
    quoted = [path for path, _, _ in parsed.quotes]
    first = quoted.index("audit.start.probe_recall")
    assert quoted[first + 1 : first + 3] == [
        "audit_figures.probe_recall.unlearned",
        "audit_figures.probe_recall.retrained",
    ]


def test_several_classes_to_forget_are_all_named(hostile):
    """Must fail if only the first class to forget is shown, or a name is Markdown in the model card."""
    _, text, card = hostile
    heading = re.search(r"<h1>(.*?)</h1>", text, re.DOTALL)
    assert heading
    for name in HOSTILE[:3]:
        assert str(escape(name)) in heading.group(1)
    assert "\\<b\\>" in card and "\\$a\\_{b}\\$" in card and "\\`tick\\` \\| pipe" in card


def test_without_retrained_models_the_page_says_so(tmp_path):
    """Must fail if "no reference" in the place of a figure or a whole table breaks the report."""
    folder = write_run(tmp_path, seeds=())
    text, card = make(folder)
    parsed = assert_sound(text)
    assert_quoted_exactly(folder, parsed)
    assert NO_REFERENCE in parsed.text and NO_REFERENCE in card


@pytest.mark.parametrize(
    ("seeds", "reference", "limits"),
    [
        ((), "Reference: none. No model", "rest on no retrained models"),
        ((1,), "Reference: one model, retrained", "rest on no retrained models"),
        ((1, 2), "Reference: the mean of 2 models, retrained", "rest on 2 retrained models"),
    ],
)
def test_the_model_cards_references_are_counted_in_words(tmp_path, seeds, reference, limits):
    """Must fail if a card speaks of the "mean of no reference", or of limits that rest on one model."""
    _, card = make(write_run(tmp_path, seeds=seeds))
    assert reference in card and f"- The limits {limits}" in card


def test_figures_that_were_not_measured_are_named_so(tmp_path):
    """Must fail if words in the place of a number are left out, or crash a table or a chart."""

    def change(tables: dict[str, list[dict[str, Any]]]) -> None:
        for row in tables["audit_figures"]:
            if row["figure"].startswith("membership"):
                row |= {key: NEEDS for key in row if key not in ("figure", "decisive")}
        tables["neighbour_correlation"] = [
            {key: NEEDS if key != "likeness" else value for key, value in row.items()}
            for row in tables["neighbour_correlation"]
        ]

    folder = write_run(
        tmp_path,
        change=lambda found: found["audit"]["original"].update(memory=NEEDS),
        change_tables=change,
    )
    text, card = make(folder)
    parsed = assert_sound(text)
    assert_quoted_exactly(folder, parsed)
    assert NEEDS in parsed.text and NEEDS in card
    assert "Not drawn" in parsed.text, "k-nearest neighbours have no number in this run"


def test_a_missing_figure_is_an_error_and_not_an_empty_cell(tmp_path):
    """Must fail if a renamed key leaves a gap on the page."""
    folder = write_run(tmp_path, change=lambda contents: contents["audit"].pop("verdict"))
    with pytest.raises(UserError, match=r"audit\.verdict of metrics/ or plots/ is not there"):
        make(folder)
    assert not (folder / "report/index.html").exists()


def test_a_figure_that_nobody_knows_is_refused_by_its_name(tmp_path):
    """Must fail if a table of another version ends in a traceback."""

    def change(tables: dict[str, list[dict[str, Any]]]) -> None:
        tables["audit_figures"][3]["figure"] = "membership_auc.new_attack"

    folder = write_run(tmp_path, change_tables=change)
    with pytest.raises(
        UserError, match=r"has a figure 'membership_auc.new_attack', which is unknown"
    ):
        make(folder)


def test_no_forget_image_is_shown_where_none_may_be(tmp_path, page):
    """Must fail if report.forget_images is not obeyed: a deletion request may forbid the pictures."""
    assert len([tag for name, tag in page.tags if name == "img"]) == 3
    text, _ = make(write_run(tmp_path, report__forget_images=0))
    parsed = assert_sound(text)
    assert "img" not in {name for name, _ in parsed.tags}
    assert "data:image/jpeg" not in text
    assert "are left out of this page" in parsed.text


@pytest.mark.parametrize(
    ("request_of", "drawn"), [({}, 4), ({"forget__classes": [], "forget__files": "list.txt"}, 3)]
)
def test_the_confusion_matrix_counts_test_images_alone(tmp_path, monkeypatch, request_of, drawn):
    """Must fail if single images to forget, which were trained on, are counted among test images."""
    folder = write_run(tmp_path, **request_of)
    seen = []
    real = page_of.figures.confusion
    monkeypatch.setattr(
        page_of.figures, "confusion", lambda *given: seen.append(given) or real(*given)
    )
    monkeypatch.chdir(folder)
    page_of.draw(evidence.read(folder, load_params()))
    ((table, _, _),) = seen
    assert len(table) == drawn


def test_two_hundred_classes_stay_readable(tmp_path):
    """Must fail if a chart or a table grows with the number of classes."""
    classes = tuple(f"class {number:03}" for number in range(200))
    folder = write_run(tmp_path, classes, classes[:2])
    text, _ = make(folder)
    parsed = assert_sound(text)
    assert_quoted_exactly(folder, parsed)
    heights = [float(tag["viewbox"].split()[3]) for name, tag in parsed.tags if name == "svg"]
    assert max(heights) < 1200
    assert len(text) < 1_000_000


def test_the_page_tells_no_machine(tmp_path):
    """Must fail if the path of one machine gets onto the page."""
    text, card = make(write_run(tmp_path, data__source="folder", data__path="/home/someone/photos"))
    assert "/home/someone" not in text + card
    assert "the folder photos" in text and "photos" in card


@pytest.mark.parametrize(
    ("request_of", "said"),
    [
        (
            {"forget__files": "/home/ada.lovelace/gdpr/ada_lovelace.txt"},
            "the images that a list names",
        ),
        (
            {"forget__where": {"photographer": "Ada Lovelace"}, "data__source": "table"},
            "the images where photographer is a value not shown here",
        ),
    ],
)
def test_page_and_card_name_no_person(tmp_path, request_of, said):
    """Must fail if the list's path or name, or the column's value, stands in headings or parameters."""
    write_run(tmp_path, forget__classes=[], **request_of)
    found = evidence.read(tmp_path, load_params(tmp_path / "params.yaml"))
    assert found.asked == said
    assert "lovelace" not in str(evidence.parameters(found.params)).lower()


def test_fingerprints_are_those_of_the_files(run, made):
    """Must fail if a file is left out, or the digest is another file's."""
    models = (
        "discriminator",
        "original",
        "unlearned",
        "retrained/1",
        "retrained/2",
        "retrained/10",
    )
    names = [f"data/{name}" for name in ("images/00000.npy", "samples.csv", "split.csv")]
    names += [f"models/{name}.safetensors" for name in models]
    lines = [f"{hashlib.sha256((run / name).read_bytes()).hexdigest()}  {name}" for name in names]
    for text in made:
        assert re.findall(r"[0-9a-f]{64}  .+", text.replace("<pre>", "\n")) == lines


def test_skipped_files_are_listed_up_to_fifty(page):
    """Must fail if a file's name is read as markup, or thousands of names fill the page."""
    assert "<i>0.jpg" in page.text and "<i>49.jpg" in page.text
    assert "<i>50.jpg" not in page.text


def test_names_that_turn_the_text_round_are_written_out(tmp_path):
    """Must fail if a file's name reaches the page with a sign that acts on the screen."""
    folder = write_run(tmp_path)
    row = {"path": "a\u202egpj.exe\x1b[2J", "reason": "no image"}
    write_table(folder / "data/skipped.csv", pd.DataFrame([row]))
    text, _ = make(folder)
    assert "a\\u202egpj.exe\\u001b[2J" in text
    assert not re.search("[\u202e\x1b]", text)


def test_no_class_name_acts_in_the_model_card(hostile):
    """Must fail if a name becomes a link or mentions a person where the card is shown."""
    outside = re.sub(r"`[^`\n]*`", "", hostile[2].split("---\n", 2)[2])
    assert not re.search(r"@|evil\.example", outside)


def test_as_many_pictures_may_be_asked_for_as_the_audit_keeps():
    """Must fail if more are promised than there are, or fewer than there are can be shown."""
    assert ReportParams(forget_images=EXAMPLES)
    with pytest.raises(ValueError, match="less than or equal"):
        ReportParams(forget_images=EXAMPLES + 1)


def test_the_model_card_knows_the_knobs_of_each_recipe():
    """Must fail if a method is added whose report cannot be written."""
    assert set(card_of.USED) == set(get_args(GameParams.model_fields["recipe"].annotation))


@pytest.mark.parametrize(
    ("recipe", "knobs"),
    [
        ("adversarial", "cost noise adversary adversary_weight"),
        ("article", "epochs"),
        ("delete", "cost"),
        ("euk", "cost"),
    ],
)
def test_the_model_card_says_what_was_used(tmp_path, recipe, knobs):
    """Must fail if it names `auto` as a size, unread knobs, or a folder as the data set; or leaves out one of
    Adam's, which every recipe reads."""
    of_data = {"data__source": "cifar10", "data__path": "datasets", "data__image_size": "auto"}
    _, card = make(write_run(tmp_path, recipe=recipe, **of_data))
    assert "Images of 64 by\n64 pixels" in card
    shown = card.split("Parameters: ")[1].split("\n")[0]
    every = "lr batch_size weight_decay beta1 beta2 seed"
    assert shown.count(", `") == len(f"{every} {knobs}".split()) - 1
    assert re.findall(r"`(\w+)`", shown) == f"{every} {knobs}".split()
    results = yaml.safe_load(card.split("---\n")[1])["model-index"][0]["results"]
    assert [each["dataset"]["name"] for each in results] == [
        "cifar10: classes to forget",
        "cifar10: classes to keep",
    ]
    assert "Depth.loads(labelling.depth)" in card


def test_copies_of_images_to_forget_are_listed_up_to_fifty(page, tmp_path):
    """Must fail if a file's name is read as markup, thousands of names fill the page, or none make a table."""
    assert "<b>0.jpg" in page.text and "<b>49.jpg" in page.text and "<u>shows_path" in page.text
    assert "<b>50.jpg" not in page.text
    assert "The closest 50 of 60" in page.text
    folder = write_run(tmp_path)
    header = pd.DataFrame(columns=list(copies.COLUMNS))
    write_table(folder / "data/copies.csv", header)
    assert "show images to forget" not in make(folder)[0]


@pytest.mark.parametrize("which", ["run", "hostile"])
def test_the_model_cards_metadata_holds_both_accuracies(request, run, made, hostile, which):
    """Must fail if the front matter is no YAML, or a figure in it is not the file's."""
    folder, _, card = (run, *made) if which == "run" else hostile
    assert card.startswith("---\n")
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["library_name"] == "pytorch"
    assert metadata["pipeline_tag"] == "image-classification"
    assert "machine-unlearning" in metadata["tags"] and "license" not in metadata
    (model,) = metadata["model-index"]
    for role, result in zip(("forget", "retain"), model["results"], strict=True):
        stored = read_metrics(folder / f"metrics/evaluate_{role}.json")
        assert result["task"]["type"] == "image-classification"
        assert {"type", "name", "config", "split"} <= set(result["dataset"])
        assert result["metrics"][0]["value"] == stored["test_accuracy"]
    sections = re.findall(r"^## (.+)$", card, re.MULTILINE)
    assert {"Intended use", "Evaluation", "Limits", "How to load it"} <= set(sections)


def test_the_model_cards_tables_have_as_many_cells_as_headings(made, hostile):
    """Must fail if a row of the template gains or loses a cell."""
    for card in (made[1], hostile[2]):
        tables = re.findall(r"(?:^\|.*\n)+", card, re.MULTILINE)
        assert len(tables) >= 7
        for table in tables:
            cells = {len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}
            assert len(cells) == 1, table


def test_a_path_is_told_apart_from_a_name_with_dots():
    """Must fail if two figures can have one path, or one leads below words or to what is not the fault."""
    metrics = Metrics({"a": {"b.c": 1, "b": {"c": 2}, "d\\": 0.12345, "e": "no reference"}})
    quote = html_quoter(metrics)
    assert dotted(("a", "b.c")) != dotted(("a", "b", "c"))
    assert quote("a", "b.c") == '<data value="1" data-metric="a.b\\.c">1</data>'
    assert quote("a", "d\\") == '<data value="0.12345" data-metric="a.d\\\\">0.123</data>'
    with pytest.raises(UserError, match=r"a\.x of metrics/ or plots/ is not there"):
        quote("a", "x", "y")
    assert metrics.find("a", "e", "y") == ("a.e", "no reference")
    with pytest.raises(UserError, match="no single figure"):
        quote("a", "b")


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        ("found (AUC 0.8; others 0.5)", "<strong>found</strong> (AUC 0.8; others 0.5)"),
        ("failed: known (0.9)", "<strong>failed:</strong> known (0.9)"),
        ("kept; <none>", "<strong>kept;</strong> &lt;none&gt;"),
        ("<forgotten>", "&lt;forgotten&gt;"),
    ],
)
def test_the_beginning_of_a_sentence_is_set_off_up_to_its_figures(sentence, shown):
    """Must fail if half of what stands in brackets is bold, or a sign of the text becomes one of the page."""
    assert quoting._set_off(sentence) == shown
