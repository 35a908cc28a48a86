"""What a report knows of one run: its predictions of every part by every seed, and how it was made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungsev.grading import Calibration
from lungsev.train.evaluation.measurement import Measurement, measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.readers import ReaderPair, second_reader
from lungsev.train.evaluation.samples import ReportSamples

MEASURED = ("consensus", "test", "validation", "train")  # the first that a run has is the part its numbers are of
HANDCRAFTED = "hand-crafted features"  # label of a row without a network


@dataclass(frozen=True)
class Training:
    """One network's training.

    Attributes:
        history: Numbers of each epoch.
        keep: Which epoch's weights were kept: `best` of the validation loss, or `last`.
    """

    history: list[dict[str, float]]
    keep: str = "best"

    @property
    def kept(self) -> int | None:
        """Position in the history of the epoch whose weights were kept; None without a history."""
        if not self.history:
            return None
        losses = [(record.get("validation/loss"), place) for place, record in enumerate(self.history)]
        known = [(loss, place) for loss, place in losses if loss is not None]
        return min(known)[1] if known and self.keep == "best" else len(self.history) - 1


@dataclass(frozen=True)
class RunReport:
    """One run or evaluation.

    Attributes:
        label: E.g. `ResNet34 + SN + PAFE`; unique in a report.
        parts: Predictions by part, one of each seed.
        samples: Report samples and the predictions their rows count in; None where there are none.
        samples_part: The part those are of.
        trainings: Of every seed, fold and network of an ensemble; empty for an evaluation.
        made_by: Command, commit, versions and device of the run, as it wrote them.
        source_label: Dataset and folder of the run whose weights this one started from; empty where there is none.
    """

    path: Path
    label: str
    settings: dict[str, Any]
    metrics: dict[str, Any]
    parts: dict[str, tuple[Predictions, ...]]
    samples: tuple[Predictions, ReportSamples] | None = None
    samples_part: str = ""
    trainings: tuple[Training, ...] = ()
    made_by: dict[str, Any] = field(default_factory=dict)
    source_label: str = ""

    @property
    def measured(self) -> str:
        """The part whose numbers count: the consensus where there is one, else test."""
        return next((part for part in MEASURED if part in self.parts), "test")

    @property
    def held_out(self) -> tuple[str, ...]:
        """The parts to measure: consensus and test, or what there is."""
        return tuple(part for part in ("consensus", "test") if part in self.parts) or (self.measured,)

    @property
    def predictions(self) -> Predictions:
        """Return the predictions of the measured part by the first seed, for scheme, images and readers."""
        return self.parts[self.measured][0]

    def measure(self, name: str, part: str = "", decision: str | None = None, region: str = "") -> Measurement:
        """Measure a part (empty: the measured one), all seeds together; arguments of `measurement.measure`."""
        part = part or self.measured
        return measure(self.parts[part], name, part, decision, region)

    @property
    def states_probabilities(self) -> bool:
        """Tell whether the run says how likely each grade is; a regression on hand-crafted features does not."""
        return self.settings.get("title") != HANDCRAFTED

    def by_seed(self, name: str, part: str) -> list[float]:
        """Return the value of each seed by itself."""
        return [measure(each, name, part, resamples=0).value for each in self.parts[part]]

    def readers(self, part: str = "") -> ReaderPair | None:
        """Return the first two readers of a part (empty: the measured one) who share images."""
        return second_reader(self.parts[part or self.measured][0])

    @property
    def calibration(self) -> Calibration:
        """Return the calibration of the measured scheme."""
        stated = self.metrics.get("calibration", {}).get(self.predictions.scheme.name, {})
        return Calibration.model_validate(stated)

    @property
    def network(self) -> dict[str, Any]:
        """Return the settings of the network; empty for an evaluation."""
        return dict(self.settings.get("network", {}))

    @property
    def data(self) -> str:
        """Return the names of the datasets."""
        return ", ".join(self.metrics.get("data", []))

    @property
    def backbone(self) -> str:
        """Return timm's name of the backbone; empty where the run does not say."""
        return str(self.network.get("backbone", ""))

    @property
    def is_bsnet(self) -> bool:
        """Tell whether the network is BS-Net."""
        return bool(self.network.get("neck") == "bsnet")

    @property
    def encoder_weights(self) -> str:
        """Name of the file the backbone started from, as CXR-CLIP's; empty without one."""
        given = self.settings.get("initial", {}).get("encoder_weights")
        return Path(given).stem if given else ""

    @property
    def recipe(self) -> tuple[Any, ...]:
        """What two runs must share for their difference to be the position-aware encoder's; the start is last."""
        traits = tuple(self.network.get(key) for key in ("backbone", "neck", "mask_attention", "crop_px"))
        return (
            *traits,
            self.settings.get("ensemble"),
            self.encoder_weights,
            tuple(self.metrics.get("data", [])),
            self.start,
        )

    @property
    def position_aware(self) -> bool | None:
        """None where the run does not say."""
        value = self.network.get("position_aware")
        return None if value is None else bool(value)

    @property
    def start(self) -> str:
        """How the weights began: scratch, fine-tuned or a linear probe (Table 2)."""
        initial = self.settings.get("initial", {})
        if not initial.get("source"):
            return "scratch"
        return "linear probe" if initial.get("freeze") == "all_but_heads" else "fine-tuned"


def baseline_of(run: RunReport, runs: Sequence[RunReport]) -> RunReport | None:
    """Return the run of spatial normalisation alone that is otherwise alike, for a run with the encoder.

    Of several, the one with most settings in common: the reference's row for the reference's.
    """
    if not run.position_aware:
        return None
    alike = [other for other in runs if other.position_aware is False and other.recipe == run.recipe]
    own = set(_leaves(run.settings))
    return max(alike, key=lambda other: len(own & set(_leaves(other.settings))), default=None)


def _leaves(settings: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield every setting as key path and text."""
    if isinstance(settings, dict):
        for key, value in settings.items():
            yield from _leaves(value, f"{path}.{key}")
    else:
        yield path, str(settings)
