"""The page and the model card quote metrics/ exactly, need nothing but themselves, and survive odd input."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from markupsafe import escape
from test_settings import write_params

from stages import report as stage
from unlearning.audit import membership, observation, verdict
from unlearning.data import copies
from unlearning.errors import UserError
from unlearning.files import read_metrics, write_metrics, write_series, write_table
from unlearning.report import charts, explanations
from unlearning.report.quoting import Metrics, dotted, html_quoter

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
)
ATTACKS = ("confidence", "entropy", "modified_entropy", "true_class_probability",
           "logistic_regression", "gradient_boosting")  # fmt: skip
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


def figures(value: float) -> dict[str, Any]:
    """Return every figure that the audit gives for a model, all different."""
    count = iter(range(1, 1000))

    def new() -> float:
        return round(value + next(count) / 1000, 4)

    plain = (
        "js_to_retrained", "destination_tv", "confidence_mean", "entropy_mean", "zrf",
        "forget_accuracy", "retain_accuracy",
        "agreement_with_original", "agreement_with_retrained", "calibration_error", "membership_svc",
        "probe_recall", "early_probe_recall", "few_shot_recall", "knn_recall", "returned_accuracy",
    )  # fmt: skip
    return {name: new() for name in plain} | {
        "relearn_passes": 1032.0,
        "membership_auc": {attack: new() for attack in ATTACKS},
        "membership_tpr": {
            at: {attack: new() for attack in ATTACKS} for at in ("at_1_percent", "at_5_percent")
        },
        "cka_to_original": {layer: new() for layer in LAYERS},
        "cka_to_retrained": {layer: new() for layer in LAYERS},
        "auditor_auc": {"outputs": new(), "features": new()},
    }


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found = {}
    for key, value in values.items():
        found |= (
            flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
    return found


def audit(kept: tuple[str, ...], models: int) -> dict[str, Any]:
    """Return an audit.json; without retrained models as the audit has it then."""
    unlearned = figures(0.3)
    words = ("inside", "near", "outside")
    readings = {
        name: {"distance": 0.1, "floor": 0.04, "margin": 0.05, "low": value - 0.02,
               "high": value + 0.02, "reading": words[number % 3],
               "decisive": number % 2 == 0}
        for number, (name, value) in enumerate(flat(unlearned).items())
    }  # fmt: skip
    if not models:
        readings = {
            name: reading | dict.fromkeys(("distance", "floor", "margin", "reading"), NO_REFERENCE)
            for name, reading in readings.items()
        }
    retrained = {**figures(0.2), "models": models} if models else NO_REFERENCE
    neighbour = ("feature_similarity", "ssim", "destination", "destination_retrained")
    return {
        **unlearned,
        "original": figures(0.5),
        "head_edited": figures(0.4),
        "retrained": retrained,
        "readings": readings,
        "relearn": {"few_images": 16, "budget_passes": 256, "ratio": 0.29 if models else NO_REFERENCE},
        "images": {"forget_test": 7, "forget_train": 15, "retain_test": 70, "retain_train": 150},
        "neighbours": {
            name: {key: number / 7 for number, key in enumerate(neighbour)} for name in kept
        },
        "neighbour_correlation": {
            key: {"destination": 0.5, "destination_retrained": NO_REFERENCE, "against_original": -0.25}
            for key in ("feature_similarity", "ssim")
        },
        "worst_forget_accuracy": 0.0202,
        "verdict": "told apart" if models else "likeness unknown",
        "verdicts": {"original": "failed: still known", "head_edited": "told apart"},
        "article_comparison": "disagree: told apart" if models else "not compared",
    }  # fmt: skip


def accuracies(classes: tuple[str, ...], kept: tuple[str, ...], models: int) -> dict[str, Any]:
    """Return evaluate_forget.json and evaluate_retain.json by their names."""
    reference = {"models": models, "test_accuracy": 0.0123, "test_accuracy_spread": 0.0045}
    shares = {name: 1 / len(classes) for name in classes}
    return {
        "evaluate_forget": {
            "train_accuracy": 0.0301, "test_accuracy": 0.0202, "images": 7, "destinations": shares,
            "original": {"test_accuracy": 0.9189, "destinations": shares},
            "retrained": reference | {"destinations": shares} if models else NO_REFERENCE,
            "assessment": "forgotten and kept", "article_assessment": "good", "confidence_mean": 0.4,
            "discriminator_score": {"mean": 0.2},
        },
        "evaluate_retain": {
            "train_accuracy": 0.9303, "test_accuracy": 0.8808, "per_class": dict.fromkeys(kept, 0.8),
            "images": 70, "chance": 0.3333,
            "original": {"test_accuracy": 0.9069},
            "retrained": reference if models else NO_REFERENCE,
            "related_classes": {
                name: {"against_original": -0.1, "against_retrained": 0.1 if models else NO_REFERENCE}
                for name in kept
            },
        },
    }  # fmt: skip


def write_run(
    folder: Path,
    classes: tuple[str, ...] = ("cat", "cow", "dog", "elephant"),
    forget: tuple[str, ...] = ("elephant",),
    seeds: tuple[int, ...] = (1, 2),
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    **params: Any,
) -> Path:
    """Write all that the stage reads to a folder, as a run with so many classes leaves it."""
    kept = tuple(name for name in classes if name not in forget)
    contents = {
        **accuracies(classes, kept, len(seeds)),
        "audit": audit(kept, len(seeds)),
        "prepare_data": {
            "classes": dict.fromkeys(sorted(classes), 25), "images": 25 * len(classes),
            "duplicates": 3, "conflicting_duplicates": 1, "skipped": 60,
        },
        "split_dataset": {
            **{role: {"train": 15, "validation": 3, "test": 7} for role in ("forget", "retain")},
            "withdrawn": {"train": 1, "validation": 0, "test": 0}, "forget_images_also_retained": 2,
        },
        "train_original": {"validation_accuracy": 0.9692},
        "retrain": {"validation_accuracy": {str(seed): 0.906 for seed in seeds}},
        "adversarial_train": {
            "image_passes": 1310, "extractor_passes": 640, "cost_ratio": 0.0919, "work_ratio": 0.11,
            "cost_assessment": "cheaper than retraining", "warnings": "none",
            "final": {"discriminator_accuracy": 0.7, "effective_classes": 3.1},
        },
    }  # fmt: skip
    change(contents)
    for name, values in contents.items():
        write_metrics(folder / f"metrics/{name}.json", values)
    write_plots(folder / "plots", classes, forget, seeds)
    write_data(folder, classes, forget)
    write_params(
        folder, **{"forget__classes": list(forget), "retrain__seeds": list(seeds), **params}
    )
    return folder


def write_plots(
    folder: Path, classes: tuple[str, ...], forget: tuple[str, ...], seeds: tuple[int, ...]
) -> None:
    models = ("original", "unlearned", *(f"retrained ({seed})" for seed in seeds), "head_edited")
    tables: dict[str, list[dict[str, Any]]] = {
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
    for name, rows in tables.items():
        write_series(
            folder / f"{name}.csv", rows, list(rows[0]) if rows else ["seed", "epoch", "loss"]
        )


def write_data(folder: Path, classes: tuple[str, ...], forget: tuple[str, ...]) -> None:
    names = sorted(classes) * 3
    (folder / "data").mkdir()
    np.save(folder / "data/images.npy", np.full((len(names), 32, 32, 3), 99, dtype=np.uint8))
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
    figure = {"figure": "probe_recall", "original": 0.5, "unlearned": NEEDS, "retrained (1)": 0.4}
    write_series(folder / "data/audit_figures.csv", [figure], list(figure))
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


def test_every_figure_on_the_page_is_the_files_own(run, page):
    """Must fail if a figure is rounded in its value, looked up at another path or typed by hand."""
    assert_quoted_exactly(run, page)
    quoted = {path for path, _, _ in page.quotes}
    stored = read_metrics(run / "metrics/audit.json")
    for name in stored["readings"]:
        for version in ("", "original.", "head_edited.", "retrained."):
            assert f"audit.{version}{name}" in quoted
        escaped = name.replace(".", "\\.")
        for part in ("low", "high", "distance", "floor", "margin", "reading"):
            assert f"audit.readings.{escaped}.{part}" in quoted
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
    for name in ("INK", "RULE", "ORIGINAL", "UNLEARNED", "RETRAINED", "HEAD_EDITED"):
        assert getattr(charts, name) not in drawings
    for name in ("currentcolor", "var(--rule)", "var(--unlearned)", "var(--head-edited)"):
        assert name in drawings
    drawn = [tag["id"] for name, tag in page.tags if name in ("clippath", "path") and "id" in tag]
    assert {name.split("-")[0] for name in drawn} >= {"destinations", "game", "training"}


def test_the_same_inputs_give_the_same_bytes(run, made):
    """Must fail if a date, a random id or the order of a set gets into an output."""
    assert make(run) == made
    assert str(run) not in made[0] + made[1]


def test_figures_that_decide_the_verdict_are_marked(run, page):
    """Must fail if every figure, or none, is shown as decisive."""
    readings = read_metrics(run / "metrics/audit.json")["readings"]
    decisive = {name for name, reading in readings.items() if reading["decisive"]}
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
    names = flat(figures(0.1))
    for name in names:
        start = explanations.family(name)
        assert explanations.title(name) in page.text
        assert explanations.FIGURES[start].meaning in page.text
        assert explanations.FIGURES[start].good in page.text
    shown = [name for level in explanations.LEVELS for name in explanations.in_order(names, level)]
    assert sorted(shown) == sorted(names), "a figure belongs to no level, or to two"
    with pytest.raises(KeyError, match="does not explain"):
        explanations.family("new_figure")


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
    assert "There is none: no reference." in " ".join(parsed.text.split())


def test_figures_that_were_not_measured_are_named_so(tmp_path):
    """Must fail if words in the place of a number are left out, or crash a table or a chart."""

    def change(contents: dict[str, Any]) -> None:
        stored = contents["audit"]
        names = [name for name in stored["readings"] if name.startswith("membership")]
        for name in names:
            stored["readings"][name] = NEEDS
        stored |= {"membership_auc": NEEDS, "membership_tpr": NEEDS, "membership_svc": NEEDS}
        stored |= {"neighbours": NEEDS, "neighbour_correlation": NEEDS, "relearn": NEEDS}
        stored["original"]["membership_auc"]["entropy"] = NEEDS

    folder = write_run(tmp_path, change=change)
    text, card = make(folder)
    parsed = assert_sound(text)
    assert_quoted_exactly(folder, parsed)
    assert NEEDS in parsed.text and NEEDS in card
    assert "Not drawn" in parsed.text, "k-nearest neighbours have no number in this run"


def test_a_missing_figure_is_an_error_and_not_an_empty_cell(tmp_path):
    """Must fail if a renamed key leaves a gap on the page."""
    folder = write_run(tmp_path, change=lambda contents: contents["audit"].pop("verdict"))
    with pytest.raises(UserError, match="KeyError: 'verdict'"):
        make(folder)
    assert not (folder / "report/index.html").exists()


def test_no_forget_image_is_shown_where_none_may_be(tmp_path, page):
    """Must fail if report.forget_images is not obeyed: a deletion request may forbid the pictures."""
    assert len([tag for name, tag in page.tags if name == "img"]) == 3
    text, _ = make(write_run(tmp_path, report__forget_images=0))
    parsed = assert_sound(text)
    assert "img" not in {name for name, _ in parsed.tags}
    assert "data:image/jpeg" not in text
    assert "are left out of this page" in parsed.text


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
    names = [f"data/{name}" for name in ("images.npy", "samples.csv", "split.csv")]
    names += [f"models/{name}.safetensors" for name in models]
    lines = [f"{hashlib.sha256((run / name).read_bytes()).hexdigest()}  {name}" for name in names]
    for text in made:
        assert re.findall(r"[0-9a-f]{64}  .+", text.replace("<pre>", "\n")) == lines


def test_skipped_files_are_listed_up_to_fifty(page):
    """Must fail if a file's name is read as markup, or thousands of names fill the page."""
    assert "<i>0.jpg" in page.text and "<i>49.jpg" in page.text
    assert "<i>50.jpg" not in page.text


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
    """Must fail if two figures can have one path."""
    metrics = Metrics({"a": {"b.c": 1, "b": {"c": 2}, "d\\": 0.12345}})
    quote = html_quoter(metrics)
    assert dotted(("a", "b.c")) != dotted(("a", "b", "c"))
    assert quote("a", "b.c") == '<data value="1" data-metric="a.b\\.c">1</data>'
    assert quote("a", "d\\") == '<data value="0.12345" data-metric="a.d\\\\">0.123</data>'
    with pytest.raises(KeyError, match=r"metrics/ holds no a\.x"):
        quote("a", "x")
    with pytest.raises(TypeError, match="no single figure"):
        quote("a", "b")


def test_the_templates_are_dependencies_of_the_stage():
    """Must fail if a change of a template would not make the report anew."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())
    parts = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "src/unlearning/report").iterdir()
        if path.is_file()
    }
    assert parts <= set(graph["stages"]["report"]["deps"])


def test_the_report_and_the_audit_name_the_same_figures():
    """Must fail if the audit gains a figure, an attack or a layer that the report does not know."""
    told = {
        level.key: {name.split(".")[0] for name in level.figures} for level in explanations.LEVELS
    }
    assert told == {level: set(names) for level, names in verdict.LEVELS.items()}
    variants = {*membership.ATTACKS, *observation.LAYERS.values(), "outputs", "features"}
    assert variants == set(explanations.VARIANTS)
