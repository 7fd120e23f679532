"""What holds images of a request is found, and cleared where that may be."""

import hashlib
import json
import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import yaml
from test_settings import write_params
from tiny_project import ROOT, run

from unlearning.base.errors import UserError
from unlearning.base.files import NOTE, read_table
from unlearning.base.stage import alone
from unlearning.data import request
from unlearning.data.request import Request, SingleImages
from unlearning.erase import places
from unlearning.erase.cached import DECIDING, HOLDERS, Cache, Held, Store, require_one_run
from unlearning.erase.wanted import Wanted, of_workspace
from unlearning.running import resume
from unlearning.settings.data import DataParams
from unlearning.settings.load import load

SAMPLES = "id,path,sha256,pixels,class\n0,a/0.png,f0,p0,a\n1,b/1.png,f1,p1,b\n2,b/2.png,f2,p2,b\n"


@pytest.fixture
def clone(tmp_path, finished_clone) -> Path:
    """Return a finished run that was pushed to a local remote."""
    clone = shutil.copytree(finished_clone, tmp_path / "clone", symlinks=True)
    run(clone, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    run(clone, "git", "commit", "--quiet", "--all", "--message=remote")
    run(clone, "dvc", "push")
    return clone


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file but those in .dvc/tmp, where DVC notes what it looked at."""
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*")
        if file.is_file() and "tmp" not in file.relative_to(folder).parts
    }


def holding(folder: Path, rows: np.ndarray, files: set[str]) -> list[str]:
    """Return the files that hold the pixels of one of the rows, or are one of the files by SHA-256."""
    found = []
    for file in folder.rglob("*"):
        if file.is_file() and ".git" not in file.parts:
            content = file.read_bytes()
            if hashlib.sha256(content).hexdigest() in files or any(
                row.tobytes() in content for row in rows
            ):
                found.append(file.relative_to(folder).as_posix())
    return found


def test_what_may_be_removed_is_gone_to_the_last_byte(clone, tmp_path):
    """Must fail if the dry run removes anything, or pixels of the request stay in workspace, cache or remote.

    Or if anything else goes with them: other rows, the unlearned and retrained models.
    """
    images = np.load(clone / "data/images/00000.npy")
    samples = read_table(clone / "data/samples.csv")
    is_wanted = (samples["class"] == "elephant").to_numpy()
    files = set(samples["sha256"][is_wanted])
    assert {"data/images/00000.npy", "data/animals/" + samples["path"][is_wanted].iloc[0]} <= set(
        holding(clone, images[is_wanted], files)
    )
    before = digests(clone), digests(tmp_path / "remote")
    shown = run(clone, "unlearning", "erase")
    assert (digests(clone), digests(tmp_path / "remote")) == before
    assert "nothing was removed" in shown and "DVC remote storage" in shown
    assert "models/controls" not in shown  # where a note lies alone

    run(clone, "unlearning", "erase", "--yes")
    assert holding(clone, images[is_wanted], files) == []
    assert digests(tmp_path / "remote") == before[1]
    left = np.load(clone / "data/images/00000.npy")
    assert (left[~is_wanted] == images[~is_wanted]).all() and not left[is_wanted].any()
    assert not (clone / "models/original.safetensors").exists()
    shutil.rmtree(clone / "models/retrained")
    (clone / "models/unlearned.safetensors").unlink()
    run(clone, "dvc", "checkout", "models/retrained", "models/unlearned.safetensors")

    run(clone, "unlearning", "erase", "--yes", "--remote", "storage")
    assert holding(tmp_path / "remote", images[is_wanted], files) == []
    assert 0 < len(digests(tmp_path / "remote")) < len(before[1])
    assert "removes" not in run(clone, "unlearning", "erase")


def test_a_look_leaves_what_is_damaged_on_a_remote(clone, tmp_path):
    """Must fail if a remote is asked by DVC's `oids_exist`, which deletes an object that it could write."""
    lock = yaml.safe_load((clone / "dvc.lock").read_text())["stages"]["train_original"]["outs"]
    (digest,) = (each["md5"] for each in lock if each["path"] == "models/original.safetensors")
    damaged = tmp_path / "remote/files/md5" / digest[:2] / digest[2:]
    damaged.chmod(0o644)
    damaged.write_text("damaged")
    before = digests(tmp_path / "remote")
    assert "DVC remote storage" in run(clone, "unlearning", "erase")
    assert digests(tmp_path / "remote") == before and damaged.stat().st_mode & 0o777 == 0o644


def test_a_certificate_lists_each_place_and_the_next_request_can_follow(clone):
    """Must fail if a certificate of erased images cannot be checked, or `next` needs what is gone.

    Or if `export` and `erase` then refuse a params.yaml that asks for nothing yet. Or if the model card, which
    says what was asked for, is not listed.
    """
    picture = "data/animals/" + read_table(clone / "data/samples.csv")["path"].iloc[0]
    run(clone, "unlearning", "certificate", "--erase")
    content = json.loads((clone / "certificate.json").read_text())["content"]
    listed = {each["place"]: (each["found"], each["left"]) for each in content["places"]}
    assert listed["models/original.safetensors"] == (1, 0)
    assert listed["DVC cache"][0] > 0 and listed["DVC cache"][1] == 0
    assert listed["DVC remote storage"][1] == listed["DVC remote storage"][0] > 0
    assert listed["clones, backups, models handed out"] == (None, None)
    assert any("report/model_card.md" in name and left for name, (_, left) in listed.items())
    assert "erased when it was issued" in run(
        clone, "unlearning", "certificate", "verify", "certificate.json"
    )
    (answer,) = json.loads(run(clone, "unlearning", "predict", picture, "--json"))
    assert answer["discriminator_score"] is None and answer["predicted"]
    run(clone, "unlearning", "next")
    assert (clone / "requests/001.safetensors").exists()
    run(clone, "unlearning", "export", "model.pth")
    assert "DVC cache" not in run(clone, "unlearning", "erase")
    verify = ("unlearning", "certificate", "verify", "certificate.json")
    assert "differs: files.params.yaml" in run(clone, *verify, fails=True)
    run(clone, "git", "checkout", "--quiet", "HEAD", "--", "params.yaml")
    run(clone, *verify)


def test_a_run_that_is_broken_is_not_taken_for_an_erased_one(clone):
    """Must fail if whatever DVC calls changed is let through after an erasure."""
    run(clone, "unlearning", "erase", "--yes")
    weights = clone / "models/unlearned.safetensors"
    changed = weights.read_bytes()[:-1] + b"\0"
    weights.unlink()
    weights.write_bytes(changed)
    assert "not what dvc.lock says in adversarial_train" in run(
        clone, "unlearning", "next", fails=True
    )


def test_a_split_that_broke_off_is_not_erased(clone):
    """Must fail if `erase` goes by a table of another request than the model has forgotten."""
    table = clone / "data/split.csv"
    text = table.read_text().replace("retain", "forget", 1)
    table.unlink()
    table.write_text(text)
    before = digests(clone / "data")
    for options in ((), ("--yes",)):
        shown = run(clone, "unlearning", "erase", *options, fails=True)
        assert shown.startswith("error: data/split.csv is not what each stage read and wrote")
    assert digests(clone / "data") == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({}, None),
        ({"observe": None}, "dvc.lock knows no run of observe:"),
        ({"game": {"data/split.csv": "of an earlier request"}}, "data/split.csv"),
        ({"data/request.json": "of a later request"}, "data/request.json"),
        ({"models/unlearned.safetensors": None}, "models/unlearned.safetensors"),
        ({"observe": {"models/unlearned.safetensors": "of an earlier game"}}, "models/unlearned"),
    ],
)
def test_a_run_is_finished_once_all_stages_saw_the_same(tmp_path, change, named):
    """Must fail if a stage that never ran, or ran on other tables or another model, counts as run."""
    saw = {name: name for name in DECIDING}
    stages = {"game": saw, "observe": saw}
    for stage, text in change.items():
        if stage in stages:
            stages[stage] = {**saw, **text} if text else None
    for name in DECIDING:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        if text := change.get(name, name):
            (tmp_path / name).write_text(text)
    lock = {
        stage: {"deps": [{"path": path, "md5": md5(text)} for path, text in each.items()]}
        for stage, each in stages.items()
        if each
    }
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": lock}))
    with pytest.raises(UserError, match=f"^{named}") if named else nullcontext():
        require_one_run(tmp_path, ["game", "observe"])


@pytest.mark.parametrize("name", ["dvc.yaml", "dvc.lock"])
def test_a_merge_that_is_not_finished_is_named(tmp_path, name):
    """Must fail if a conflict in what DVC keeps ends in a parser's traceback, or as a run that never was."""
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / name).write_text("stages:\n<<<<<<< HEAD\n")
    with pytest.raises(UserError, match=f"^{name}:2: a merge conflict"):
        places.visit(tmp_path)


def md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


def put(store: Path, text: str, end: str = "") -> str:
    """Put an object into a cache or a remote; return its hash."""
    digest = md5(text) + end
    (store / digest[:2]).mkdir(parents=True, exist_ok=True)
    (store / digest[:2] / digest[2:]).write_text(text)
    return digest


def folder_of(store: Path, *names: str) -> str:
    """Put the list of a folder of such files into a cache; return its hash."""
    listed = [{"md5": md5(name), "relpath": name.split(" ")[0]} for name in names]
    return put(store, json.dumps(listed), ".dir")


def write_lock(root: Path, outs: dict[str, str]) -> None:
    listed = [{"path": path, "md5": md5} for path, md5 in outs.items()]
    (root / "dvc.lock").write_text(yaml.safe_dump({"stages": {"all": {"outs": listed}}}))


def outs_of(root: Path) -> dict[str, str]:
    stages = yaml.safe_load((root / "dvc.lock").read_text())["stages"]
    return {each["path"]: each["md5"] for each in stages["all"]["outs"]}


def hand_made(root: Path, role: str | None, rows: str = SAMPLES) -> Cache:
    """Return the cache of a repository whose only run is its dvc.lock; the objects are named after outputs."""
    root.mkdir()
    run(root, "git", "init", "--quiet")
    run(root, "dvc", "init", "--quiet")
    outs = {path: md5(path) for path in HOLDERS}
    cache = Cache(root)
    outs["data/samples.csv"] = put(cache.path, rows)
    if role:
        text = f"id,subset,role\n0,train,{role}\n1,train,retain\n2,test,retain\n"
        outs["data/split.csv"] = put(cache.path, text)
    write_lock(root, outs)
    return cache


MADE = {
    "models/original.safetensors",
    "models/init",
    "models/controls",
    "models/discriminator.safetensors",
}
FIRST = {"data/images", "data/images.npy", "data/animals", "data/observed"}
SHOWN = {"plots/examples.png", "report/index.html", "data/audit_examples.csv"}


@pytest.mark.parametrize(
    ("role", "held"),
    [
        ("forget", FIRST | SHOWN | MADE),
        ("withdrawn", FIRST | MADE),
        ("retain", FIRST | MADE | {"models/unlearned.safetensors", "models/retrained"}),
        ("earlier", FIRST),
        (None, set(HOLDERS)),  # a stage before split.csv
    ],
)
def test_what_a_run_holds_follows_from_the_role_the_images_had(tmp_path, role, held):
    """Must fail if a run that retained the images keeps its models, or one that had none loses its own."""
    cache = hand_made(tmp_path / "root", role)
    found = cache.held(Wanted(frozenset(), frozenset({"p0"}), frozenset())).sure
    assert found == {md5(path) for path in held}
    assert cache.held(Wanted(frozenset({"c"}), frozenset(), frozenset())).sure == set()


def test_a_note_is_nothing_that_a_folder_holds(tmp_path):
    """Must fail if the note in a folder counts, or the models beside it do not."""
    root = tmp_path / "root"
    cache = hand_made(root, "forget")
    init = folder_of(cache.path, f"{NOTE} of init", "generator of init")
    controls = folder_of(cache.path, f"{NOTE} of controls")
    write_lock(root, outs_of(root) | {"models/init": init, "models/controls": controls})
    found = cache.held(Wanted(frozenset({"a"}), frozenset(), frozenset())).sure
    assert {init, md5("generator of init")} < found
    assert found.isdisjoint({controls, md5(f"{NOTE} of init"), md5(f"{NOTE} of controls")})


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_what_dvc_add_keeps_is_found_by_its_content(tmp_path):
    """Must fail if a photograph of the request, a given model or one of the ledger stays where DVC put it.

    Or if what a commit long ago names is not looked for, nor what a remote alone has, or another goes with it.
    """
    root = tmp_path / "root"
    hand_made(root, "forget")
    run(root, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    names = ("photos/a.png", "photos/b.png", "mine.pth", "requests/001.safetensors", "other.pth")
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    run(root, "dvc", "add", "--quiet", "photos", *names[2:])
    run(root, "dvc", "push", "--quiet")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message=added")
    for name in ("photos", *names[2:4]):
        run(root, "git", "rm", "--quiet", f"{name}.dvc")
    run(root, "git", "commit", "--quiet", "--message=none")
    cache, wanted = Cache(root), {sha256("photos/a.png"), sha256("mine.pth")}
    models = ["requests/001.safetensors"]
    gone = {md5(name) for name in ("photos/a.png", "mine.pth", "requests/001.safetensors")}
    assert cache.added(wanted, models) == gone
    cache.store().remove(gone)
    assert cache.added(wanted, []) == set()
    assert cache.added(wanted, models, ["storage"]) == gone


def with_cars(tmp_path: Path) -> tuple[Cache, dict[str, str]]:
    """Return the cache of a repository with a run of cars in its history, and that run's hashes by path.

    Its tables lie on a remote alone. The run of the workspace had the images of class "a".
    """
    root, store = tmp_path / "root", tmp_path / "remote/files/md5"
    hand_made(root, "forget")
    run(root, "dvc", "remote", "add", "storage", str(tmp_path / "remote"))
    elephants = outs_of(root)
    cars = {path: put(store, f"cars {path}") for path in HOLDERS} | {
        "data/samples.csv": put(store, "id,path,sha256,pixels,class\n0,car/0.png,f9,p9,car\n"),
        "data/split.csv": put(store, "id,subset,role\n0,train,forget\n"),
    }
    cars["data/images"] = folder_of(store, "00001.npy of cars")
    elephants["data/images"] = folder_of(
        root / ".dvc/cache/files/md5", "00000.npy", "00001.npy of cars"
    )
    cars["models/retrained"] = elephants["models/retrained"]  # free of them, as the other run shows
    write_lock(root, cars)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message=cars")
    write_lock(root, elephants)
    return Cache(root), cars


def test_a_run_whose_tables_are_not_here_is_a_persons_to_decide(tmp_path):
    """Must fail if a run of other images goes from a remote because its tables are in another cache.

    Or if its tables are not read where they lie: in the workspace, or on a remote that may be read. Or if a
    shard that it shares with a run that had the images goes with the others, or what that run shows to be
    free of them is not known to be.
    """
    cache, cars = with_cars(tmp_path)
    wanted = Wanted(frozenset({"a"}), frozenset({"p0"}), frozenset({"f0"}))
    held = cache.held(wanted)
    assert held.unsure == {cars[path] for path in HOLDERS} - {md5("models/retrained")}
    shards = {md5("00000.npy"), md5("00001.npy of cars")}
    assert shards < held.sure
    decided = Held(held.sure - {md5("00001.npy of cars")}, set())
    assert cache.held(wanted, ["storage"]) == decided
    (cache.root / "data").mkdir()
    for name in ("data/samples.csv", "data/split.csv"):
        digest = cars[name]
        shutil.copy(tmp_path / "remote/files/md5" / digest[:2] / digest[2:], cache.root / name)
    assert cache.held(wanted).unsure == set()


def test_a_run_that_only_run_caches_tell_of_goes_and_the_run_caches_last(tmp_path, monkeypatch):
    """Must fail if a remote's run cache is not searched or not cleared, or with it what tells of other runs.

    Or if a run cache goes while a remote that was to be cleared still has what it tells of.
    """
    cache, cars = with_cars(tmp_path)
    remote, wanted = tmp_path / "remote", Wanted(frozenset({"a"}), frozenset(), frozenset())
    pushed = put(remote / "files/md5", "never committed")
    never_committed = {"data/samples.csv": put(cache.path, SAMPLES), "data/images": pushed}
    entries = [remote / "runs/aa/one/run", remote / "runs/bb/cars/run"]
    entries.append(cache.root / ".dvc/cache/runs/aa/one/run")
    for file, outs in zip(entries, (never_committed, cars, never_committed), strict=True):
        assert (pushed in cache.held(wanted, ["storage"]).sure) == (file != entries[0])
        file.parent.mkdir(parents=True)
        listed = [{"path": path, "md5": md5} for path, md5 in outs.items()]
        file.write_text(yaml.safe_dump({"cmd": "x", "outs": listed}))

    def clear() -> dict[str, int | None]:
        held = cache.held(wanted, ["storage"])
        visited = list(places._of_cache(cache, held, ["storage"], {"storage": ""}))
        for place in visited:
            if place.clear and place.find():
                place.clear()
        return {place.name: place.find() for place in visited}

    with monkeypatch.context() as patch:
        patch.setattr(Store, "remove", lambda *_: None)
        left = clear()
    caches = ("DVC run cache", "DVC run cache of remote storage")
    assert [left[name] for name in caches] == [1, 1]
    assert set(clear().values()) == {0}
    assert [file.exists() for file in entries] == [False, True, False]
    gone = remote / "files/md5" / pushed[:2] / pushed[2:]
    others = [
        remote / "files/md5" / each[:2] / each[2:]
        for path, each in cars.items()
        if path != "models/retrained"
    ]
    assert not gone.exists() and all(each.exists() for each in others)


def test_a_remote_that_is_to_be_cleared_must_answer(tmp_path):
    """Must fail if one whose disk is not connected counts as empty."""
    cache, _ = with_cars(tmp_path)
    cache.require(["storage"])
    (tmp_path / "remote").rename(tmp_path / "away")
    with pytest.raises(UserError, match="remote storage: there is nothing at"):
        cache.require(["storage"])


def test_what_cannot_be_looked_at_is_not_taken_for_absent(tmp_path):
    """Must fail if an object in a folder that cannot be entered, in cache or remote, counts as not there."""
    cache, _ = with_cars(tmp_path)
    for name, folder in (("", cache.path), ("storage", tmp_path / "remote/files/md5")):
        store = cache.store(name)
        (folder / "00").symlink_to("00")
        assert store.present({md5("nowhere")}) == []
        with pytest.raises(UserError, match=f"{store.name}: .*symbolic links"):
            store.present({"00" + md5("x")[2:]})


@pytest.mark.parametrize("role", ["forget", "withdrawn", "retain", "earlier"])
def test_the_run_cache_says_the_same_as_the_lock(tmp_path, role):
    """Must fail if a stage that reads no table counts as one that had the images, or as one that had none."""
    root = tmp_path / "root"
    cache = hand_made(root, role)
    outs = outs_of(root)
    del outs["data/images.npy"]  # no stage of today has it
    write_lock(root, outs)
    questions = [Wanted(frozenset({name}), frozenset(), frozenset()) for name in ("a", "c")]
    by_lock = [cache.held(each) for each in questions]
    (root / "dvc.lock").unlink()
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        entry = {"cmd": stage["cmd"]}
        paths = [
            each if isinstance(each, str) else next(iter(each))
            for kind in ("deps", "outs", "plots")
            for each in stage.get(kind, [])
        ]
        entry["outs"] = [{"path": path, "md5": outs[path]} for path in paths if path in outs]
        file = root / ".dvc/cache/runs" / name[:2] / name / "run"
        file.parent.mkdir(parents=True)
        file.write_text(yaml.safe_dump(entry))
    assert [cache.held(each) for each in questions] == by_lock
    assert by_lock[0].sure and by_lock[1] == Held(set(), set())


@pytest.mark.parametrize("later", ["stages: {}\n", "- " * 5000])
def test_a_run_of_another_branch_or_a_commit_long_undone_counts(tmp_path, later):
    """Must fail if only the workspace's dvc.lock is looked at, or one that is too deep ends the search."""
    root = tmp_path / "root"
    cache = hand_made(root, "forget")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message=one")
    (root / "dvc.lock").write_text(later)
    run(root, "git", "commit", "--quiet", "--amend", "--all", "--message=undone")
    assert cache.held(Wanted(frozenset({"a"}), frozenset(), frozenset())).sure


@pytest.mark.parametrize("name", ["dvc.lock", "project/dvc.lock"])
def test_a_run_counts_wherever_its_lock_lay(tmp_path, name):
    """Must fail if a dvc.lock that moved since, or one in a subfolder of the Git repository, is not read."""
    root = tmp_path / "root"
    cache = hand_made(root, "forget")
    (root / "project").mkdir()
    (root / "dvc.lock").rename(root / name)
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message=one")
    run(root, "git", "mv", name, "2024.lock")
    run(root, "git", "commit", "--quiet", "--message=moved")
    assert cache.held(Wanted(frozenset({"a"}), frozenset(), frozenset())).sure


def test_copies_and_earlier_requests_are_wanted_too(tmp_path):
    """Must fail if what was withdrawn, or an earlier request covered, counts as kept.

    Or if the files of an earlier one do not, once they are gone from the source.
    """
    (tmp_path / "data").mkdir()
    request.write(
        Request(("a",), earlier=(Request(("z",), SingleImages(pixels=("q",), files=("g",))),)),
        tmp_path / "data/request.json",
    )
    (tmp_path / "data/samples.csv").write_text(SAMPLES)
    (tmp_path / "data/split.csv").write_text(
        "id,subset,role\n0,train,forget\n1,test,withdrawn\n2,test,retain\n"
    )
    assert of_workspace(tmp_path) == Wanted(
        frozenset({"a", "z"}), frozenset({"p0", "p1", "q"}), frozenset({"f0", "f1", "g"})
    )


def test_a_picture_of_the_request_in_a_commit_is_found(clone):
    """Must fail if history is left out: the file itself may be long deleted."""
    picture = next((clone / "data/animals/elephant").iterdir())
    shutil.copy(picture, clone / "docs/portrait.jpg")
    run(clone, "git", "add", "docs")
    run(clone, "git", "commit", "--quiet", "--message=portrait")
    run(clone, "git", "rm", "--quiet", "docs/portrait.jpg")
    run(clone, "git", "commit", "--quiet", "--message=no portrait")
    found = {each.place.name: each for each in places.visit(clone)}
    assert found["Git, files of the request"].found == 1


def test_files_of_the_request_are_found_in_git_whatever_they_are_called(tmp_path):
    """Must fail if a file is passed over for its name, or a clone without the older commits says none."""
    root, shallow = tmp_path / "root", tmp_path / "shallow"
    root.mkdir()
    run(root, "git", "init", "--quiet")
    (root / "portrait.avif").write_bytes(b"a face")
    (root / "other.png").write_bytes(b"a house")
    run(root, "git", "add", "--all")
    run(root, "git", "commit", "--quiet", "--message=portrait")
    run(root, "git", "rm", "--quiet", "portrait.avif")
    run(root, "git", "commit", "--quiet", "--message=none")
    run(root, "git", "clone", "--quiet", "--depth=1", root.as_uri(), str(shallow))
    asked = Wanted(frozenset(), frozenset(), frozenset({hashlib.sha256(b"a face").hexdigest()}))
    assert [place.find() for place in places._of_git(root, asked)] == [1, 1]
    assert [place.find() for place in places._of_git(shallow, asked)] == [None, None]


def test_a_shared_cache_is_left_to_its_owner(clone, tmp_path):
    """Must fail if objects go that other projects use."""
    shutil.copytree(clone / ".dvc/cache", tmp_path / "shared")
    run(clone, "dvc", "cache", "dir", str(tmp_path / "shared"))
    before = digests(tmp_path / "shared")
    found = {each.place.name: each for each in places.visit(clone, clear=True)}
    assert found["DVC cache"].left == found["DVC cache"].found > 0
    assert digests(tmp_path / "shared") == before


def test_a_remote_that_cannot_be_asked_is_said_to_be_unknown(clone):
    """Must fail if silence counts as empty, or an unknown name as done.

    Or if anything goes where a remote that was to be cleared does not answer.
    """
    run(clone, "dvc", "remote", "add", "far", "ssh://nowhere.invalid/folder")
    found = {each.place.name: each for each in places.visit(clone)}
    assert found["DVC remote far"].found is None
    assert found["DVC run cache of remote far"].found is None
    before = digests(clone)
    with pytest.raises(UserError, match="remote far: "):
        places.visit(clone, clear=True, remotes=["far"])
    assert digests(clone) == before
    with pytest.raises(UserError, match="names near: the remotes are far, storage"):
        places.visit(clone, remotes=["near"])


def test_the_source_is_looked_into(tmp_path):
    """Must fail if a source that has the images counts as empty, or one that cannot be reached as either."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/samples.csv").write_text(SAMPLES)
    (tmp_path / "data/split.csv").write_text("id,subset,role\n0,train,forget\n1,test,retain\n")
    wanted = Wanted(frozenset({"b"}), frozenset(), frozenset())

    def left(source: str, path: str) -> int | None:
        data = load(DataParams, ROOT / "params.yaml")
        data = data.model_copy(update={"source": source, "path": path})
        return places._in_source(tmp_path, wanted, data)

    assert (
        left("folder", "photos") is left("table", "photos.csv") is left("cifar10", "sets") is None
    )
    assert left("synthetic", "x") == 0
    for name in ("photos/a/0.png", "photos/b/1.png", "sets/cifar-10-batches-py/test_batch"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert left("folder", "photos") == 1
    assert left("cifar10", "sets") == 2
    for name in ("photos/b/1.png", "sets/cifar-10-batches-py/test_batch"):
        (tmp_path / name).unlink()
    assert left("folder", "photos") == left("cifar10", "sets") == 0


@pytest.mark.parametrize("source", ["table", "synthetic"])
def test_photographs_that_a_table_names_are_yours(tmp_path, source):
    """Must fail if a path of samples.csv outside data/animals is removed, or there one of another source."""
    own = [tmp_path / "photos/0.png", tmp_path / "data/animals/0.png", tmp_path / "data/0.png"]
    for file in own:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    names = (str(own[0]), "0.png", "../0.png")
    rows = "".join(f"{number},{name},f,p,a\n" for number, name in enumerate(names))
    (tmp_path / "data/samples.csv").write_text(f"id,path,sha256,pixels,class\n{rows}")
    (tmp_path / "data/split.csv").write_text(
        "id,subset,role\n0,train,forget\n1,train,forget\n2,train,forget\n"
    )
    request.write(Request(("a",)), tmp_path / "data/request.json")
    params = (ROOT / "params.yaml").read_text().replace("source: synthetic", f"source: {source}")
    (tmp_path / "params.yaml").write_text(params)
    for place in places._of_workspace(tmp_path, of_workspace(tmp_path)):
        if place.name == "data/animals" and place.clear:
            place.clear()
    left = [file for file in own if file.exists()]
    assert left == ([own[0], own[2]] if source == "synthetic" else own)


@pytest.fixture
def small(tmp_path) -> Path:
    """Return a folder with what a search of the workspace reads of a run."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data/samples.csv").write_text(SAMPLES)
    (tmp_path / "data/split.csv").write_text("id,subset,role\n0,train,forget\n1,test,retain\n")
    request.write(Request(("a",)), tmp_path / "data/request.json")
    shutil.copy(ROOT / "params.yaml", tmp_path)
    return tmp_path


def test_a_link_to_a_folder_is_a_persons(small):
    """Must fail if what it leads to is removed, or erasing ends there with the rest undone."""
    for folder in ("elsewhere", "scratch"):
        (small / folder).mkdir()
        (small / folder / "file").touch()
    (small / "review").symlink_to("elsewhere")
    for place in (visited := places._of_workspace(small, of_workspace(small))):
        if place.clear and place.find():
            place.clear()
    (link,) = (place for place in visited if place.name == "review")
    assert link.find() == 1 and "it is a link" in link.todo
    assert (small / "elsewhere/file").exists() and not (small / "scratch").exists()


def test_what_killed_runs_left_goes(small):
    """Must fail if pictures or weights that a killed stage was writing stay, or another file goes with them."""
    left = ["data/.animals.part/cow/1.jpg", "data/images/.00000.part.npy"]
    left += ["plots/.examples.part.png", "models/retrained/.3.part.safetensors"]
    yours = ["data/.mine.part.png", "photos/.animals.part/cow/1.jpg"]
    for name in (*left, *yours):
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).touch()
    (place,) = (
        each
        for each in places._of_workspace(small, of_workspace(small))
        if each.name.startswith("what killed runs left")
    )
    assert place.find() == 4 and place.clear
    place.clear()
    assert place.find() == 0 and not (small / "data/.animals.part").exists()
    assert all((small / name).exists() for name in yours)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ({"data__source": "folder", "data__path": "review/photos"}, "data.path"),
        ({"data__source": "table", "data__path": "images.csv"}, "data.path"),
        ({"model__weights": "scratch/mine.pth"}, "model.weights"),
        ({"retrain__weights": ["dvc_plots/1.pth"], "retrain__seeds": []}, "retrain.weights"),
    ],
)
def test_what_a_person_gave_is_not_removed_wherever_it_stands(small, given, key, monkeypatch):
    """Must fail if photographs or weights go with the rest of a folder that is removed whole."""
    write_params(small, **given)
    rows = SAMPLES.replace("a/0.png", "review/a/0.png")
    (small / "data/samples.csv").write_text(rows)
    monkeypatch.setattr(Cache, "__init__", lambda *_: None)
    monkeypatch.setattr(Cache, "require", lambda *_: None)
    with pytest.raises(UserError, match=rf"^params\.yaml: {key} leads to .* is removed"):
        places.visit(small, clear=True)


def test_of_experiments_workspaces_alone_count(small):
    """Must fail if DVC's own notes on experiments are taken for images."""
    for file in ("run/one/one.run", "standalone/tmp1/dvc.yaml"):
        (small / ".dvc/tmp/exps" / file).parent.mkdir(parents=True)
        (small / ".dvc/tmp/exps" / file).touch()
    found = {each.name: each.find() for each in places._of_people(small, of_workspace(small))}
    assert found["workspaces of experiments"] == 1


def test_whose_a_linked_cache_is_stands_in_its_place(tmp_path):
    """Must fail if the link is named, of which nobody knows where it leads."""
    hand_made(tmp_path / "root", "forget")
    own = tmp_path / "root/.dvc/cache"
    own.rename(tmp_path / "shared")
    own.symlink_to(tmp_path / "shared")
    place = next(places._of_cache(Cache(tmp_path / "root"), Held(set(), set()), [], {}))
    assert not place.clear and str(tmp_path / "shared/files") in place.todo


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        ("retrain.lock", r"^retrain is already running"),
        (f"retrain-0123456789abcdef/{resume.LOCK}", r"^an experiment's retrain is already running"),
    ],
)
def test_nothing_is_removed_under_a_running_stage(lock, said, clone):
    """Must fail if a training that runs, here or in an experiment's copy, loses data or states, and goes on to
    write what it made of them."""
    before = digests(clone / "data")
    with alone("retrain", clone / "scratch" / lock), pytest.raises(UserError, match=said):
        places.visit(clone, clear=True)
    assert digests(clone / "data") == before


def test_states_go_and_the_locks_beside_them_stay(small):
    """Must fail if a lock counts as made of the images, or is removed: two could then hold the same one."""
    folders = [small / f"scratch/retrain-{key}" for key in ("ended", "killed")]
    for folder in folders:
        with alone("retrain", folder / resume.LOCK):
            (folder / "1-1.safetensors").touch()
    (folders[0] / "1-1.safetensors").unlink()
    visited = places._of_workspace(small, of_workspace(small))
    (scratch,) = (place for place in visited if place.name == "scratch")
    assert scratch.find() == 1 and scratch.clear
    scratch.clear()
    assert scratch.find() == 0
    assert [[file.name for file in folder.iterdir()] for folder in folders] == [[resume.LOCK]] * 2


def test_models_of_earlier_requests_saw_the_images_of_the_last(tmp_path):
    """Must fail if the model that a request left, which never forgot the next one's images, is kept."""
    (tmp_path / "data").mkdir()
    request.write(
        Request(("c",), earlier=(Request(("a",)), Request(("b",)))), tmp_path / "data/request.json"
    )
    assert [path.name for path in places.earlier_models(tmp_path)] == [
        "001.safetensors",
        "002.safetensors",
    ]
