"""Attack the unlearned model and measure how far it is from models that never saw the class.

Reads: data/images.npy, data/samples.csv, data/split.csv, models/original.safetensors,
models/unlearned.safetensors, models/retrained, metrics/evaluate_forget.json (the article's reading).
Writes: metrics/audit.json, plots/audit_layers.csv, plots/audit_relearning.csv,
plots/audit_histograms.csv, data/audit_figures.csv, data/audit_examples.csv. Run: `dvc repro audit`.
"""

from unlearning import files, hardware, models, stage
from unlearning.audit import evidence, observation, result, series
from unlearning.data import dataset
from unlearning.settings import load_params


def main() -> None:
    params = load_params()
    machine = hardware.choose(params.device, params.precision)
    images = dataset.load("data")
    panel = evidence.panel_of(models.load_versions("models"), images.forget_labels)
    sample = observation.sample(images)

    views = evidence.observe_all(panel, images, sample, machine)
    probed = evidence.probe_all(views)
    back_at = evidence.back_at(views)
    curves = evidence.relearn_all(panel, images, machine, back_at)
    figures = {
        **evidence.output_figures(views),
        **evidence.membership_figures(views),
        **evidence.representation_figures(views, probed),
        **evidence.relearning_figures(curves, back_at),
        **evidence.auditor_figures(views),
    }
    related = result.related_classes(views, images)
    article = files.read_metrics("metrics/evaluate_forget.json")["article_assessment"]

    files.write_metrics("metrics/audit.json", result.metrics(figures, views, related, article))
    files.write_series(
        "plots/audit_layers.csv", series.layer_rows(figures, probed), series.LAYER_COLUMNS
    )
    files.write_series(
        "plots/audit_relearning.csv", series.curve_rows(curves), series.CURVE_COLUMNS
    )
    files.write_series(
        "plots/audit_histograms.csv", series.histogram_rows(views), series.HISTOGRAM_COLUMNS
    )
    files.write_series(
        "data/audit_examples.csv",
        series.example_rows(views, images.classes),
        series.EXAMPLE_COLUMNS,
    )
    rows = series.figure_rows(figures)
    files.write_series("data/audit_figures.csv", rows, columns=tuple(rows[0]))


if __name__ == "__main__":
    stage.run("audit", main)
