"""Request after request: what was met enters no loader again, and is tested again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from test_any_model import STAGES, photographs, run
from test_settings import write_params
from tiny_project import ROOT, make_clone
from typer.testing import CliRunner

from unlearning import cli, ledger
from unlearning.audit.words import Verdict
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table
from unlearning.certificate import workspace
from unlearning.data import dataset, request
from unlearning.data.request import Request, SingleImages
from unlearning.models import foreign, weights
from unlearning.settings.load import load
from unlearning.settings.model import ModelParams

FIVE = ("cat", "dog", "elephant", "fox", "owl")
NETWORK = {"model__name": "timm/test_convnext"}  # the smallest


def ask(**changes: object) -> None:
    """Say in params.yaml what to forget next, and run all stages."""
    path = Path("params.yaml")
    values = yaml.safe_load(path.read_text())
    values["forget"] |= changes
    path.write_text(yaml.safe_dump(values))
    for stage in STAGES:
        stage.main()


def close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the request into the ledger; whether DVC finds the run finished is tested elsewhere."""
    monkeypatch.setattr(ledger.workspace, "require_in_step", lambda *_, **__: None)
    ledger.close(Path())


def test_three_requests_in_a_row(tmp_path, monkeypatch, restored_torch):
    """Must fail if an earlier image is loaded or comes back untested, or the next game is the original's.

    Or if a class that was forgotten first is known again after the third.
    """
    photographs(tmp_path / "photos", classes=FIVE)
    run(tmp_path, monkeypatch, **NETWORK)
    original = Path("models/original.safetensors").read_bytes()
    first = load_file("models/unlearned.safetensors")
    known = read_table("plots/per_class.csv").set_index("class")["original"].astype(float)
    assert "before_first_request" not in read_metrics("metrics/evaluate_retain.json")
    close(monkeypatch)
    kept = load_file("requests/001.safetensors")
    assert kept.keys() == first.keys() and all(kept[name].equal(first[name]) for name in first)
    with pytest.raises(UserError, match="asks for nothing"):
        STAGES[0].main()

    rows = read_table("data/samples.csv").merge(read_table("data/split.csv"), on="id")
    cats = rows[(rows["class"] == "cat") & (rows["subset"] == "train")]["path"].tolist()[:2]
    Path("list.txt").write_text("\n".join(cats))
    ask(files="list.txt")
    assert Path("models/original.safetensors").read_bytes() != original
    assert not weights.controls(Path("models"))
    again = read_metrics("metrics/audit.json")
    assert again["request"] == "images" and again["earlier"]["1"]["accuracy"] == 0.0
    close(monkeypatch)

    ask(classes=["dog"])
    data = dataset.load("data")
    met = {data.paths[index] for index in data.select(role="earlier").tolist()}
    assert met == {path for path in data.paths if path.startswith("elephant/")} | set(cats)
    third = read_metrics("metrics/audit.json")
    assert set(third["earlier"]) == {"1", "2"} and third["earlier"]["1"]["accuracy"] == 0.0
    assert third["verdict"] in set(Verdict)
    tested = rows[rows["subset"].eq("test") & rows["class"].isin(["cat", "fox", "owl"])]
    before = read_metrics("metrics/evaluate_retain.json")["before_first_request"]["test_accuracy"]
    assert before == pytest.approx(known[tested["class"]].mean(), abs=1e-3)
    model, labelling = weights.load_classifier("models/unlearned.safetensors")
    gone = {labelling.classes.index(name) for name in ("dog", "elephant")}
    assert set(model.head.bias.detach().argsort()[:2].tolist()) == gone
    page = Path("report/index.html").read_text()
    assert "Earlier requests, tested again" in page and "requests/002.json" in page
    assert "before the first request" in page
    stored = Path("requests/002.json").read_text()
    assert cats[0] not in stored and len(json.loads(stored)["images"]["pixels"]) == 2


def test_a_class_whose_images_were_deleted_keeps_its_output(tmp_path, monkeypatch, restored_torch):
    """Must fail if the next request is impossible once a class that was met is gone from the source.

    Or if its output, which nobody can be asked about any more, is answered again, or images of the others that
    the model was trained on become test images since some were deleted.
    """
    photographs(tmp_path / "photos", classes=FIVE)
    run(tmp_path, monkeypatch, **NETWORK)
    close(monkeypatch)
    shutil.rmtree(tmp_path / "photos/elephant")
    subset = dict(read_table("data/split.csv", ["id", "subset"])[["id", "subset"]].values)
    samples = read_table("data/samples.csv")
    before = {
        path: subset[number] for number, path in zip(samples["id"], samples["path"], strict=True)
    }
    for file in [path for path in before if path.startswith("fox/") and before[path] == "test"][:2]:
        (tmp_path / "photos" / file).unlink()
    ask(classes=["dog"])
    data = dataset.load("data")
    assert {path: before[path] for path in data.paths} == dict(
        zip(data.paths, data.subsets, strict=True)
    )
    assert data.classes == tuple(sorted(FIVE)) and not data.select(role="earlier").tolist()
    assert read_metrics("metrics/audit.json")["verdict"] in set(Verdict)
    model, labelling = weights.load_classifier("models/unlearned.safetensors")
    gone = {labelling.classes.index(name) for name in ("dog", "elephant")}
    assert set(model.head.bias.detach().argsort()[:2].tolist()) == gone
    assert "elephant" in Path("report/index.html").read_text()
    assert f"with {len(labelling.classes)} outputs" in Path("report/model_card.md").read_text()


def test_params_keep_every_comment_request_after_request(tmp_path):
    """Must fail if a comment stands below a list or mapping of params.yaml: it is lost or ends up inside.

    Or if the last request, its model or its image size stays.
    """
    path = tmp_path / "params.yaml"
    text = (ROOT / "params.yaml").read_text()
    path.write_text(text.replace("  where: {}\n", "  where:\n    photographer: Ada\n"))
    for number in (1, 2):
        about = Path(f"requests/{number:03}.json")
        ledger._begin_with(path, about, {"weights": "x.safetensors", "classes": ["a", "b"]}, 32)
    lines = {line for line in path.read_text().splitlines() if "#" in line}
    assert lines == {line for line in text.splitlines() if "#" in line}
    assert "  previous:\n  - requests/001.json\n  - requests/002.json\n" in path.read_text()
    values = yaml.safe_load(path.read_text())
    assert (values["forget"]["classes"], values["forget"]["where"]) == ([], {})
    assert (values["model"]["weights"], values["model"]["classes"]) == ("x.safetensors", ["a", "b"])
    assert values["data"]["image_size"] == 32


def test_the_ledger_names_what_was_covered(tmp_path):
    """Must fail if the images withdrawn with a class are left out, or the ones before are kept twice.

    Or if what was known of the kept classes is the unlearned model's, the first model is no longer given,
    two writings differ, or a request for classes alone is kept as one for images.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "plots").mkdir()
    (tmp_path / "plots/per_class.csv").write_text("class,original,unlearned\nb,0.7500,0.5000\n")
    asked = Request(("a",), earlier=(Request(("c",), given=True),))
    request.write(asked, tmp_path / "data/request.json")
    others = "".join(f"{number},x,f{number},p{number},b\n" for number in range(9, 3, -1))
    (tmp_path / "data/samples.csv").write_text(
        f"id,path,sha256,pixels,class\n0,x,f0,p0,a\n1,x,f1,p0,b\n2,x,f2,p2,b\n3,x,f3,p3,c\n{others}"
    )
    roles = "id,subset,role\n0,train,forget\n1,train,withdrawn\n2,test,retain\n3,train,earlier\n"
    roles += "".join(f"{number},train,withdrawn\n" for number in range(4, 10))
    (tmp_path / "data/split.csv").write_text(roles)
    write_params(tmp_path, split__seed=3)
    found = ledger.resolved(tmp_path)
    assert found.held and found.held.seed == 3
    assert found.held.cuts.keys() == {"a", "b", "c"} and found.held.cuts["c"] == ("", "")
    assert len(found.held.cuts["b"][0]) == 64
    images = SingleImages(
        pixels=("p0", "p4", "p5", "p6", "p7", "p8", "p9"),
        files=("f1", "f4", "f5", "f6", "f7", "f8", "f9"),
    )
    assert replace(found, held=None) == Request(
        ("a",), images=images, accuracy_before={"b": 0.75}, given=True
    )
    (tmp_path / "data/split.csv").write_text(roles.replace("withdrawn", "retain"))
    assert ledger.resolved(tmp_path).images is None


def test_the_ledger_keeps_whether_the_first_model_was_given():
    """Must fail if what an earlier request left is taken for a model trained elsewhere, or one is not."""
    assert Request(("a",)).began_with_given("mine.pth")
    assert not Request(("a",)).began_with_given(None)
    for given in (False, True):
        later = Request(("b",), earlier=(Request(("a",), given=given), Request(("c",))))
        assert later.began_with_given("requests/002.safetensors") == given


@pytest.mark.parametrize("accuracy", [1e308, -0.1, "0.5 of them", None])
def test_a_ledger_that_holds_no_accuracies_is_refused(tmp_path, accuracy):
    """Must fail if what a person wrote there becomes a figure, or a crash where figures are written."""
    request.write(Request(("a",), accuracy_before={"b": 0.5}), tmp_path / "001.json")
    assert request.read(tmp_path / "001.json").accuracy_before == {"b": 0.5}
    values = read_metrics(tmp_path / "001.json") | {"accuracy_before": {"b": accuracy}}
    (tmp_path / "001.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"001\.json is no request"):
        request.read(tmp_path / "001.json")


@pytest.mark.parametrize("is_withdrawn", [False, True])
def test_names_and_order_of_given_weights_outlast_the_request(
    tmp_path, monkeypatch, is_withdrawn, model_folder, data
):
    """Must fail if the next export has the pipeline's names, or outputs in order of the classes' names.

    Or if commands that need no request refuse params.yaml, which asks for nothing yet.
    """
    monkeypatch.chdir(tmp_path)
    given = ["horse", "cat", "elephant", "dog"]
    original, _ = weights.load_classifier(model_folder / "original.safetensors")
    names = {f"module.{name}" for name in original.network.state_dict()}
    torch.save(dict.fromkeys(names, torch.zeros(1)), tmp_path / "mine.pth")
    changes = {"weights": "mine.pth", "classes": given, "start": "pretrained"}
    write_params(
        tmp_path,
        model__name="resnet18",
        **{f"model__{key}": value for key, value in changes.items()},
    )
    if is_withdrawn:
        (tmp_path / "mine.pth").unlink()
        names = set(original.network.state_dict())
    shutil.copytree(model_folder, tmp_path / "models")
    monkeypatch.setattr(ledger.workspace, "require_in_step", lambda *_, **__: None)
    monkeypatch.setattr(ledger.places, "erased", lambda root: set())
    monkeypatch.setattr(ledger, "resolved", lambda root: Request(("elephant",)))
    ledger.close(tmp_path)

    model = load(ModelParams)
    assert (model.weights, model.classes) == ("requests/001.safetensors", given)
    assert model.start == "pretrained"  # of the retrained models, as before
    unlearned, _ = weights.load_classifier("models/unlearned.safetensors")
    shown = CliRunner().invoke(cli.app, ["export", "back.pth"])
    assert shown.exit_code == 0, shown.exception
    back = torch.load("back.pth")
    assert set(back) == names
    (bias,) = (back[name] for name in names if name.endswith("fc.bias"))
    assert bias.tolist() == [unlearned.head.bias[data.classes.index(name)] for name in given]
    taken = foreign.load_classifier("requests/001.safetensors", "x", model, data.labelling)
    assert taken.head.bias.equal(unlearned.head.bias)
    Path("requests/001.safetensors").unlink()  # as an erasure of the next request does
    shown = CliRunner().invoke(cli.app, ["export", "back.safetensors"])
    assert shown.exit_code == 0 and "own names" in shown.output, shown.exception
    assert set(load_file("back.safetensors")) == set(original.network.state_dict())
    for name in ("metrics", "plots"):
        shutil.copytree(ROOT / name, tmp_path / name)
    assert workspace.limits(tmp_path)
    shown = CliRunner().invoke(cli.app, ["gate"])
    assert isinstance(shown.exception, SystemExit | None) and shown.exit_code in (0, 1)


def test_a_gap_in_the_ledger_is_refused(tmp_path, monkeypatch):
    """Must fail if an earlier request is overwritten, and with it the proof of what was asked.

    Or if the message leads astray where `next` had left the file as it broke off.
    """
    clone = make_clone(tmp_path / "clone")
    (clone / "requests").mkdir()
    (clone / "requests/001.json").write_text("{}")
    monkeypatch.setattr(ledger.workspace, "require_in_step", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"001\.json exists.* in order; .* broke off, delete"):
        ledger.close(clone)
    assert (clone / "requests/001.json").read_text() == "{}"
