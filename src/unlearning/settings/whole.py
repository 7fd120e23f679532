"""The whole of params.yaml: what is checked before any stage runs, and what a report shows."""

from pathlib import Path

from unlearning.settings.data import DataParams
from unlearning.settings.distributed import DistributedParams
from unlearning.settings.forget import ForgetParams
from unlearning.settings.game import GameParams
from unlearning.settings.gate import GateParams
from unlearning.settings.load import PARAMS_FILE, read, validated
from unlearning.settings.machine import MachineParams
from unlearning.settings.model import ModelParams
from unlearning.settings.original import OriginalParams
from unlearning.settings.report import ReportParams
from unlearning.settings.retrain import RetrainParams
from unlearning.settings.split import SplitParams


class Params(GameParams, MachineParams):
    """Every value a person may change."""

    forget: ForgetParams
    data: DataParams
    split: SplitParams
    model: ModelParams
    distributed: DistributedParams
    original: OriginalParams
    report: ReportParams
    retrain: RetrainParams
    gate: GateParams


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Return the checked parameters. Raises: UserError, see `load.load`."""
    return validated(Params, *read(path), path)
