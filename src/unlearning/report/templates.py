"""The templates of this room, as page and model card fill them in: a name that is missing is an error."""

from collections.abc import Callable
from pathlib import Path

import jinja2


def load(name: str, *, escaped: bool, shown: Callable[[object], object]) -> jinja2.Template:
    """Return a template of this folder. `escaped`: as HTML; `shown`: what becomes of each value before."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=escaped,
        finalize=shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(name)
