"""What the checks of a pull request may do: code of a branch never meets a token that may write."""

import re
from pathlib import Path

import pytest
import yaml
from tiny_project import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
# What may stand in a job that may write: nothing that a checkout brings along.
HARMLESS_PROGRAMS = {"printf", "gh", "cat", "echo"}


def faults(text: str) -> list[str]:
    """Return what a workflow does that none may."""
    found = [
        f"not pinned by commit: {action}"
        for action in re.findall(r"uses: *(\S+)", text)
        if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action)
    ]
    workflow = yaml.safe_load(text)
    if workflow.get("permissions") != {"contents": "read"}:
        found.append("the workflow's own token may do more than read")
    for name, job in workflow["jobs"].items():
        may_write = "write" in (job.get("permissions") or {}).values()
        for step in job["steps"]:
            action = step.get("uses", "").split("@")[0]
            if action == "actions/checkout":
                if may_write:
                    found.append(f"{name} may write and has a checkout")
                if (step.get("with") or {}).get("persist-credentials") is not False:
                    found.append(f"{name} leaves a token on the disk")
            programs = {
                line.split()[0] for line in step.get("run", "").splitlines() if line.strip()
            }
            if may_write and programs - HARMLESS_PROGRAMS:
                found.append(f"{name} may write and runs {sorted(programs - HARMLESS_PROGRAMS)}")
    return found


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_code_of_a_branch_never_meets_a_token_that_may_write(path):
    """Must fail if the comment is posted by a job with a checkout, or an action stands by its tag."""
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (r"checkout@[0-9a-f]{40}", "checkout@v4", "not pinned"),
        (r"persist-credentials: false", "fetch-tags: true", "leaves a token"),
        (r"printf .*", "make review", "runs ['make']"),
        (r"contents: read", "contents: write", "may do more than read"),
        (
            r"timeout-minutes: 90",
            "permissions: {contents: write}",
            "test may write and has a checkout",
        ),
    ],
)
def test_a_workflow_that_breaks_a_rule_is_found_out(old, new, fault):
    """Must fail if one of the rules is dropped."""
    text = Path(ROOT / ".github/workflows/check.yml").read_text(encoding="utf-8")
    assert any(fault in each for each in faults(re.sub(old, new, text)))
