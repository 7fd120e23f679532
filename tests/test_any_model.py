"""The whole pipeline with other networks, given weights and given references, stage by stage at tiny size."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from test_copies import project
from test_settings import VALID
from test_words import assert_words_alone
from tiny_project import ROOT

from stages import (
    adversarial_train,
    audit,
    check_request,
    evaluate_forget,
    evaluate_retain,
    init_models,
    observe,
    prepare_data,
    report,
    retrain,
    split_dataset,
    train_original,
)
from unlearning import export
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table
from unlearning.base.written import DELETED
from unlearning.check import forecast, possible
from unlearning.data.request import Request
from unlearning.models import weights
from unlearning.report.cautions import cautions
from unlearning.review import summary
from unlearning.settings.whole import load_params

STAGES = (
    check_request, prepare_data, split_dataset, train_original, retrain, init_models, adversarial_train,
    observe, evaluate_retain, evaluate_forget, audit, report,
)  # fmt: skip
COLOURS = {"cat": (220, 40, 40), "dog": (40, 220, 40), "elephant": (40, 40, 220)}


def photographs(
    root: Path, count: int = 15, *, grey: bool = False, classes: Iterable[str] = COLOURS
) -> None:
    random = np.random.default_rng(0)
    for name in classes:
        colour = COLOURS.get(name, random.integers(30, 220, 3))
        (root / name).mkdir(parents=True)
        for number in range(count):
            noise = random.integers(-30, 31, (40, 40, 3))
            pixels = (np.array(colour) + noise).clip(0, 255).astype(np.uint8)
            picture = Image.fromarray(pixels[..., 0] if grey else pixels)
            picture.save(root / name / f"{number}.png")


def split_photographs(folder: Path, monkeypatch: pytest.MonkeyPatch, **params: object) -> None:
    """Make the folder a project whose images are split, and the current one."""
    photographs(folder / "photos")
    for made in ("data", "metrics", "plots", "models"):
        (folder / made).mkdir()
    project(folder, **params)
    monkeypatch.chdir(folder)
    for stage in (check_request, prepare_data, split_dataset):
        stage.main()


def run(
    folder: Path, monkeypatch: pytest.MonkeyPatch, *, last: ModuleType = report, **params: object
) -> None:
    """Make the folder a project and the current one, and run its stages up to the last."""
    monkeypatch.chdir(folder)
    for made in ("data", "metrics", "plots", "models", "report"):
        (folder / made).mkdir(exist_ok=True)
    changes = {"original__epochs": 1, "epochs": 1, "retrain__seeds": [1, 2], "batch_size": 8}
    project(folder, **changes | params)
    for stage in STAGES[: STAGES.index(last) + 1]:
        stage.main()


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("resnet18", {}),
        ("timm/test_convnext", {}),
        ("timm/test_vit", {"retrain__seeds": []}),
        ("timm/test_efficientnet_gn", {}),
        ("timm/test_byobnet", {"recipe": "article", "batch_size": 4}),
        ("timm/test_efficientnet", {"model__mean": [0.5], "model__std": [0.25]}),
    ],
)
def test_every_family_runs_from_images_to_page(
    name, changes, tmp_path, monkeypatch, restored_torch
):
    """Must fail if a stage knows a ResNet's parts, or a page names another network than was trained.

    Or if a start is shown where training began with random weights, or an empty `retrain.seeds` breaks a stage
    downstream or is not told.
    """
    photographs(tmp_path / "photos", grey="model__mean" in changes)
    run(tmp_path, monkeypatch, model__name=name, **changes)
    figures = read_metrics("metrics/audit.json")
    assert figures["verdict"] and "start" not in figures
    forget = read_metrics("metrics/evaluate_forget.json")
    told = [figures["js_to_retrained"], figures["retrained"], forget["retrained"]]
    assert [each == "no reference" for each in told] == 3 * ["retrain__seeds" in changes]
    table = summary.table(summary.read(Path()))
    assert ("no reference" in table) == ("retrain__seeds" in changes)
    assert "What training began with" not in Path("report/model_card.md").read_text()
    layers = read_table("plots/audit_layers.csv")
    assert set(layers["layer"]) == {"stem", "layer1", "layer2", "layer3", "features"}
    model, labelling = weights.load_classifier("models/unlearned.safetensors")
    assert model.architecture.name == name
    assert len(model.mean) == (1 if "model__mean" in changes else 3)
    assert labelling.classes == tuple(COLOURS)
    for page in ("report/index.html", "report/model_card.md"):
        assert name in Path(page).read_text().replace("\\_", "_")
    assert_words_alone(Path())


def test_a_model_goes_out_and_comes_back_as_given_weights(tmp_path, monkeypatch, restored_torch):
    """Must fail if given weights are trained on, an order of classes is lost, or references are not taken."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        photographs(folder / "photos")
    knobs = {"model__name": "timm/test_resnet", "original__epochs": 3}
    run(first, monkeypatch, **knobs)
    order = ["elephant", "cat", "dog"]
    mine = load_params().model.model_copy(update={"classes": order})
    export.export(Path("models/original.safetensors"), tmp_path / "mine.pth", mine)
    for seed in (1, 2):
        export.export(Path(f"models/retrained/{seed}.safetensors"), tmp_path / f"{seed}.pth", mine)
    assert torch.load(tmp_path / "mine.pth")["fc.bias"].shape == (3,)

    given = {"model__weights": str(tmp_path / "mine.pth"), "model__classes": order}
    references = {
        "retrain__seeds": [],
        "retrain__weights": [str(tmp_path / f"{seed}.pth") for seed in (1, 2)],
    }
    run(second, monkeypatch, **knobs, **given, **references)
    for name in ("original", "unlearned", "retrained/1", "retrained/2"):
        ours, theirs = (
            weights.load_classifier(folder / f"models/{name}.safetensors")[0].state_dict()
            for folder in (first, second)
        )
        assert all(torch.equal(ours[key], theirs[key]) for key in ours), name
    told = [
        json.loads((folder / "metrics/train_original.json").read_text())
        for folder in (first, second)
    ]
    assert [each["weights"] for each in told] == ["trained here", "given"]
    assert told[0]["validation_accuracy"] == told[1]["validation_accuracy"]
    page = Path("report/index.html").read_text()
    assert "with given weights (mine.pth)" in page
    assert str(tmp_path) not in page
    assert "own split is not known" in page


def test_what_training_began_with_stands_beside_it(tmp_path, monkeypatch, restored_torch):
    """Must fail if a start that knows the class passes unseen, is judged by outputs that were never trained."""
    for folder in (tmp_path / "first", tmp_path / "second"):
        photographs(folder / "photos")
    knobs = {"model__name": "timm/test_convnext", "original__epochs": 3}
    run(tmp_path / "first", monkeypatch, last=train_original, **knobs)
    knows = tmp_path / "first/models/original.safetensors"
    export.export(knows, tmp_path / "knows.pth", load_params().model)
    start = {"model__name": "timm/test_convnext", "model__start": str(tmp_path / "knows.pth")}
    run(tmp_path / "second", monkeypatch, **start)
    found = read_metrics("metrics/audit.json")
    table = read_table("plots/audit_figures.csv").set_index("figure")
    assert table["start"]["probe_recall"] == found["start"]["probe_recall"]
    begun, _ = weights.load_classifier("models/controls/start.safetensors")
    known, _ = weights.load_classifier(knows)
    assert torch.equal(next(begun.parameters()), next(known.parameters()))
    assert "start" not in found["verdicts"]
    assert "began with" in Path("report/index.html").read_text()
    assert "What training began with" in Path("report/model_card.md").read_text()


def test_a_control_of_the_same_recipe_stands_beside_given_weights(
    tmp_path, monkeypatch, restored_torch
):
    """Must fail if it does not see the images to forget, is taken for a reference, or is not shown."""
    for folder in (tmp_path / "first", tmp_path / "second"):
        photographs(folder / "photos")
    knobs = {"model__name": "timm/test_vit", "retrain__seeds": []}
    run(tmp_path / "first", monkeypatch, last=retrain, **knobs)
    assert not weights.controls(Path("models"))
    mine = load_params().model
    export.export(Path("models/original.safetensors"), tmp_path / "mine.pth", mine)
    given = {"model__name": "timm/test_vit", "model__weights": str(tmp_path / "mine.pth")}
    run(tmp_path / "second", monkeypatch, **given, retrain__seeds=[0, 1], original__seed=5)
    # The first run's original was trained from seed 0 on all images, too.
    ours, theirs = (
        weights.load_classifier(tmp_path / path)[0].state_dict()
        for path in (
            "first/models/original.safetensors",
            "second/models/controls/same_recipe.safetensors",
        )
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    figures = read_metrics("metrics/audit.json")
    assert set(figures["verdicts"]) == {"original", "head_edited", "same_recipe"}
    assert figures["retrained"]["models"] == 2
    assert "same_recipe" in read_table("plots/audit_figures.csv")
    assert "recipe on all images" in Path("report/index.html").read_text()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"model__weights": "mine.pth"}, r"model\.weights is 'mine\.pth', but of its tensor"),
        (
            {"retrain__weights": ["mine.pth"], "retrain__seeds": []},
            r"retrain\.weights is 'mine\.pth', but of its tensor",
        ),
        ({"model__start": "no.pth"}, r"model\.start is 'no\.pth', but there is no such file"),
    ],
    ids=["weights", "references", "start"],
)
def test_given_weights_that_do_not_fit_are_refused_before_anything_is_touched(
    given, said, tmp_path, monkeypatch
):
    """Must fail if check_request leaves it to the stage that trains, whose outputs DVC has deleted by then."""
    photographs(tmp_path / "photos")
    torch.save({"fc.bias": torch.ones(7)}, tmp_path / "mine.pth")
    monkeypatch.chdir(tmp_path)
    project(tmp_path, **given)
    with pytest.raises(UserError, match=rf"^params\.yaml: {said}"):
        check_request.main()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"model__weights": "models/original.safetensors"}, "model.weights"),
        ({"model__start": "scratch/mine.pth"}, "model.start"),
        (
            {"retrain__weights": ["a.pth", "data/../models/retrained/1.pth"], "retrain__seeds": []},
            "retrain.weights",
        ),
        ({"forget__files": "data/copies.csv", "forget__classes": []}, "forget.files"),
    ],
)
def test_a_given_file_that_stands_where_a_run_writes_is_refused(given, key, tmp_path, monkeypatch):
    """Must fail if it is read first and deleted by DVC afterwards, perhaps the only one there is."""
    photographs(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    project(tmp_path, **given)
    with pytest.raises(UserError, match=rf"^params\.yaml: {key} is .* is deleted by runs"):
        check_request.main()


def test_what_runs_delete_are_the_outputs_of_the_graph():
    """Must fail if a stage writes what a given file is not kept apart from."""
    graph = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"].values()
    kinds = ("outs", "metrics", "plots")
    outs = {
        next(iter(out)) if isinstance(out, dict) else out
        for stage in graph
        for kind in kinds
        for out in stage.get(kind, [])
    }
    own = {out if out.startswith(("data/", "models/")) else out.split("/")[0] for out in outs}
    assert own | {"scratch", "review", "dvc_plots"} == set(DELETED)


def test_changed_weights_make_the_original_again(tmp_path, monkeypatch):
    """Must fail if the file's name alone is what DVC sees."""
    monkeypatch.chdir(tmp_path)
    project(tmp_path, retrain__weights=["mine.pth"], retrain__seeds=[])
    (tmp_path / "mine.pth").write_bytes(b"1")
    before = possible.weights_of(load_params())
    (tmp_path / "mine.pth").write_bytes(b"2")
    assert possible.weights_of(load_params()) != before


# --- unlearning check ----------------------------------------------------------------------------


def test_a_forecast_is_arithmetic_on_images_and_speed(tmp_path, monkeypatch, cpu):
    """Must fail if a role or subset is miscounted, time does not follow passes over speed, or `cost` is the
    article's length; if a dear game is told by the pipeline alone. Or if time is foretold that nothing takes:
    of relearning single images, of training an original that was given, or its control without retrained ones.
    """
    photographs(tmp_path / "photos", count=20)
    monkeypatch.chdir(tmp_path)
    project(tmp_path, cost=0.5, original__epochs=10, retrain__seeds=[1, 2, 3], batch_size=2)
    params = load_params()
    wanted = possible.require(params)
    found = forecast.forecast(params, wanted, cpu, speed_of=lambda *_: 50.0)
    # split: 0.2 and 0.2 of 20 images a class, of which there are three.
    assert wanted.by_role == {
        "forget": {"train": 12, "validation": 4, "test": 4},
        "retain": {"train": 24, "validation": 8, "test": 8},
        "unseen": {"train": 0, "validation": 4, "test": 4},
    }
    assert found.passes == 240
    assert found.seconds["original"] == pytest.approx(360 / 50)
    assert found.seconds["retrained models"] == pytest.approx(3 * 240 / 50)
    assert found.seconds["game"] == pytest.approx(forecast.GAME_BY_CLOCK * 0.5 * 240 / 50)
    looked_at = 5 * 48 * forecast.FORWARD / 50
    relearned = 5 * 2 * forecast.BUDGET / 50
    assert found.seconds["observation"] == pytest.approx(looked_at + relearned)
    lines = forecast.told(params, wanted, found, cpu)
    assert any(line.startswith("not measured: membership: it takes 10") for line in lines)
    shown = "resnet18, 11.2 million parameters, 32 pixels, trained here from random weights"
    assert f"model: {shown}" in lines and any(line.endswith(" on cpu in fp32") for line in lines)
    assert [line.split()[0] for line in lines[1:4]] == ["images", "forget", "retain"]
    given = params.model.model_copy(update={"weights": "mine.pth"})
    for seeds, trainings in (([1, 2, 3], 4), ([], 0)):
        retrain_section = params.retrain.model_copy(update={"seeds": seeds})
        changed = params.model_copy(update={"model": given, "retrain": retrain_section})
        foretold = forecast.forecast(changed, wanted, cpu, speed_of=lambda *_: 50.0).seconds
        assert foretold["original"] == 0
        assert foretold["retrained models"] == pytest.approx(trainings * 240 / 50)
    assert not any("no retrained model" in line for line in lines)
    assert not any("auditor" in line or "unseen" in line for line in lines)
    dear = params.model_copy(update={"cost": 1.0})
    said = [
        line for line in forecast.told(dear, wanted, found, cpu) if "retraining is cheaper" in line
    ]
    assert [line.startswith("note: this game costs up to 100%") for line in said] == [True]
    monkeypatch.setattr(
        forecast, "is_faster_at_once", lambda count, passes, *_: count == 3 and passes == 720
    )
    found = forecast.forecast(params, wanted, cpu, speed_of=lambda *_: 50.0)
    assert found.seconds["retrained models"] == pytest.approx(3 * 240 / 50 / forecast.AT_ONCE)
    single = params.forget.model_copy(update={"fraction": 0.5})
    found = forecast.forecast(
        params.model_copy(update={"forget": single}), wanted, cpu, speed_of=lambda *_: 50.0
    )
    assert found.seconds["observation"] == pytest.approx(looked_at)
    printed = params.model_copy(update={"recipe": "article", "epochs": 3})
    found = forecast.forecast(printed, wanted, cpu, speed_of=lambda *_: 50.0)
    assert found.seconds["game"] == pytest.approx(forecast.GAME_BY_CLOCK * 3 * 12 / 50)


@pytest.mark.parametrize(
    ("references", "line"), [([], "no retrained model"), ([1], "whether anything contradicts")]
)
def test_too_few_references_are_told_beforehand(references, line, tmp_path, monkeypatch):
    """Must fail if a person learns after an hour that there will be no verdict, or misses an unused auditor."""
    project(tmp_path, retrain__seeds=references)
    params = load_params(tmp_path / "params.yaml")
    images = {
        "forget": {"train": 200},
        "retain": {"test": 400},
        "unseen": {"validation": 3, "test": 200},
    }
    found = forecast.not_measured(params, images)
    assert [line in found[0], "plays without it" in found[1], len(found)] == [True, True, 2]
    for unused in ({"adversary": "none"}, {"recipe": "article"}):
        assert len(forecast.not_measured(params.model_copy(update=unused), images)) == 1
    images["retain"]["test"] = 399
    assert any("on 399 test images" in line for line in forecast.not_measured(params, images))


@pytest.mark.parametrize(("kept", "is_missed"), [(3, True), (4, False)])
def test_of_wrong_labels_the_auditor_knows_other_images_too(kept, is_missed, tmp_path):
    """Must fail if those alone count that are held out of the request, of which a share at random has none."""
    project(tmp_path, forget__classes=[], forget__fraction=0.1, forget__labels="wrong")
    params = load_params(tmp_path / "params.yaml")
    images = {
        "forget": {"train": 50},
        "retain": {"validation": kept, "test": 400},
        "unseen": {"validation": 0, "test": 0},
    }
    assert (
        any("plays without it" in line for line in forecast.not_measured(params, images))
        is is_missed
    )


def test_speed_is_measured_on_the_network_that_will_be_trained(make_network, cpu, monkeypatch):
    """Must fail if warming up is timed, or the batch is not counted."""
    monkeypatch.setattr(forecast, "TIMED_SECONDS", 0.2)
    clock = iter(range(1000))
    monkeypatch.setattr(forecast.time, "monotonic", lambda: next(clock) * 0.06)
    # Each step asks the clock once, the last one twice: begun at 0, 0.24 after four steps, read at 0.30.
    model, steps = make_network(0), []
    model.register_forward_pre_hook(lambda *_: steps.append(1))
    assert forecast.images_a_second(model, 6, cpu) == pytest.approx(4 * 6 / 0.30)
    assert len(steps) == forecast.WARM_UP_STEPS + 4


@pytest.mark.parametrize(
    ("model", "retrain_section", "words"),
    [
        ({}, {}, []),
        ({"weights": "a.pth"}, {}, ["own split", "recipe of `original`"]),
        (
            {"weights": "a.pth"},
            {"seeds": [], "weights": ["b.pth"]},
            ["own split", "retrained models were given"],
        ),
        ({"start": "pretrained"}, {}, ["as the original did: if these have seen the class"]),
        (
            {"start": "pretrained", "weights": "a.pth"},
            {},
            ["own split", "recipe of `original`", "begin with given weights: if these"],
        ),
        ({"start": "pretrained"}, {"seeds": []}, []),
        (
            {"start": "pretrained"},
            {"seeds": [], "weights": ["b.pth"]},
            ["retrained models were given"],
        ),
        ({}, {"seeds": [1, 0]}, ["original's own"]),
        ({"weights": "a.pth"}, {"seeds": [1, 0]}, ["own split", "follow the recipe"]),
    ],
)
def test_what_makes_references_unlike_is_said(model, retrain_section, words, tmp_path):
    """Must fail if a difference of recipes, or a backbone that saw the class, is read as memory; if retrained
    models are spoken of where there are none, or a given original is said to have begun as they did."""
    changes = {f"model__{key}": value for key, value in model.items()}
    changes |= {f"retrain__{key}": value for key, value in retrain_section.items()}
    project(tmp_path, **changes)
    params = load_params(tmp_path / "params.yaml")
    asked = Request(("elephant",))
    found = cautions(params, asked, split_given=False)
    assert len(found) == len(words)
    assert all(word in line for word, line in zip(words, found, strict=True))
    said = cautions(params, asked, split_given=True)
    assert not any("own split" in line for line in said)
    assert VALID["model"]["weights"] is None
    # After a first request the weights are what it left: whose they were is in the ledger.
    for given in (False, True):
        later = Request(("cat",), earlier=(replace(asked, given=given),))
        left = params.model.model_copy(update={"weights": "requests/001.safetensors"})
        of_later = params.model_copy(update={"model": left})
        found = cautions(of_later, later, split_given=False)
        assert sum("own split" in line for line in found) == given
