"""Numbers that Lee, Kim and Lee published (MICCAI 2024), and which of a report's rows they belong to."""

from __future__ import annotations

from lungsev.train.evaluation.reporting.run_report import RunReport

# Table 1: train, test, consensus accuracy and consensus MAE.
TABLE_1: dict[tuple[str, bool], str] = {
    ("resnet18", False): "58.9 / 56.9 / 63.0 (0.39)",
    ("resnet18", True): "58.5 / 58.7 / 65.7 (0.37)",
    ("resnet34", False): "61.4 / 58.7 / 63.0 (0.40)",
    ("resnet34", True): "61.0 / 58.5 / 67.1 (0.35)",
    ("resnet50", False): "52.1 / 53.3 / 56.4 (0.52)",
    ("resnet50", True): "51.5 / 49.1 / 55.0 (0.55)",
}
BSNET = "- / - / 57.1 (0.42)"
CXR_CLIP = "95.1 / 51.3 / 56.2 (0.50)"
# Table 2: test accuracy on Inha ICU, with the encoder.
TABLE_2: dict[tuple[str, str], str] = {
    ("resnet18", "scratch"): "27.0",
    ("resnet18", "fine-tuned"): "45.3",
    ("resnet18", "linear probe"): "51.4",
    ("resnet34", "scratch"): "32.9",
    ("resnet34", "fine-tuned"): "52.8",
    ("resnet34", "linear probe"): "51.2",
    ("resnet50", "scratch"): "29.7",
    ("resnet50", "fine-tuned"): "36.4",
    ("resnet50", "linear probe"): "29.7",
}


def table_1(run: RunReport) -> str:
    """Return the paper's row of Table 1 for a run; `-` where it has none, as for images of another dataset."""
    if run.metrics.get("data") != ["brixia"] or run.network.get("mask_attention"):
        return "-"
    if run.settings.get("title", "").startswith("CXR-CLIP"):
        return CXR_CLIP
    if run.is_bsnet:
        return BSNET if run.settings.get("ensemble", 1) > 1 else "-"
    return TABLE_1.get((run.backbone.split(".")[0], bool(run.position_aware)), "-")


def table_2(run: RunReport) -> str:
    """Return the paper's test accuracy on Inha ICU for a run; `-` where it has none."""
    if run.predictions.scheme.name != "inha" or not run.position_aware:
        return "-"
    return TABLE_2.get((run.backbone.split(".")[0], run.start), "-")
