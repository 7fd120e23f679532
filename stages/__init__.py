"""One script per stage of dvc.yaml."""

from unlearning import errors

errors.quiet_interrupts()
