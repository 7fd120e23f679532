"""The model card: evidence in, Markdown with a metadata block out, in the format of the Hugging Face Hub.

Source: https://huggingface.co/docs/hub/model-cards. No licence is claimed: it follows the training data.
"""

import re
from pathlib import PurePath
from typing import Any

import yaml
from markupsafe import Markup

from unlearning.audit import catalogue
from unlearning.base.errors import printable
from unlearning.report import sentences, templates
from unlearning.report.evidence import Evidence
from unlearning.report.page import levels
from unlearning.report.quoting import text_quoter

TEMPLATE = "model_card.md.j2"
MODEL_NAME = "unlearned"
# Knobs of the game that a recipe reads: those of every recipe, and its own.
ADAM = ("lr", "batch_size", "weight_decay", "beta1", "beta2", "seed")
USED = {
    "adversarial": (*ADAM, "cost", "noise", "adversary", "adversary_weight"),
    "article": (*ADAM, "epochs"),
    "delete": (*ADAM, "cost"),
    "euk": (*ADAM, "cost"),
}
LIVE = re.compile(r"(\S*(?:@|://|www\.)\S*)", re.IGNORECASE)


def render(evidence: Evidence) -> str:
    """Return the card; the same evidence gives the same text."""
    # Markdown has its own signs to escape; what is printed goes through here, what is written does not.
    template = templates.load(TEMPLATE, escaped=False, shown=_plain)
    return template.render(
        evidence=evidence,
        params=evidence.params,
        used=USED[evidence.params.recipe],
        kept=list(evidence.metrics.items("per_class")),
        metric=text_quoter(evidence.metrics),
        metrics=evidence.metrics,
        catalogue=catalogue,
        sentences=sentences,
        levels=levels(evidence.metrics),
        front_matter=Markup(front_matter(evidence)),
    )


def front_matter(evidence: Evidence) -> str:
    """Return the card's metadata as YAML."""
    tags = ["machine-unlearning", "image-classification", "safetensors"]
    metadata = {
        "library_name": "pytorch",
        "pipeline_tag": "image-classification",
        "tags": tags,
        "metrics": ["accuracy"],
        "model-index": [{"name": MODEL_NAME, "results": _results(evidence)}],
    }
    return yaml.safe_dump(metadata, sort_keys=False, allow_unicode=True)


def _results(evidence: Evidence) -> list[dict[str, Any]]:
    """Return both test accuracies as the Hub's model index has them."""
    data = evidence.params.data
    # Of a library's own set the path is that of any folder; "." has no name.
    named = PurePath(data.path).name if data.source in ("folder", "table") else ""
    source = "drawn animals" if data.source == "synthetic" else named or data.source
    return [
        {
            "task": {"type": "image-classification", "name": "Image classification"},
            "dataset": {
                "type": "imagefolder",
                "name": f"{source}: {what}",
                "config": role,
                "split": "test",
            },
            "metrics": [
                {
                    "type": "accuracy",
                    "name": f"Test accuracy on the {what} ({goal} is the goal)",
                    "value": evidence.metrics.get(f"evaluate_{role}", "test_accuracy"),
                }
            ],
        }
        for role, what, goal in (
            *([] if evidence.of_images else [("forget", "classes to forget", "low")]),
            ("retain", "classes to keep", "high"),
        )
    ]


def _plain(value: object) -> object:
    """Return text on one line with Markdown's and HTML's own signs escaped; `Markup` stays as it is.

    A word that would become a link or mention a person stands as code: no escape keeps it from that.
    """
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "".join(
        "`" + part.replace("`", "'").replace("|", "\\|") + "`"
        if LIVE.fullmatch(part)
        else re.sub(r"([\\`*_\[\]<>|$&~#])", r"\\\1", part)
        for part in LIVE.split(printable(" ".join(value.split())))
    )
