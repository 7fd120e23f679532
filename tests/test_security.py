"""No module can run what it reads: the rules of docs/security.md, held against the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_project import ROOT

MODULES = sorted((ROOT / "src").rglob("*.py")) + sorted((ROOT / "stages").rglob("*.py"))
# By name wherever it stands: imported, called, taken as an attribute.
FORBIDDEN = {
    "allow_pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "pickle", "read_pickle",
    "shelve", "to_pickle", "system", "popen", "unsafe_load", "full_load", "UnsafeLoader", "FullLoader",
}  # fmt: skip
# Built-in functions; `re.compile` and a model's `.eval()` are others.
FORBIDDEN_BUILTINS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_OF_MODULES = {("torch", "load"), ("yaml", "load"), ("yaml", "Loader")}


def faults(source: str) -> Iterator[str]:
    """Yield what a module does that no module may."""
    tree = ast.parse(source)
    safe = {id(call.func) for call in ast.walk(tree) if _loads_safely(call, tree)}
    for node in ast.walk(tree):
        if id(node) in safe:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None) or ""
            for alias in node.names:
                parts = {*module.split("."), *alias.name.split(".")}
                if parts & FORBIDDEN or (module, alias.name) in FORBIDDEN_OF_MODULES:
                    yield f"imports {alias.name}"
        elif isinstance(node, ast.Attribute):
            owner = getattr(node.value, "id", "")
            if node.attr in FORBIDDEN or (owner, node.attr) in FORBIDDEN_OF_MODULES:
                yield f"uses {owner}.{node.attr}"
        elif isinstance(node, ast.Name) and node.id in FORBIDDEN_BUILTINS:
            yield f"uses {node.id}"
        elif isinstance(node, ast.keyword) and node.arg in ("shell", "allow_pickle"):
            yield f"gives {node.arg}="


def _loads_safely(call: ast.AST, tree: ast.Module) -> bool:
    """Return whether a node is `torch.load(..., weights_only=True)`, or `yaml.load(text, loader)`.

    With a loader of this module, made of the safe one.
    """
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "torch.load":
        return "weights_only=True" in [ast.unparse(keyword) for keyword in call.keywords]
    loaders = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and [ast.unparse(base) for base in node.bases] == ["yaml.SafeLoader"]
    }
    return (
        isinstance(call, ast.Call)
        and ast.unparse(call.func) == "yaml.load"
        and len(call.args) == 2
        and ast.unparse(call.args[1]) in loaders
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_can_run_what_it_reads(path: Path):
    """Must fail if any module unpickles, evaluates, or hands a string to a shell."""
    assert list(faults(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import torch\ntorch.load('x')",
        "from torch import load",
        "torch.load('x', weights_only=False)",
        "torch.load('x', weights_only=asked)",
        "np.load('x', allow_pickle=False or True)",
        "eval('1')",
        "f = exec",
        "import os\nos.system('x')",
        "subprocess.run('x', shell=True)",
        "yaml.load(x)",
        "yaml.load(x, yaml.FullLoader)",
        "class L(yaml.Loader): pass\nyaml.load(x, L)",
        "from yaml import unsafe_load",
        "pd.read_pickle('x')",
    ],
)
def test_the_rules_see_what_they_forbid(source):
    """Must fail if a rule is written so that nothing breaks it."""
    assert list(faults(source))
