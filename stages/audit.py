"""Judge how far the unlearned model is from models that never saw the class.

Reads: data/observed. Writes: metrics/audit.json (what a
review decides by), plots/audit_figures.csv (every figure of every model), plots/audit_layers.csv,
plots/audit_relearning.csv, plots/audit_histograms.csv, plots/neighbours.csv, plots/neighbour_correlation.csv,
data/audit_examples.csv. Run: `dvc repro audit`.
"""

from pathlib import Path

from unlearning.audit import calibration, columns, neighbours, result
from unlearning.audit.representation import probe_all
from unlearning.base import stage
from unlearning.base.files import write_metrics, write_rows, write_series
from unlearning.models.panel import UNLEARNED
from unlearning.observe import record


def main() -> None:
    observed = record.load(Path("data/observed"))
    of_images = observed.sample.of_images
    probed = None if of_images else probe_all(observed)
    figures = result.figures(observed, probed)
    prior, rates = calibration.load(of_images=of_images)
    judged = result.judge(figures, observed, prior)
    related = neighbours.rows(observed)

    write_metrics("metrics/audit.json", result.metrics(figures, judged, observed, rates))
    write_rows("plots/audit_figures.csv", result.table(figures, judged[UNLEARNED]))
    write_series(
        "plots/audit_layers.csv",
        result.layer_rows(figures, probed) if probed else [],
        columns.LAYERS,
    )
    write_series("plots/audit_relearning.csv", result.curve_rows(observed), columns.CURVES)
    write_series("plots/audit_histograms.csv", result.histogram_rows(observed), columns.HISTOGRAMS)
    write_rows("plots/neighbours.csv", related)
    write_rows("plots/neighbour_correlation.csv", neighbours.correlations(related))
    write_series("data/audit_examples.csv", result.example_rows(observed), columns.EXAMPLES)


if __name__ == "__main__":
    stage.run("audit", main)
