"""A run travels: what one clone made, another gets by `dvc pull`, or makes again byte by byte."""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from tiny_project import run, stages_run

BUCKET = "unlearning"
KEY = {"access_key_id": "somebody", "secret_access_key": "secret", "region": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Return the address of an S3 server with an empty bucket."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    address = "http://{}:{}".format(*server.get_host_and_port())
    boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=KEY["access_key_id"],
        aws_secret_access_key=KEY["secret_access_key"],
        region_name=KEY["region"],
    ).create_bucket(Bucket=BUCKET)
    yield address
    server.stop()


def cloned(source: Path, folder: Path, settings: dict[str, str]) -> Path:
    """Return a Git clone with nothing but what is in Git, and a person's own settings of the remote."""
    run(source, "git", "clone", "--quiet", str(source), str(folder))
    for name, value in settings.items():
        run(folder, "dvc", "remote", "modify", "--local", "storage", name, value)
    return folder


def outputs(clone: Path) -> dict[str, str]:
    """Return the digest of everything that a run leaves."""
    files = [clone / "dvc.lock"]
    for folder in ("data", "metrics", "models", "plots", "report"):
        files += (path for path in (clone / folder).rglob("*") if path.is_file())
    return {
        path.relative_to(clone).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("kind", ["local", "s3"])
def test_a_second_clone_pulls_the_run_and_has_nothing_to_do(
    tmp_path, finished_clone, request, kind
):
    """Must fail if an output is in no cache, or the run cache does not travel."""
    first = shutil.copytree(finished_clone, tmp_path / "first", symlinks=True)
    if kind == "s3":
        settings = {"endpointurl": request.getfixturevalue("s3"), **KEY}
        run(first, "dvc", "remote", "add", "--default", "storage", f"s3://{BUCKET}/dvc")
    else:
        settings = {}
        run(first, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "remote"))
    for name, value in settings.items():
        run(first, "dvc", "remote", "modify", "--local", "storage", name, value)
    run(first, "git", "commit", "--quiet", "--all", "--message", "a remote")
    run(first, "dvc", "push", "--run-cache")

    second = cloned(first, tmp_path / "second", settings)
    run(second, "dvc", "pull")
    assert stages_run(run(second, "dvc", "repro")) == {"check_request"}
    assert outputs(second) == outputs(first)
    assert run(second, "git", "status", "--porcelain") == ""

    # DVC 3.67 sends the run cache's list of runs but not their metrics, which are in Git (see docs/remotes.md).
    run(second, "dvc", "pull", "--run-cache")
    (second / "dvc.lock").unlink()  # as on a branch that goes back to earlier parameters
    without_metrics = "init_models"
    shown = run(second, "dvc", "repro", "--single-item", without_metrics)
    assert f"Stage '{without_metrics}' is cached - skipping run" in shown


def test_a_run_made_before_is_not_made_again(tmp_path, finished_clone):
    """Must fail if a stage's outputs switch DVC's run cache off."""
    clone = shutil.copytree(finished_clone, tmp_path / "clone", symlinks=True)
    (clone / "dvc.lock").unlink()
    assert stages_run(run(clone, "dvc", "repro")) == {"check_request"}
    assert outputs(clone) == outputs(finished_clone)


def test_a_fresh_clone_makes_the_same_bytes(tmp_path, finished_clone):
    """Must fail if a seed, a path, a time or the number of workers gets into an output."""
    fresh = cloned(finished_clone, tmp_path / "a longer name, with a space", {})
    assert not (fresh / ".dvc/cache").exists()
    run(fresh, "dvc", "repro")
    assert run(fresh, "git", "status", "--porcelain") == ""
    assert outputs(fresh) == outputs(finished_clone)
