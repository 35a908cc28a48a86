"""`lungsev-train pretrain`: the backbone learns what pneumonia looks like, from films with one label each.

Labels of whole films are a hundred times easier to come by than grades of zones. The films are seen as the severity
network will see them, aligned to the lungs; what is left behind is the backbone alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from lungsev.errors import DatasetError, FilmError
from lungsev.geometry import compose
from lungsev.networks.backbone import UpperBackbone, timm_state
from lungsev.networks.build import build_backbone
from lungsev.networks.settings import SeveritySettings
from lungsev.preprocess import to_canvas
from lungsev.reading import read_radiograph

from .augment import GeometrySettings, PhotometrySettings, apply_photometry, draw_geometry, draw_photometry
from .console import say, track, warn
from .datasets import LabelledFilm, load_labelled
from .loading import Key, generator_of, make_loader
from .loops import TrainingModule, fit, seed_weights
from .preparation import require_root, trunk_path
from .runs import Run
from .settings import DataSettings, LoopSettings, OptimiserSettings, Settings, Share
from .severity import crop
from .splits import split_films
from .trunk import Trunk, thetas_of

BATCH = 16


class PretrainSettings(Settings):
    """`lungsev-train pretrain`."""

    data: DataSettings = DataSettings()
    alignment: Path | None = None  # run of `align`; None: the newest
    network: SeveritySettings = SeveritySettings(crop_px=192, shared_stages=4)  # its shared stages stand still
    films: Annotated[int, Field(ge=0)] = 2600  # drawn evenly from the classes; 0: all
    views: Annotated[int, Field(ge=1)] = 1  # of each film; labels of whole films forgive more than grades do
    validation: Share = 0.08  # of the patients
    optimiser: OptimiserSettings = OptimiserSettings(lr=6e-4, weight_decay=0.05)
    loop: LoopSettings = LoopSettings(epochs=5, batch_size=32, ema=0.99, keep="last")
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    photometry: PhotometrySettings = PhotometrySettings()
    label_smoothing: Share = 0.05


def resolve(settings: PretrainSettings) -> PretrainSettings:
    """Settings with the run they build on named, so that a resumed run builds on the same."""
    return settings.model_copy(update={"alignment": trunk_path(settings.alignment, "align")})


def run_pretraining(settings: PretrainSettings, run: Run) -> dict[str, Any]:
    """Train the upper stages of the backbone; leave its weights under timm's names in network.pt, and metrics.json.

    Raises:
        DatasetError: The folder is no dataset of labelled films, or a film cannot be read.
        ConfigError: There is no alignment run, or the backbone cannot be cut.
    """
    root = require_root(settings.data)
    dataset = load_labelled(root)
    for problem in dataset.problems:
        warn(problem)
    films = _drawn(dataset.films, settings.films, settings.loop.seed)
    classes = sorted({film.finding for film in films})
    trunk = Trunk.load(trunk_path(settings.alignment, "align"))
    split = split_films(films, "all", settings.data.split.seed, validation=settings.validation)
    split.save(run.splits)
    seed_weights(settings.loop.seed)
    lower, (upper,) = build_backbone(settings.network.model_copy(update={"members": 1}))
    lower.eval()
    features, labels = _bank(films, classes, lower, trunk, settings)
    row_of = {film.name: row for row, film in enumerate(films)}
    parts = {part: [row_of[name] for name in names] for part, names in split.parts.items()}
    say(f"Pretraining on {len(parts['train'])} films of {root.name} ({', '.join(classes)}), run {run.path}")
    classifier = FilmClassifier(upper, len(classes))
    loaders = [_loader(features, labels, parts.get(part, []), settings, part) for part in ("train", "validation")]
    best = fit(PretrainModule(classifier, settings), run, *loaders)
    metrics: dict[str, Any] = {
        "task": "pretraining",
        "data": [root.name],
        "classes": classes,
        "split": {"protocol": split.protocol, "sha256": split.sha256},
    }
    if parts.get("validation"):
        metrics["validation"] = _accuracy(best, features, labels, parts["validation"])
        say(f"validation: {len(parts['validation'])} films, accuracy {metrics['validation']['accuracy']:.3f}")
    torch.save(timm_state(lower, best.upper), run.network)  # type: ignore[arg-type]
    run.write_metrics(metrics)
    return metrics


class FilmClassifier(nn.Module):
    """Upper stages -> mean over the film -> class."""

    def __init__(self, upper: UpperBackbone, classes: int) -> None:
        super().__init__()
        self.upper = upper
        self.classify = nn.Sequential(nn.Dropout(0.2), nn.Linear(upper.channels, classes))

    def forward(self, shared: Tensor) -> Tensor:
        """Features of the lower stages [N, C, h, w] -> logits [N, classes]."""
        return self.classify(self.upper(shared).mean(dim=(2, 3)))


class PretrainModule(TrainingModule):
    """Cross-entropy."""

    def __init__(self, network: FilmClassifier, settings: PretrainSettings) -> None:
        super().__init__(network, settings.optimiser, settings.loop)
        self.smoothing = settings.label_smoothing

    def loss_of(self, batch: dict[str, Any], network: nn.Module, part: str) -> Tensor:
        logits = network(batch["image"])
        self.log_number(f"{part}/accuracy", (logits.argmax(1) == batch["label"]).float().mean(), batch)
        return functional.cross_entropy(logits, batch["label"], label_smoothing=self.smoothing)


class FeatureFilms:
    """A view of each film per epoch, as the lower stages see it."""

    def __init__(
        self, features: npt.NDArray[np.float16], labels: npt.NDArray[np.intp], rows: Sequence[int], seed: int
    ) -> None:
        self.features, self.labels, self.rows, self.seed = features, labels, list(rows), seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """image: features float32 [C, h, w]; label; index."""
        row = self.rows[key[1]]
        view = int(generator_of(self.seed, key).integers(self.features.shape[1]))
        image = torch.from_numpy(self.features[row, view].astype(np.float32))
        return {"image": image, "label": int(self.labels[row]), "index": key[1]}


def _loader(
    features: npt.NDArray[np.float16],
    labels: npt.NDArray[np.intp],
    rows: Sequence[int],
    settings: PretrainSettings,
    part: str,
) -> Any:
    if not rows:
        return None
    loop = settings.loop
    films = FeatureFilms(features, labels, rows, loop.seed)
    return make_loader(films, loop.batch_size, part == "train", loop.seed, 0, loop.accumulate)


def _drawn(films: Sequence[LabelledFilm], count: int, seed: int) -> Sequence[LabelledFilm]:
    """About `count` films, as many of each class as it has to give."""
    if not count or count >= len(films):
        return films
    classes = sorted({film.finding for film in films})
    generator = np.random.default_rng(seed)
    chosen: set[str] = set()
    for label in classes:
        names = [film.name for film in films if film.finding == label]
        chosen |= {names[i] for i in generator.permutation(len(names))[: max(1, count // len(classes))]}
    return [film for film in films if film.name in chosen]


def _bank(
    films: Sequence[LabelledFilm],
    classes: Sequence[str],
    lower: nn.Module,
    trunk: Trunk,
    settings: PretrainSettings,
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.intp]]:
    """Features [N, V, C, h, w] of moved and re-exposed crops, and classes [N]; films are read once and not kept."""
    made = []
    starts = range(0, len(films), BATCH)
    for start in track(starts, "Looking at films", len(starts)):
        batch = films[start : start + BATCH]
        canvases = np.stack([_canvas(film) for film in batch])
        crops = []
        for row, (canvas, theta) in enumerate(zip(canvases, thetas_of(trunk, list(canvases)), strict=True)):
            for view in range(settings.views):
                generator = generator_of(settings.loop.seed, (view, start + row))
                geometry = draw_geometry(settings.geometry, generator)
                photometry = draw_photometry(settings.photometry, generator)
                image = crop(canvas, compose(theta, geometry.matrix()), settings.network)
                crops.append(apply_photometry(image, photometry))
        images = torch.from_numpy(np.stack(crops))[:, None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            features = lower(images).contiguous().numpy().astype(np.float16)
        made.append(features.reshape(len(batch), settings.views, *features.shape[1:]))
    return np.concatenate(made), np.array([classes.index(film.finding) for film in films])


def _canvas(film: LabelledFilm) -> npt.NDArray[np.float32]:
    try:
        return to_canvas(read_radiograph(film.path)).pixels
    except FilmError as error:
        raise DatasetError(f"{film.path.name} cannot be read: {error}; repair or remove it") from None


def _accuracy(
    network: nn.Module, features: npt.NDArray[np.float16], labels: npt.NDArray[np.intp], rows: Sequence[int]
) -> dict[str, Any]:
    with torch.inference_mode():
        shown = torch.from_numpy(features[list(rows), 0].astype(np.float32))
        answers = torch.cat([network(batch).argmax(dim=1) for batch in shown.split(BATCH)]).numpy()
    return {"films": len(rows), "accuracy": float((answers == labels[list(rows)]).mean())}
