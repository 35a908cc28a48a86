"""The hub reads the front matter as it was meant."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml
from graded_runs import SCHEME, predictions

from lungsev.train.evaluation.measurement import measure
from lungsev.train.sharing.front_matter import front_matter, hub_licence


def test_the_hub_reads_back_every_result_with_its_interval_and_numbers() -> None:
    cards = pytest.importorskip("huggingface_hub", reason="comes with timm")
    graded = predictions(20, 1)
    measured = [measure(graded, "accuracy", "test"), measure(graded, "total_r", "test", "expected")]
    measured.append(measure(predictions(6, 2), "mae", "consensus", "argmax"))
    card = cards.ModelCard(front_matter("mine", "CC BY 4.0", [SCHEME], ["cohen"], measured) + "\n# Mine\n")
    assert card.data.model_name == "mine"
    assert (card.data.license, card.data.library_name, card.data.language) == ("cc-by-4.0", "lungsev", ["en"])
    assert (card.data.pipeline_tag, card.data.datasets) == ("image-classification", ["cohen"])
    assert {"brixia", "research-only"} <= {*card.data.tags}
    results = card.data.eval_results
    assert [(one.dataset_split, one.metric_type, one.metric_name) for one in results] == [
        ("test", "accuracy", "accuracy (argmax), %"),
        ("test", "pearsonr", "total r (expected)"),
        ("consensus", "mae", "MAE (argmax), grades"),
    ]
    accuracy = (graded.grades() == graded.reference).mean()
    assert results[0].metric_value == pytest.approx(100 * accuracy)
    args = results[0].metric_args
    assert args["interval"][0] < 100 * accuracy < args["interval"][1]
    assert (args["images"], args["patients"], args["resampled"]) == (20, 20, "patients")
    assert results[2].metric_args["caution"] == "6 patients: too few to say anything"
    assert cards.repocard_data.eval_results_to_model_index("mine", results)  # the hub's own form takes them


def test_seeds_state_their_spread_in_the_unit_of_the_value() -> None:
    first = predictions(20, 1)
    second = replace(first, probabilities=predictions(20, 2).probabilities)
    text = front_matter("mine", "MIT", [SCHEME], ["cohen"], [measure([first, second], "accuracy")])
    metric = yaml.safe_load(text.strip("-\n"))["model-index"][0]["results"][0]["metrics"][0]
    values = [100 * float((each.grades() == first.reference).mean()) for each in (first, second)]
    assert metric["value"] == pytest.approx(np.mean(values))
    assert metric["args"]["sd"] == pytest.approx(np.std(values, ddof=1))
    assert metric["args"]["seeds"] == 2


def test_nothing_measured_leaves_the_results_out_and_what_is_not_defined_is_not_stated() -> None:
    empty = yaml.safe_load(front_matter("mine", "MIT", [SCHEME], [], []).strip("-\n"))
    assert empty.keys().isdisjoint({"datasets", "metrics", "model-index"})
    no_interval = measure(predictions(20, 1), "interval_coverage")
    assert "model-index" not in front_matter("mine", "MIT", [SCHEME], [], [no_interval])


@pytest.mark.parametrize(
    ("licence", "fields"),
    [
        ("CC BY-NC-SA 4.0, research use only", {"license": "cc-by-nc-sa-4.0"}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("by agreement", {"license": "other", "license_name": "by agreement", "license_link": "LICENSE"}),
        ("mitigated", {"license": "other", "license_name": "mitigated", "license_link": "LICENSE"}),
    ],
)
def test_a_licence_is_the_hub_s_or_other(licence: str, fields: dict[str, str]) -> None:
    assert hub_licence(licence) == fields
