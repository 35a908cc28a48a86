"""Labels of whole images: unknown ones count nowhere, and every measure is one that scikit-learn agrees with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional

from lungsev.errors import ConfigError
from lungsev.train.data.datasets import FindingsDataset, FindingsImage, LabelledDataset, LabelledImage
from lungsev.train.tasks.image_labels import label_loss, labels_of, measure_labels, subsample

NAN = float("nan")
ROWS = (
    {"Pneumonia": 1, "Lung Opacity": 1, "Hernia": 0},
    {"Pneumonia": 0, "Hernia": 1},
    {"Pneumonia": -1, "Lung Opacity": 0},
    {"Hernia": 1},
)


def findings(rows: tuple[dict[str, int], ...] = ROWS) -> FindingsDataset:
    images = tuple(FindingsImage(f"i{n}", Path(f"i{n}"), f"p{n // 2}", row) for n, row in enumerate(rows))
    return FindingsDataset("some", Path("some"), images)


def test_findings_of_the_lungs_are_trained_unless_others_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    labels = labels_of(findings(), (), "ignore", "ignore")
    assert labels.names == ("Lung Opacity", "Pneumonia")
    assert [image.name for image in labels.images] == ["i0", "i1", "i2"]  # of i3 no finding of the lungs is known
    assert np.array_equal(labels.values, np.array([[1, 1], [NAN, 0], [0, NAN]]), equal_nan=True)
    assert "1 images of which none of the chosen findings is known" in capsys.readouterr().out
    assert labels_of(findings(), ("hernia",), "ignore", "ignore").names == ("Hernia",)


@pytest.mark.parametrize(("uncertain", "value"), [("ignore", NAN), ("zero", 0.0), ("one", 1.0)])
def test_uncertain_findings_follow_the_policy(uncertain: str, value: float) -> None:
    labels = labels_of(findings(), ("PNEUMONIA",), uncertain, "zero")  # type: ignore[arg-type]
    of_i2 = labels.values[[image.name for image in labels.images].index("i2"), 0] if uncertain != "ignore" else NAN
    assert of_i2 == pytest.approx(value, nan_ok=True)
    assert labels.values[-1, 0] == 0  # i3: not mentioned counts as absent


def test_what_cannot_be_learned_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError, match="Flu is no finding of some; it has Pneumonia, Lung Opacity, Hernia"):
        labels_of(findings(), ("Flu",), "ignore", "ignore")
    always = ({"Pneumonia": 1, "Edema": 1}, {"Pneumonia": 0, "Edema": 1})
    assert labels_of(findings(always), (), "ignore", "ignore").names == ("Pneumonia",)
    assert "left out: Edema" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"none of Edema is present in some images of some and absent in others"):
        labels_of(findings(always), ("Edema",), "ignore", "ignore")
    with pytest.raises(ConfigError, match=r"has no finding of the lungs; choose among Hernia"):
        labels_of(findings(({"Hernia": 1}, {"Hernia": 0})), (), "ignore", "ignore")


def classes(count: int = 9) -> LabelledDataset:
    images = tuple(LabelledImage(f"i{n}", Path(f"i{n}"), f"p{n}", ("a", "b", "c")[n % 3]) for n in range(count))
    return LabelledDataset("some", Path("some"), images)


def test_classes_exclude_each_other() -> None:
    labels = labels_of(classes(), (), "ignore", "ignore")
    assert labels.exclusive
    assert labels.values.sum(axis=1).tolist() == [1] * 9
    few = subsample(labels, 3, 0)
    assert sorted(image.finding for image in few.images) == ["a", "b", "c"]  # type: ignore[union-attr]
    assert np.array_equal(few.values.argmax(axis=1), [int(image.name[1:]) % 3 for image in few.images])
    with pytest.raises(ConfigError, match="have one class each"):
        labels_of(classes(), ("a",), "ignore", "ignore")


def test_a_subsample_of_findings_is_half_with_and_half_without_one() -> None:
    rows = tuple({"Pneumonia": int(n < 4)} for n in range(40))
    few = subsample(labels_of(findings(rows), (), "ignore", "ignore"), 8, 0)
    assert few.values[:, 0].tolist() == [1] * 4 + [0] * 4


def test_losses_are_torchs_over_what_is_known() -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    target = torch.tensor([[1, 0, NAN], [NAN, NAN, NAN], [0, 1, 1], [NAN, 0, NAN]])
    loss = label_loss(logits, target, exclusive=False)
    known = ~target.isnan()
    expected = functional.binary_cross_entropy_with_logits(logits[known], target[known])
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    loss.backward()
    assert logits.grad is not None
    assert not logits.grad[~known].any()
    one_hot = torch.tensor([[1.0, 0, 0], [NAN, NAN, NAN], [0, 0, 1], [0, 1, 0]])
    rows = [0, 2, 3]
    plain = functional.cross_entropy(logits[rows], torch.tensor([0, 2, 1]), label_smoothing=0.1)
    assert float(label_loss(logits, one_hot, True, 0.1).detach()) == pytest.approx(float(plain.detach()), rel=1e-5)
    nothing = torch.full((2, 3), NAN)
    assert [float(label_loss(logits[:2], nothing, kind).detach()) for kind in (True, False)] == [0, 0]


def test_areas_are_scikit_learns_over_the_images_that_are_known() -> None:
    generator = np.random.default_rng(0)
    rows = tuple({"Pneumonia": int(generator.random() < 0.4), "Edema": int(n % 2)} for n in range(30))
    rows[3].pop("Edema")
    labels = labels_of(findings(rows), (), "ignore", "ignore")
    logits = generator.normal(size=(30, 2))
    chosen = list(range(20))
    found = measure_labels(logits[chosen], labels, chosen)
    column = labels.names.index("Edema")
    truth = labels.values[chosen, column]
    known = ~np.isnan(truth)
    edema = found["findings"]["Edema"]
    assert edema["auroc"] == pytest.approx(roc_auc_score(truth[known], logits[chosen, column][known]))
    assert (edema["present"] + edema["absent"], found["images"], found["patients"]) == (19, 20, 10)
    assert found["macro_auroc"] == pytest.approx(np.mean([area["auroc"] for area in found["findings"].values()]))
    assert measure_labels(logits[[0]], labels, [0])["macro_auroc"] is None
    exclusive = labels_of(classes(), (), "ignore", "ignore")
    assert measure_labels(exclusive.values, exclusive, range(9))["accuracy"] == 1
