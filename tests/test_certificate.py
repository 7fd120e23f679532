"""A certificate says what the workspace says, and nothing else goes through its verification."""

import base64
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import COLOURS, build_data
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from fuzzing import LEAVES, damaged_bytes, fuzzed, outcome, places, replaced
from hypothesis import assume, given
from hypothesis import strategies as st
from tiny_project import ENVIRONMENT, ROOT
from typer.testing import CliRunner

from unlearning import cli
from unlearning.base.errors import UserError
from unlearning.base.files import read_metrics, read_table, write_metrics, write_table
from unlearning.base.stage import alone
from unlearning.certificate import envelope, record, signature, verification, workspace
from unlearning.data import request
from unlearning.erase import places as erased_places
from unlearning.erase.cached import Store
from unlearning.erase.wanted import REQUEST, SAMPLES, SPLIT, of_workspace

DVC_YAML = """
stages:
  everything:
    cmd: echo made by hand
    deps:
    - params.yaml
    outs:
    - data/images
    - data/request.json
    - data/samples.csv
    - data/split.csv
    - models/original.safetensors
    - models/unlearned.safetensors
    - models/retrained
    metrics:
    - metrics/adversarial_train.json:
        cache: false
    - metrics/audit.json:
        cache: false
    - metrics/evaluate_forget.json:
        cache: false
    - metrics/evaluate_retain.json:
        cache: false
"""

# What the verdict's sentence is made of, whatever came of the committed run.
WORDS: dict[str, dict[str, Any]] = {
    "adversarial_train": {"cost_assessment": "cheaper than retraining", "warnings": "none"},
    "audit": {"verdict": "told apart", "article_comparison": "not compared"},
    "evaluate_forget": {"assessment": "forgotten and kept", "article_assessment": "good"},
    "evaluate_retain": {"chance": 0.1111},
}


def call(folder: Path, *command: str) -> None:
    subprocess.run(command, cwd=folder, env=ENVIRONMENT, check=True, capture_output=True)


def build_workspace(folder: Path, model_folder: Path) -> Path:
    """Return a small finished run: models and metrics need not fit each other, for nothing here trains."""
    data = build_data(dict.fromkeys(COLOURS, 8))
    (folder / "data/images").mkdir(parents=True)
    np.save(folder / "data/images/00000.npy", data.images)
    ids = range(len(data.images))
    samples = pd.DataFrame({"id": ids, "path": data.paths, "sha256": [f"{n:064x}" for n in ids]})
    samples["pixels"] = [f"{n:064x}" for n in ids]
    samples["class"] = [data.classes[label] for label in data.labels]
    write_table(folder / "data/samples.csv", samples)
    split = pd.DataFrame({"id": ids, "subset": data.subsets, "role": data.roles})
    write_table(folder / "data/split.csv", split)
    request.write(data.request, folder / "data/request.json")
    shutil.copytree(model_folder, folder / "models")
    shutil.copytree(ROOT / "metrics", folder / "metrics")
    shutil.copytree(ROOT / "plots", folder / "plots", ignore=shutil.ignore_patterns("*.png"))
    for name, words in WORDS.items():
        path = folder / f"metrics/{name}.json"
        write_metrics(path, read_metrics(path) | words)
    shutil.copy(ROOT / "params.yaml", folder)
    (folder / "dvc.yaml").write_text(DVC_YAML)
    call(folder, "git", "init", "--quiet")
    call(folder, "dvc", "init", "--quiet")
    call(folder, "dvc", "commit", "--force", "--quiet")
    call(folder, "git", "add", ".")
    call(folder, "git", "commit", "--quiet", "--message", "a run")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, model_folder) -> Path:
    """Return a finished run that tests must not change."""
    return build_workspace(tmp_path_factory.mktemp("finished") / "run", model_folder)


@pytest.fixture
def run(tmp_path, finished) -> Path:
    """Return a copy to change."""
    return shutil.copytree(finished, tmp_path / "run", symlinks=True)


@pytest.fixture(scope="module")
def content(finished, cpu) -> record.Content:
    return workspace.describe(finished, cpu)


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


def differences(content: record.Content, root: Path, machine: Any, **options: Any) -> list[str]:
    certificate = record.Certificate(content=content, signature=None)
    return verification.verify(certificate, root, machine, **options).differences


def changed(content: record.Content, path: tuple[Any, ...], value: Any) -> record.Content:
    return record.Content.model_validate(replaced(content.model_dump(mode="json"), path, value))


def flip(path: Path, place: int) -> None:
    """Change one byte. DVC's files may be read-only links to its cache: a copy takes their place."""
    damaged = bytearray(path.read_bytes())
    damaged[place] ^= 1
    path.unlink()
    path.write_bytes(damaged)


def test_withdrawn_images_are_covered_and_make_no_class_one_to_forget(finished, tmp_path):
    """Must fail if an image that was withdrawn is left out, or its class is said to be forgotten."""
    (tmp_path / "data").mkdir()
    for name in ("request.json", "samples.csv"):
        shutil.copy(finished / "data" / name, tmp_path / "data")
    split = read_table(finished / "data/split.csv")
    split.loc[:1, "role"] = "withdrawn"
    write_table(tmp_path / "data/split.csv", split)
    covered = workspace.forgotten(tmp_path)
    assert covered.classes == ["elephant"]
    assert [image.id for image in covered.images][:2] == [0, 1]
    assert len(covered.images) == 12


def test_a_finished_run_fits_its_certificate(finished, content, cpu):
    """Must fail if a section is compared with something else than was certified."""
    assert differences(content, finished, cpu) == []
    assert content.forgotten.classes == ["elephant"]
    # 8 training images, one to validate and one to test with.
    assert [image.subset for image in content.forgotten.images].count("train") == 8
    assert len(content.forgotten.images) == 10
    assert content.forgotten.images[0].sha256 == f"{content.forgotten.images[0].id:064x}"
    assert set(content.models) == {"original", "unlearned", "retrained/2", "retrained/10"}
    # The original knows the four colours (see conftest), one test image each.
    assert content.accuracies.models["original"] == record.Accuracies(forget=1.0, retain=1.0)
    assert (content.accuracies.forget_images, content.accuracies.retain_images) == (1, 3)


def test_a_run_is_certified_after_models_of_earlier_requests_were_erased(run, cpu):
    """Must fail if what an erasing rightly took away leaves later requests without a certificate.

    Or if a model that is there passes whatever its bytes are.
    """
    model = run / "requests/001.safetensors"
    model.parent.mkdir()
    shutil.copy(run / "models/original.safetensors", model)
    asked = request.read(run / "data/request.json")
    (run / "data/request.json").unlink()
    earlier = (request.Request(("horse",)),)
    request.write(replace(asked, earlier=earlier), run / "data/request.json")
    call(run, "dvc", "add", "--quiet", "requests/001.safetensors")
    call(run, "dvc", "commit", "--force", "--quiet")
    call(run, "git", "add", ".")
    call(run, "git", "commit", "--quiet", "--message", "the second request")
    flip(model, place=-1)
    with pytest.raises(UserError, match=r"not what dvc\.lock says in .*001\.safetensors\.dvc"):
        workspace.describe(run, cpu)
    model.unlink()
    found = {each.place: each.left for each in workspace.describe(run, cpu).places}
    assert (found["requests/001.safetensors"], found["requests/001.safetensors.dvc"]) == (0, 1)


def test_no_path_or_name_of_an_image_is_written(finished, content):
    """Must fail if the certificate tells what the images were called: that may name a person."""
    written = record.canonical(content).decode()
    assert not [
        path for path in read_table(finished / "data/samples.csv")["path"] if path in written
    ]


@pytest.mark.parametrize(
    "asked",
    [{"where": {"photographer": "Otto"}}, {"files": "otto.txt"}, {"fraction": 0.1}],
    ids=["where", "files", "fraction"],
)
def test_no_parameter_names_a_person(run, cpu, asked):
    """Must fail if what was asked for, or where files of this machine lie, stands in either form.

    Or if a change of it is then not found.
    """
    path = run / "params.yaml"
    values = yaml.safe_load(path.read_text())
    values["data"]["path"] = "/home/otto/photographs"
    values["retrain"] |= {"seeds": [], "weights": ["/home/otto/1.pth"]}
    values["forget"] |= {"classes": []} | asked
    path.write_text(yaml.safe_dump(values))
    call(run, "dvc", "commit", "--force", "--quiet")
    call(run, "git", "commit", "--quiet", "--all", "--message", "another request")
    content = workspace.describe(run, cpu)
    for form in (record.canonical(content).decode(), json.dumps(envelope.statement(content))):
        assert "otto" not in form.lower()
    assert content.params["retrain"]["weights"] == ["not shown"]
    assert set(content.params["forget"]["where"]) == set(asked.get("where", ()))
    assert bool(content.params["forget"]["files"]) == ("files" in asked)
    assert differences(content, run, cpu) == []
    path.write_text(path.read_text().replace("Otto", "Egon").replace("otto", "egon"))
    (line,) = differences(content, run, cpu)
    assert line.startswith("files.params.yaml: ")


@pytest.mark.parametrize("name", ["original", "unlearned", "retrained/2"])
def test_one_byte_of_a_model_is_found(run, content, cpu, name):
    """Must fail if a model's hash is taken from dvc.lock or from its header instead of its bytes."""
    flip(run / f"models/{name}.safetensors", place=-1)
    found = differences(content, run, cpu)
    assert any(line.startswith(f"models.{name}.sha256: the certificate says") for line in found)


def test_a_model_more_or_less_is_found(run, content, cpu):
    """Must fail if only what both sides have is compared."""
    (run / "models/retrained/2.safetensors").rename(run / "models/retrained/3.safetensors")
    found = " ".join(differences(content, run, cpu))
    assert "models.retrained/2: the certificate says" in found
    assert "models.retrained/3: the certificate says nothing, the workspace" in found


@pytest.mark.parametrize(
    "path",
    [
        ("audit", "verdict"),
        ("audit", "verdict_in_words"),
        ("audit", "js_to_retrained"),
        ("gate", "cost_ratio", "limit"),
        ("params", "lr"),
        ("forgotten", "images", 0, "sha256"),
        ("forgotten", "classes", 0),
        ("models", "unlearned", "sha256"),
        ("files", "dvc.lock"),
        ("accuracies", "models", "original", "retain"),
        ("accuracies", "retain_images"),
    ],
)
def test_an_edited_figure_is_found(finished, content, cpu, path):
    """Must fail if its section is not recomputed."""
    value: Any = content.model_dump(mode="json")
    for part in path:
        value = value[part]
    if isinstance(value, str):
        edited: Any = "0" * 64 if len(value) == 64 else value + "x"
    else:
        edited = 0.0 if value == 1.0 else value + 1
    assert differences(changed(content, path, edited), finished, cpu)


def test_a_figure_that_another_version_names_otherwise_is_told_from_a_changed_file(
    finished, content, cpu
):
    """Must fail if it is shown as a difference and no more, or a model that was changed is excused, too."""
    other = changed(content, ("audit", "verdict"), "x")
    forged = changed(other, ("models", "unlearned", "sha256"), "0" * 64)
    for edited, said in ((content, False), (other, True), (forged, False)):
        certificate = record.Certificate(content=edited, signature=None)
        notes = verification.verify(certificate, finished, cpu).notes
        assert any("another version of the program" in note for note in notes) == said


def test_an_image_left_out_is_found_and_no_other_is_named(finished, content, cpu):
    """Must fail if images are compared by their place in the list, or a second one of an id hides the first."""
    images = content.model_dump(mode="json")["forgotten"]["images"]
    with pytest.raises(ValueError, match="an id stands twice"):
        changed(content, ("forgotten", "images"), [images[0] | {"sha256": "0" * 64}, *images])
    (line, *_) = found = differences(
        changed(content, ("forgotten", "images"), images[1:]), finished, cpu
    )
    assert line.startswith(f"forgotten.images[{images[0]['id']}]: the certificate says nothing, ")
    assert len(found) == 1


def test_an_accuracy_may_be_one_image_off_and_no_more(content):
    """Must fail if the tolerance is left out, counted on the wrong images, or above 0.01 of many."""
    of = {role: ("accuracies", "models", "unlearned", role) for role in ("forget", "retain")}
    assert verification._close(of["retain"], 0.3333, 0.6667, content)
    assert not verification._close(of["retain"], 0.3333, 0.7, content)
    assert verification._close(of["forget"], 0.0, 1.0, content)
    assert not verification._close(("audit", "js_to_retrained", "x", "y"), 0.1, 0.101, content)
    many = changed(content, ("accuracies", "retain_images"), 1000)
    assert verification._close(of["retain"], 0.9, 0.91, many)
    assert not verification._close(of["retain"], 0.9, 0.9102, many)


def test_a_key_with_a_dot_does_not_stand_for_a_nested_one(finished, content, cpu):
    """Must fail if sections are flattened before they are compared: what is shown is not what is checked."""
    audit = content.model_dump(mode="json")["audit"]
    true = audit["retrained"]["few_shot_recall"]
    forged = replaced(audit, ("retrained", "few_shot_recall"), 0.0)
    forged |= {"retrained.few_shot_recall": true}
    found = differences(changed(content, ("audit",), forged), finished, cpu)
    assert found == [
        f"audit.retrained.few_shot_recall: the certificate says 0.0, the workspace {true}",
        f'audit."retrained.few_shot_recall": the certificate says {true}, the workspace nothing',
    ]


def test_a_key_with_a_bracket_does_not_stand_for_an_entry_of_a_list(finished, content, cpu):
    """Must fail if lists are flattened before they are compared."""
    forged = content.model_dump(mode="json")["params"]
    classes = {"classes": ["nothing at all"], "classes[0]": "elephant"}
    forged = forged | {"forget": forged["forget"] | classes}
    found = differences(changed(content, ("params",), forged), finished, cpu)
    assert len(found) == 2
    assert found[0].startswith("params.forget.classes[0]: the certificate says nothing at all, ")
    assert found[1].startswith('params.forget."classes[0]": ')


@pytest.mark.parametrize(
    ("says", "has", "line"),
    [
        (1, True, "the certificate says 1, the workspace true"),
        (1, 1.0, "the certificate says 1, the workspace 1.0"),
        ("1", 1, "the certificate says '1', the workspace '1'"),
        (None, "null", "the certificate says 'null', the workspace 'null'"),
        ("caf\u00e9", "cafe\u0301", r"the certificate says 'caf\xe9', the workspace 'cafe\u0301'"),
        ("A", "a", "the certificate says A, the workspace a"),
        ("a", "a ", "the certificate says a, the workspace a "),
        (0.1, 0.10001, "the certificate says 0.1, the workspace 0.10001"),
        ([], {}, "the certificate says [], the workspace {}"),
        ([1, 2], [2, 1], "[0]: the certificate says 1, the workspace 2"),
        ([1], [1, 1], "the certificate says [1], the workspace [1, 1]"),
        ({}, None, "the certificate says {}, the workspace null"),
        (-0.0, 0, "the certificate says -0.0, the workspace 0"),
    ],
    ids=str,
)
def test_values_are_compared_as_they_are(content, says, has, line):
    """Must fail if they are compared as text, as Python's == has it, or in another form, case or order."""
    found = list(verification._compare(("params",), {"x": says}, {"x": has}, content))
    assert found
    assert found[0] == f"params.x{'' if line[0] == '[' else ': '}{line}"


def test_the_images_may_be_gone(run, content, cpu):
    """Must fail if deleted images leave nothing to check; or if that hides a changed model."""
    for name in (REQUEST, SAMPLES, SPLIT):
        (run / name).unlink()
    assert differences(content, run, cpu, without_data=True) == []
    assert any("cannot be recomputed" in line for line in differences(content, run, cpu))
    flip(run / "models/unlearned.safetensors", place=-1)
    assert len(differences(content, run, cpu, without_data=True)) == 1


def test_a_path_in_a_certificate_is_never_opened(finished, content, cpu):
    """Must fail if a certificate can make its reader open files of the machine."""
    found = differences(
        changed(content, ("files",), dict(content.files) | {"/dev/zero": "0" * 64}), finished, cpu
    )
    assert found == [f"files./dev/zero: the certificate says {'0' * 64}, the workspace nothing"]


def test_an_unfinished_run_is_not_certified(run, cpu):
    """Must fail if outputs that dvc.lock does not know are certified."""
    flip(run / "models/unlearned.safetensors", place=-1)
    with pytest.raises(UserError, match=r"everything.*run `dvc repro`"):
        workspace.describe(run, cpu)


def test_uncommitted_changes_are_not_certified(run, cpu):
    """Must fail if the commit does not hold the code that ran; or if a stray file is in the way."""
    (run / "notes.txt").write_text("untracked")
    workspace.describe(run, cpu)
    with (run / "dvc.yaml").open("a") as file:
        file.write("# a comment\n")
    with pytest.raises(UserError, match="commit them"):
        workspace.describe(run, cpu)


def test_a_lock_file_outside_git_is_not_certified(run, cpu):
    """Must fail if an untracked dvc.lock counts as committed."""
    call(run, "git", "rm", "--quiet", "--cached", "dvc.lock")
    call(run, "git", "commit", "--quiet", "--message", "no lock")
    with pytest.raises(UserError, match=r"git ls-files: .*dvc\.lock"):
        workspace.describe(run, cpu)


def test_what_is_signed_is_said_to_the_byte(content):
    """Must fail if the canonical form changes: no certificate that was handed out would verify any more."""
    written = record.canonical(changed(content, ("audit",), {"b": [0.5, None], "a": "\xe9"}))
    assert written.startswith(
        b'{"accuracies":{"forget_images":1,"models":{"original":{"forget":1.0,'
    )
    assert b'"audit":{"a":"\xc3\xa9","b":[0.5,null]},"commit":"' in written


def test_a_signature_fits_its_content_and_key_alone(content, key):
    """Must fail if `fits` ignores the key, or says yes to everything."""
    signed = signature.sign(content, key)
    assert signature.fits(content, signed, key.public_key())
    assert not signature.fits(content, signed, Ed25519PrivateKey.generate().public_key())
    assert record.Signature.model_validate(signed.model_dump()) == signed


@fuzzed
@given(draw=st.data())
def test_any_changed_leaf_breaks_the_signature(content, key, draw):
    """Must fail if a part of the content is left out of the canonical form."""
    values = content.model_dump(mode="json")
    path = draw.draw(st.sampled_from(places(values)))
    try:
        other = changed(content, path, draw.draw(LEAVES | st.just("0" * 64)))
        assume(record.canonical(other) != record.canonical(content))
    except ValueError:
        return  # not of the schema
    assert not signature.fits(other, signature.sign(content, key), key.public_key())


def test_a_certificate_read_back_is_the_one_written(tmp_path, content, key):
    """Must fail if a figure loses digits on its way; or if a certificate is overwritten."""
    certificate = record.Certificate(content=content, signature=signature.sign(content, key))
    record.write(tmp_path / "c.json", certificate)
    assert envelope.read(tmp_path / "c.json") == certificate
    with pytest.raises(UserError, match="not overwritten"):
        record.require_new(tmp_path / "c.json")
    with pytest.raises(UserError, match="not overwritten"):
        cli._certify(Path(), None, False, [])


@fuzzed
@given(draw=st.data())
def test_a_damaged_certificate_is_taken_or_refused(tmp_path, content, draw):
    """Must fail if an exception of JSON or of the schema escapes."""
    path = tmp_path / "c.json"
    text = record.Certificate(content=content, signature=None).model_dump_json().encode()
    path.write_bytes(draw.draw(damaged_bytes(text)))
    outcome(lambda: envelope.read(path))


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ('"signature":', '"signature": null, "signature":', "stands twice"),
        ('"retain":1.0', '"retain":NaN', "no number"),
        ('"retain":1.0', '"retain":1.5', "less than or equal to 1"),
        ('"retain":1.0', '"retain":0.99999999999999999999', "shortest form"),
        ('"retain":1.0', '"retain":1e400', "shortest form"),
        (
            '"format":"unlearning-certificate/2"',
            '"format":"unlearning-certificate/1"',
            "of the format unlearning-certificate/1, this version reads .*/2: check it by the version",
        ),
        ('"format":"unlearning-certificate/2"', '"format":2', "not a certificate: content.format"),
        ('"statement":', '"addition":1,"statement":', "addition"),
        ('"audit":{', '"audit":{"odd":"\\ud800",', "surrogates not allowed"),
    ],
)
def test_what_is_not_of_the_schema_is_refused(tmp_path, content, old, new, fault):
    """Must fail if a reader could see one value and the program another."""
    text = record.Certificate(content=content, signature=None).model_dump_json()
    assert old in text
    (tmp_path / "c.json").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=fault):
        envelope.read(tmp_path / "c.json")


@pytest.mark.parametrize("text", ["5", "null", "[]", '"payload"'])
def test_json_without_names_is_no_certificate(tmp_path, text):
    """Must fail if what is no object is asked for its names: a traceback."""
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(UserError, match="holds no names of values"):
        envelope.read(tmp_path / "c.json")


def write_keys(folder: Path, key: Ed25519PrivateKey) -> None:
    """Write key.pem, public.pem and protected.pem as openssl does."""
    for name, protection in (
        ("key", NoEncryption()),
        ("protected", BestAvailableEncryption(b"secret")),
    ):
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
        (folder / f"{name}.pem").write_bytes(pem)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "public.pem").write_bytes(public)


def test_keys_of_another_kind_are_refused(tmp_path, key):
    """Must fail if one half is taken for the other, a library's exception escapes, or a pipe is opened."""
    write_keys(tmp_path, key)
    os.mkfifo(tmp_path / "pipe.pem")
    (tmp_path / "endless.pem").symlink_to("/dev/zero")
    (tmp_path / "text.pem").write_text("no key")
    for name, fault in (
        ("public", "not an Ed25519 private key"),
        ("text", "not an Ed25519 private key"),
        ("protected", "password"),
        ("missing", "No such file"),
        ("pipe", "a named pipe"),
        ("endless", "larger than 65,536 bytes"),
    ):
        with pytest.raises(UserError, match=fault):
            signature.read_private_key(tmp_path / f"{name}.pem")
    for name in ("key", "text"):
        with pytest.raises(UserError, match="not an Ed25519 public key"):
            signature.read_public_key(tmp_path / f"{name}.pem")


@pytest.mark.usefixtures("restored_torch")
def test_the_commands_sign_and_verify(run, key, monkeypatch):
    """Must fail if an unsigned or foreign certificate passes where a key is given, or exit codes differ."""
    monkeypatch.chdir(run)
    write_keys(run, key)
    command = CliRunner()

    def answer(*words: str) -> tuple[int, str]:
        result = command.invoke(cli.app, ["certificate", *words])
        if isinstance(result.exception, UserError):
            return 2, str(result.exception)
        return result.exit_code, result.output

    assert answer("--key", "key.pem")[0] == 0
    assert answer("--out", "unsigned.json")[0] == 0
    assert answer("--key", "key.pem") == (2, "certificate.json exists: a certificate is not overwritten; "
                                             "name another with --out")  # fmt: skip
    code, text = answer("verify", "certificate.json", "--public-key", "public.pem")
    assert code == 0
    assert "verified" in text
    assert answer("verify", "certificate.json")[0] == 0
    assert "signature not checked" in answer("verify", "certificate.json")[1]
    assert "not signed" in answer("verify", "unsigned.json")[1]
    code, text = answer("verify", "unsigned.json", "--public-key", "public.pem")
    assert code == 1
    assert "has none" in text
    forged = json.loads(Path("certificate.json").read_text())
    forged["content"]["issued_at"] = "2020-01-01T00:00:00Z"
    Path("forged.json").write_text(json.dumps(forged))
    code, text = answer("verify", "forged.json", "--public-key", "public.pem")
    assert code == 1
    assert "changed afterwards" in text
    assert answer("verify", "missing.json")[0] == 2


def erase(*words: str) -> str:
    """Return what `certificate --erase` says, or why it refuses."""
    done = CliRunner().invoke(cli.app, ["certificate", "--erase", *words])
    assert isinstance(done.exception, UserError) == (done.exit_code != 0), done.exception
    return str(done.exception or done.output)


@pytest.mark.usefixtures("restored_torch")
def test_what_would_stop_an_erasing_is_said_before_anything_is_computed(run, monkeypatch):
    """Must fail if minutes are spent, or a file is left, before an unknown remote or a running stage is seen.

    Or if copies that are kept take the certified model, trained on them, with them.
    """
    monkeypatch.chdir(run)

    def slow(*_: object) -> NoReturn:
        raise AssertionError("figures were computed")

    with monkeypatch.context() as patch:
        patch.setattr(workspace, "describe", slow)
        assert "the remotes are none" in erase("--remote", "near")
        with alone("everything", run / "scratch/everything.lock"):
            assert "already running" in erase()
        samples = read_table(run / "data/samples.csv")
        split = read_table(run / "data/split.csv").set_index("id").loc[samples["id"]]
        forget, kept = (split["role"].eq(role).to_numpy().argmax() for role in ("forget", "retain"))
        samples.loc[kept, "pixels"] = samples.loc[forget, "pixels"]
        (run / "data/samples.csv").unlink()
        write_table(run / "data/samples.csv", samples)
        assert "set forget.equal_pixels to withdraw" in erase()
    found = {each.name: each for each in erased_places._of_workspace(run, of_workspace(run))}
    for name in ("models/unlearned.safetensors", "models/retrained"):
        assert found[name].find() and not found[name].clear
        assert "withdraw" in found[name].todo
    assert not list(run.glob("certificate*"))


@pytest.mark.usefixtures("restored_torch")
def test_an_erasing_that_broke_off_is_finished_by_the_next_try(run, monkeypatch):
    """Must fail if it leaves a certificate, cannot go on, or says of what it had removed that none was found.

    Or if a draft of another run, or one that was edited, is certified, or one of the two files can never be
    made once the other is.
    """
    monkeypatch.chdir(run)

    def full(*_: object) -> NoReturn:
        raise UserError("no space left")

    def full_at_last(path: Path, *certificate: Any) -> None:
        (full if path.suffix == ".json" else write)(path, *certificate)

    write = record.write

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", full)
        assert erase() == "no space left"
    assert not (run / "models/original.safetensors").exists()
    (draft,) = run.glob("certificate*")
    written = draft.read_text()
    draft.write_text(written.replace('"verdict": "told apart"', '"verdict": "not told apart"'))
    assert "is of another run, delete it: audit.verdict" in erase()
    draft.write_text(written)
    for module, broken in ((envelope, full), (record, full_at_last)):
        with monkeypatch.context() as patch:
            patch.setattr(module, "write", broken)
            assert erase().endswith("no space left")
    erase()
    assert sorted(each.name for each in run.glob("certificate*")) == [
        "certificate.intoto.json", "certificate.json"
    ]  # fmt: skip
    places_of = {
        each.place: each for each in envelope.read(Path("certificate.json")).content.places
    }
    for name in ("models/original.safetensors", "data/images", "DVC cache"):
        assert places_of[name].found and places_of[name].left == 0
    done = CliRunner().invoke(cli.app, ["certificate", "verify", "certificate.json"])
    assert done.exit_code == 0, done.output


@pytest.mark.usefixtures("restored_torch")
def test_no_draft_is_signed_that_this_key_has_not_signed(run, content, key, monkeypatch):
    """Must fail if figures that nobody can compute again are believed, or those of another commit.

    Or if images, which can be read again, are not compared.
    """
    monkeypatch.chdir(run)
    write_keys(run, key)
    draft = Path("certificate.json.draft")
    retain = ("accuracies", "models", "unlearned", "retain")
    for path, value, with_key, fault in (
        (retain, 0.99, True, "the content was changed afterwards"),
        (("commit",), "d" * 40, False, "was begun at commit ddd"),
        (("forgotten", "images"), [], False, "is of another run, delete it: forgotten.images"),
    ):
        certificate = record.Certificate(
            content=changed(content, path, value),
            signature=signature.sign(content, key) if with_key else None,
        )
        record.write(draft, certificate)
        assert fault in erase(*(("--key", "key.pem") if with_key else ()))
    assert "has none" in erase("--key", "key.pem")
    assert (run / "models/original.safetensors").exists()
    record.write(draft, record.Certificate(content=content, signature=signature.sign(content, key)))
    assert ", signed;" in erase("--key", "key.pem")


def test_the_tables_that_an_erasing_keeps_are_checked(run, content, cpu):
    """Must fail if what is kept to check a certificate by may be changed or deleted unseen."""
    visited = erased_places.visit(run, clear=True)
    after = content.model_copy(update={"places": workspace.listed(visited)})
    assert differences(after, run, cpu) == []
    samples = run / "data/samples.csv"
    table = read_table(samples)
    table.loc[table["class"].eq("elephant"), "sha256"] = "0" * 64
    samples.unlink()
    write_table(samples, table)
    found = differences(after, run, cpu)
    assert found[0].startswith("files.data/samples.csv: ")
    assert found[1].startswith("forgotten.images[")
    (run / "data/request.json").unlink()
    assert "files.data/request.json" in " ".join(differences(after, run, cpu))
    assert differences(after, run, cpu, without_data=True) == []


def test_photographs_and_given_weights_that_dvc_add_keeps_are_removed(run):
    """Must fail if they stay in the cache, or another photograph goes.

    Or if `next` then takes the run for a broken one, also once the photograph is deleted at its source.
    """
    words = {"photos/face": b"a face", "photos/house": b"a house", "mine.pth": b"a model"}
    (run / "photos").mkdir()
    for name, content in words.items():
        (run / name).write_bytes(content)
    call(run, "dvc", "add", "--quiet", "photos", "mine.pth")
    samples = read_table(run / "data/samples.csv")
    samples.loc[samples["class"].eq("elephant").argmax(), "sha256"] = hashlib.sha256(
        b"a face"
    ).hexdigest()
    (run / "data/samples.csv").unlink()
    write_table(run / "data/samples.csv", samples)
    given = hashlib.sha256(b"a model").hexdigest()
    write_metrics(run / "data/weights.json", {"model.weights": [given]})
    call(run, "dvc", "commit", "--force", "--quiet")
    erased_places.visit(run, clear=True)
    digests = {content: hashlib.md5(content).hexdigest() for content in words.values()}
    left = {
        content
        for content, each in digests.items()
        if (run / f".dvc/cache/files/md5/{each[:2]}/{each[2:]}").exists()
    }
    assert left == {b"a house"}
    (run / "photos/face").unlink()
    workspace.require_in_step(run, erased_places.erased(run))
    flip(run / "models/unlearned.safetensors", place=-1)
    with pytest.raises(UserError, match=r"not what dvc\.lock says in everything: "):
        workspace.require_in_step(run, erased_places.erased(run))


# --- the certificate as others verify it --------------------------------------------------------------


@pytest.fixture
def statement_file(tmp_path, content, key) -> Path:
    """Return a signed statement."""
    envelope.write(tmp_path / "c.intoto.json", content, key)
    return tmp_path / "c.intoto.json"


def reseal(path: Path, key: Ed25519PrivateKey, change: Any) -> None:
    """Change a statement and sign it again by hand: by the specification's own words, without the library."""
    sealed = json.loads(path.read_text())
    values = json.loads(base64.b64decode(sealed["payload"]))
    change(values)
    payload = json.dumps(values).encode()
    kind = b"application/vnd.in-toto+json"
    encoded = b"DSSEv1 28 " + kind + b" " + str(len(payload)).encode() + b" " + payload
    sealed["payload"] = base64.b64encode(payload).decode()
    sealed["signatures"][0]["sig"] = base64.b64encode(key.sign(encoded)).decode()
    path.write_text(json.dumps(sealed))


def test_the_envelope_is_signed_as_the_specification_says(statement_file, key):
    """Must fail if the payload alone is signed, or another type: bytes by hand, checked by `cryptography`."""
    sealed = json.loads(statement_file.read_text())
    assert sealed["payloadType"] == "application/vnd.in-toto+json"
    payload = base64.b64decode(sealed["payload"])
    encoded = b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)
    (signed,) = sealed["signatures"]
    key.public_key().verify(base64.b64decode(signed["sig"]), encoded)


def test_a_statement_names_every_model_and_file_by_its_hash(statement_file, content, finished):
    """Must fail if a subject is left out, or its hash is not that of the file on the disk."""
    values = json.loads(base64.b64decode(json.loads(statement_file.read_text())["payload"]))
    assert values["_type"] == "https://in-toto.io/Statement/v1"
    assert len(values["subject"]) == len(content.models) + len(content.files)
    for subject in values["subject"]:
        digest = hashlib.sha256((finished / subject["name"]).read_bytes()).hexdigest()
        assert subject["digest"] == {"sha256": digest}, subject["name"]


@pytest.mark.parametrize("signer", [True, False])
def test_a_statement_read_back_is_the_certificate(tmp_path, content, key, signer, finished, cpu):
    """Must fail if a form loses a figure, or verifies less than the plain one."""
    path = tmp_path / "s.json"
    envelope.write(path, content, key if signer else None)
    read = envelope.read(path)
    assert read.content == content
    public = key.public_key() if signer else None
    assert verification.verify(read, finished, cpu, public).differences == []
    record.write(tmp_path / "plain.json", record.Certificate(content=content, signature=None))
    assert envelope.read(tmp_path / "plain.json").content == content


def test_another_key_or_a_changed_payload_breaks_the_envelope(statement_file, key, finished, cpu):
    """Must fail if the key is ignored, or the key id that the envelope itself names is believed."""
    read = envelope.read(statement_file)
    other = Ed25519PrivateKey.generate()
    assert envelope.fits(read.signature, key.public_key())
    assert not envelope.fits(read.signature, other.public_key())
    reseal(statement_file, other, lambda values: None)  # still names the first key
    read = envelope.read(statement_file)
    found = verification.verify(read, finished, cpu, key.public_key()).differences
    assert found == [
        "signature: it was not made by this key, or the content was changed afterwards"
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda values: values["subject"].pop(), "subjects"),
        (lambda values: values["subject"][0].update(name="models/other.safetensors"), "subjects"),
        (lambda values: values["subject"][0]["digest"].update(sha256="0" * 64), "subjects"),
        (lambda values: values.update(predicateType="other"), "type"),
        (lambda values: values.update(_type="other"), "type"),
        (lambda values: values.update(addition=1), "type or subjects"),
        (lambda values: values.pop("predicate"), "predicate"),
        (lambda values: values["predicate"].update(addition=1), "addition"),
    ],
)
def test_a_statement_that_shows_what_its_predicate_does_not_say_is_refused(
    statement_file, key, change, fault
):
    """Must fail if subjects are not compared: a reader of in-toto sees these alone."""
    reseal(statement_file, key, change)
    with pytest.raises(UserError, match=fault):
        envelope.read(statement_file)


@pytest.mark.parametrize(
    "change",
    [
        lambda sealed: sealed["signatures"].append(sealed["signatures"][0]),
        lambda sealed: sealed.update(signatures=[]),
        lambda sealed: sealed.update(payloadType="text/plain"),
        lambda sealed: sealed.update(payload=sealed["payload"] + "\n"),
        lambda sealed: sealed.update(payload="*" + sealed["payload"]),
        lambda sealed: sealed.update(payload=7),
        lambda sealed: sealed["signatures"][0].update(sig="A"),
        lambda sealed: sealed.update(content={}),
    ],
)
def test_an_envelope_of_another_form_is_refused_in_one_line(statement_file, change):
    """Must fail if lax base64, several signatures or unknown keys are taken, or end in a traceback."""
    sealed = json.loads(statement_file.read_text())
    change(sealed)
    statement_file.write_text(json.dumps(sealed))
    with pytest.raises(UserError, match="is not a certificate"):
        envelope.read(statement_file)
