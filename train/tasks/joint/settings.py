"""Settings of `lungsev-train joint`: which datasets teach one trunk, by how much, and what ties their scores."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lungsev.networks.settings import SeveritySettings
from lungsev.train.data.augmentation import GeometrySettings, IntensitySettings
from lungsev.train.evaluation.calibration import CalibrationSettings
from lungsev.train.fitting.losses import SeverityLossSettings, Weight
from lungsev.train.settings import (
    DataSettings,
    LoopSettings,
    OptimizerSettings,
    Positive,
    Settings,
    Share,
    SplitSettings,
)
from lungsev.train.tasks.image_labels import Policy
from lungsev.train.tasks.initial_weights import InitialSettings

Link = tuple[tuple[float, ...], ...]
# Sum of a lung's three zones (0-9) by its extent 0-4 (row) and its degree of opacity 0-4 (column). Its shape is that of
# BS-Net's totals of RALO, fitted to both lungs' grades by least squares, and stretched so that a clear lung has 0 and a
# white one 9. 53 images with both scores agree: half their total is .23 + 1.07 extent + .62 opacity + .18 extent x
# opacity of a lung (r .94), within half a point of every entry that occurs.
LINK = (
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, 1.8, 2.4, 3.0, 3.5),
    (0.0, 3.5, 4.2, 5.0, 5.5),
    (0.0, 4.8, 5.8, 6.7, 7.5),
    (0.0, 6.2, 7.2, 8.4, 9.0),
)


FOLD = "{fold}"  # in paths: fold-0, fold-1, ... or all


class JointSplit(SplitSettings):
    """As of other commands, but where nothing is said of a source all of its images train."""

    protocol: Literal["pafe", "leak_free", "kfold", "holdout", "all", "column"] | None = "all"
    validation: Share = 0.0
    calibration: Share | None = 0.0


class PseudoSettings(Settings):
    """Grades that another run gave to a source's images, taught as soft targets (self-training)."""

    # Predictions of an earlier joint run, its grades-<source>-<scheme>.json. Of a run of all folds give
    # RUN/{fold}/grades-...: grades by a network that knew the images of a fold would tell them to those of that fold
    file: Path
    weight: Weight = 0.5


class SourceSettings(Settings):
    """One dataset. What it teaches is what it names: schemes, labels, lungs, places."""

    root: Path  # below `data` where that is given
    name: str = ""  # empty: the folder's
    layout: str | None = None
    schemes: tuple[str, ...] = ()  # of the readers' grades; an image is read once for all of them
    labels: bool = False  # a class or findings of the whole image
    findings: tuple[str, ...] = ()  # that are taught; none: those of the lungs
    lungs: bool = False  # outlines of the lungs
    places: bool = False  # where the opacity is: outlines of it, or boxes around it
    share: Annotated[float, Field(ge=0, le=1)] = 1.0  # of every batch; 0: never trained, all of it is measured
    weight: Weight = 1.0  # of its losses
    frame: Literal["aligned", "whole"] = "aligned"  # whole: images are seen as they are, not aligned to the lungs
    augmentations: Positive = 8  # crops of each image that are made once; the first is plain
    geometry: GeometrySettings | None = None  # None: as of the run; flips are made as images are read
    readers: Literal["first", "soft"] = "soft"
    first_reader: Share | None = None
    uncertain: Policy = "ignore"
    unmentioned: Policy = "ignore"
    subsample: Annotated[int, Field(ge=0)] = 0  # labelled images, evenly from the classes; 0: all
    pseudo: PseudoSettings | None = None
    split: JointSplit = JointSplit()

    @model_validator(mode="after")
    def _teaches_something(self) -> SourceSettings:
        if not (self.schemes or self.labels or self.lungs or self.places):
            raise ValueError(
                f"source {self.key} teaches nothing; give it schemes, or set labels, lungs or places: true"
            )
        if self.lungs and self.places:
            raise ValueError(
                f"source {self.key}: an image has a map of its lungs or of opacity; make two sources of it"
            )
        return self

    @property
    def key(self) -> str:
        """Return the name that files and losses of this source have."""
        return self.name or self.root.name


class TieSettings(Settings):
    """Zones of one scheme tied to what others say of the whole lung.

    A lung of known extent e and opacity o draws the expected sum of its zones to `link[e][o]`, and a teacher's total
    that of the image; neither says anything within its tolerance.
    """

    scheme: str = "brixia"
    extent: str = "ralo"
    opacity: str = "ralo_opacity"
    link: Link = LINK  # rises along both axes
    # A run that never saw the patients graded by `scheme`, but graded their lungs (share: 0): the link is fitted on
    # what it said of them and on the readers' sums of those who train, and `link` is what it is drawn to
    link_from: Path | None = None
    weight: Weight = 0.3
    tolerance: Weight = 1.0  # points of a lung's sum
    teacher_column: str = ""  # of the source's index table, e.g. bsnet_total; empty: no teacher
    teacher_weight: Weight = 0.05
    teacher_tolerance: Weight = 3.0  # points of the total

    @model_validator(mode="after")
    def _rises(self) -> TieSettings:
        rows = self.link
        if len({len(row) for row in rows}) != 1:
            raise ValueError("link needs rows of one length: one per grade of extent, a column per grade of opacity")
        down = any(a > b for one, other in pairwise(rows) for a, b in zip(one, other, strict=True))
        if down or any(list(row) != sorted(row) for row in rows):
            raise ValueError("link must rise, or stay, with extent (rows) and with opacity (columns)")
        return self


class JointSettings(Settings):
    """`lungsev-train joint`."""

    title: str = ""
    data: Path | None = None  # folder of the sources; None: their roots are as written
    cache: Path = Path("runs/cache")
    workers: Annotated[int, Field(ge=0)] = 0  # processes that prepare images; crops are read from a file
    skip_unreadable: bool = False
    sources: tuple[SourceSettings, ...] = Field(default=(), min_length=1)  # the first defines an epoch
    # Of the sources whose protocol is kfold; all: one run per fold, then one on all of their images, which ships
    fold: Annotated[int, Field(ge=0)] | Literal["all"] | None = None
    steps: Positive | None = None  # of an epoch; None: until every image of the first source was seen
    alignment: Path | None = None  # run of `align`; None: the newest
    network: SeveritySettings = SeveritySettings()  # schemes: their order; those that nothing teaches are left out
    initial: InitialSettings = InitialSettings()
    final_alignment: Path | None = None  # of fold: all, the alignment that ships; None: the one that was measured
    # A run, or several in turn, to go on from: trunk, and heads of the same schemes. {fold} is fold-0, ... or all
    start: Path | tuple[Path, ...] | None = None
    repeats: Positive = 1  # copies of other seeds whose weights are averaged
    tie: TieSettings | None = None
    loss: SeverityLossSettings = SeverityLossSettings(expected_l1=0.3, total_l1=0.3)
    maps_weight: Weight = 1.0  # of lungs' outlines and opacities' places
    label_smoothing: Share = 0.05
    freeze_norms: bool = False
    freeze_stages: Annotated[int, Field(ge=0)] = 0  # first stages of an EfficientNet that do not learn: half the time
    optimizer: OptimizerSettings = OptimizerSettings(lr=1e-3, weight_decay=0.05, backbone_lr_factor=0.5)
    loop: LoopSettings = LoopSettings(epochs=15, batch_size=32, ema=0.99, keep="last")
    other_lung: Share = (
        0.0  # share of aligned images that are shown with the left lung of another image of their source
    )
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    intensity: IntensitySettings = IntensitySettings()
    calibration: CalibrationSettings = CalibrationSettings()

    @model_validator(mode="after")
    def _sources_have_names_of_their_own(self) -> JointSettings:
        keys = [source.key for source in self.sources]
        if len(set(keys)) != len(keys):
            raise ValueError(f"two sources are called alike ({', '.join(keys)}); give one of them another name")
        if not self.sources[0].share:
            raise ValueError("the first source defines an epoch, so its share must be above 0")
        return self

    @property
    def starts(self) -> tuple[Path, ...]:
        """Return the runs that copies go on from, in turn."""
        if self.start is None:
            return ()
        return self.start if isinstance(self.start, tuple) else (self.start,)

    def replacing(self, word: str, by: str) -> JointSettings:
        """Return these settings with a word replaced in the paths of runs that they build on."""
        starts = tuple(Path(str(path).replace(word, by)) for path in self.starts)
        sources = []
        for source in self.sources:
            pseudo = source.pseudo
            if pseudo is not None:
                pseudo = pseudo.model_copy(update={"file": Path(str(pseudo.file).replace(word, by))})
            sources.append(source.model_copy(update={"pseudo": pseudo}))
        tie = self.tie
        if tie is not None and tie.link_from is not None:
            tie = tie.model_copy(update={"link_from": Path(str(tie.link_from).replace(word, by))})
        return self.model_copy(update={"start": starts or None, "sources": tuple(sources), "tie": tie})

    def data_of(self, source: SourceSettings) -> DataSettings:
        """Return what the preparation of images knows of a source."""
        root = source.root if self.data is None else self.data / source.root
        values: dict[str, Any] = {"root": root, "cache": self.cache, "workers": self.workers}
        split = source.split
        if isinstance(self.fold, int) and split.protocol == "kfold":
            split = split.model_copy(update={"fold": self.fold})
        return DataSettings(layout=source.layout, skip_unreadable=self.skip_unreadable, split=split, **values)
