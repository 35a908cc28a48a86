"""`lungsev-train ensemble`: a cross-validation that ends as one network.

A hundred films do not move a whole backbone anywhere good. So the lower part stands still: each film is seen by it
a dozen times (plain, mirrored, moved, exposed otherwise) and what it makes of these views is kept in memory. On this
bank the members train in minutes, one per fold and repeat. Each film is graded by the members that never saw its
patient: those predictions are the measurement, and calibrate what ships. What ships is all members on their one
lower part, their probabilities averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from lungsev.decode import Calibration
from lungsev.errors import ConfigError
from lungsev.geometry import compose
from lungsev.networks.build import build_severity
from lungsev.networks.checkpoint import save_checkpoint
from lungsev.networks.settings import FusedSettings, SeveritySettings
from lungsev.networks.severity import SeverityMember, SeverityNetwork
from lungsev.schemes import Scheme

from . import cache as film_cache
from .augment import GeometrySettings, apply_photometry, draw_geometry, draw_photometry
from .calibration import conformal_margin, fit_temperature, with_temperature
from .console import say, track
from .datasets import GradedFilm
from .loading import Key, generator_of, make_loader
from .loops import fit, seed_weights
from .losses import target_distribution
from .predictions import Predictions, collect, summarise
from .preparation import ready_films, split_dataset, trunk_path
from .runs import Run, open_run
from .settings import LoopSettings, OptimiserSettings, Positive, Share
from .severity import SeverityModule, SeverityRunSettings, crop, load_dataset, scheme_name
from .splits import Split, split_films
from .trunk import Trunk, film_thetas

MIRROR = np.diag([-1.0, 1.0, 1.0])[:2]
BANK_LIMIT_BYTES = 6 * 2**30


class EnsembleSettings(SeverityRunSettings):
    """`lungsev-train ensemble`. `network.members` is folds times repeats, whatever it says."""

    network: SeveritySettings = SeveritySettings(
        shared_stages="all",
        dim=0,
        position_aware=False,
        context=True,
        head=("ordinal", "mlp"),
        hidden=64,
        dropout=0.4,
        mirror=True,
    )
    optimiser: OptimiserSettings = OptimiserSettings(lr=2e-3, weight_decay=1.0, gradient_clip=None)
    loop: LoopSettings = LoopSettings(epochs=60, batch_size=32, ema=0.97, keep="last")
    geometry: GeometrySettings = GeometrySettings(flip=0.5)
    views: Annotated[int, Field(ge=2)] = 12  # of each film in the bank; the first two are plain and mirrored
    repeats: Positive = 2  # members per fold, from other seeds and with the next kind of head
    first_reader: Share = 0.65  # weight of the first reader where there are several: he is the reference


@dataclass(frozen=True)
class Bank:
    """What the lower part makes of every view of every film.

    Attributes:
        features: float16 [N, V, C, h, w].
        mirrored: bool [N, V]; a mirrored view's regions have swapped sides.
        targets: float32 [N, R, G], unmirrored.
    """

    features: npt.NDArray[np.float16]
    mirrored: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]


class BankFilms:
    """One view of each film per epoch, drawn anew."""

    def __init__(self, bank: Bank, rows: Sequence[int], scheme: Scheme, seed: int) -> None:
        self.bank, self.rows, self.swap, self.seed = bank, list(rows), list(scheme.mirror), seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """image: features float32 [C, h, w]; target float32 [R, G]; index."""
        row = self.rows[key[1]]
        view = int(generator_of(self.seed, key).integers(self.bank.features.shape[1]))
        target = self.bank.targets[row]
        if self.bank.mirrored[row, view]:
            target = target[self.swap]
        features = torch.from_numpy(self.bank.features[row, view].astype(np.float32))
        return {"image": features, "target": torch.from_numpy(np.ascontiguousarray(target)), "index": key[1]}


def run_ensemble(settings: EnsembleSettings, run: Run) -> dict[str, Any]:
    """Fill the bank, train the members, calibrate on the predictions out of fold; leave network.pt and metrics.json.

    Raises:
        ConfigError: An earlier stage is missing, or the bank would not fit into memory.
        DatasetError: The folder is no dataset of graded films, or a film cannot be read.
    """
    dataset = load_dataset(settings)
    scheme, split = dataset.scheme, settings.data.split
    members = split.folds * settings.repeats
    network_settings = settings.network.model_copy(
        update={"schemes": (scheme_name(settings, dataset),), "members": members}
    )
    settings = settings.model_copy(update={"network": network_settings})
    trunk = Trunk.load(trunk_path(settings.alignment, "align"))
    films, prepared = ready_films(dataset.films, settings.data)
    cached = [prepared[film.name] for film in films]
    thetas = film_thetas(trunk, cached, settings.data.cache)
    split_films(films, "all", split.seed, validation=0.0).save(run.splits)

    seed_weights(settings.loop.seed)
    network = build_severity(settings.network)
    _load_backbone(network, settings.initial.encoder_weights)
    network.eval()
    bank = fill_bank(network.lower, films, cached, thetas, scheme, settings)
    out_of_fold = np.zeros_like(bank.targets, dtype=np.float64)
    row_of = {film.name: row for row, film in enumerate(films)}
    for fold in range(split.folds):
        folder = run.path / f"fold-{fold}"
        folder.mkdir(parents=True, exist_ok=True)
        fold_split = split_dataset(
            films, split.model_copy(update={"protocol": "kfold", "fold": fold, "validation": 0.0}), Run(folder)
        )
        tested = [row_of[name] for name in fold_split.parts["test"]]
        for repeat in range(settings.repeats):
            member = network.members[fold * settings.repeats + repeat]
            _train_member(member, bank, fold_split, row_of, scheme, settings, Run(folder / f"member-{repeat}"))
            said = _predict(member, bank, tested, scheme, settings.network.mirror)
            out_of_fold[tested] += said / settings.repeats
    predictions, calibration, temperature = _calibrated(scheme, films, out_of_fold, bank, thetas, settings)
    network.set_temperature(scheme.name, temperature)
    predictions.save(run.path / "predictions-test.json")
    summary = summarise(predictions, calibration)
    found = summary[settings.outcome.decision]
    say(
        f"Out of fold, {len(films)} films: accuracy {found['accuracy']:.3f}, MAE {found['mae']:.3f}, "
        f"kappa {found['kappa']:.3f}"
    )
    metrics = {
        "task": "severity",
        "scheme": scheme.name,
        "split": {"protocol": f"kfold-{split.folds}, all folds ship", "sha256": Split.load(run.splits).sha256},
        "calibration": {scheme.name: calibration.model_dump(mode="json")},
        "temperature": {scheme.name: temperature},
        "members": members,
        "results": {"test": summary},
        **_earlier_stages(dataset.name, settings),
    }
    fused = trunk.fuse(network, settings.network)
    fused_settings = FusedSettings(
        segmentation=trunk.segmentation_settings, alignment=trunk.alignment_settings, severity=settings.network
    )
    save_checkpoint(run.path, fused_settings, fused)
    run.write_metrics(metrics)
    return metrics


def _earlier_stages(graded: str, settings: EnsembleSettings) -> dict[str, Any]:
    """Data of all stages, and what segmentation and alignment scored on patients they had not seen."""
    align = _metrics_of(trunk_path(settings.alignment, "align"))
    segment = _metrics_of(Path(align["segmentation"])) if "segmentation" in align else {}
    weights = settings.initial.encoder_weights
    pretrain = _metrics_of(weights if weights.is_dir() else weights.parent) if weights is not None else {}
    sources = [graded, *(name for stage in (segment, pretrain) for name in stage.get("data", []))]
    measured = {"segmentation": segment, "alignment": align}
    return {
        "data": list(dict.fromkeys(sources)),
        **{name: stage.get("barred") or stage.get("validation") for name, stage in measured.items() if stage},
    }


def _metrics_of(folder: Path) -> dict[str, Any]:
    """metrics.json of an earlier run; empty where the weights came from elsewhere."""
    return Run(folder).metrics() if (folder / "metrics.json").is_file() else {}


def _load_backbone(network: SeverityNetwork, path: Path | None) -> None:
    """Weights of `lungsev-train pretrain` into all parts of the backbone. Raises ConfigError when they do not fit."""
    if path is None:
        return
    file = path / "network.pt" if path.is_dir() else path
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        for part in (network.lower, *(member.upper for member in network.members)):
            part.load_weights(state)
    except (OSError, RuntimeError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{file} holds no weights of this backbone ({reason}); give a run of `pretrain`") from None


def fill_bank(
    lower: nn.Module,
    films: Sequence[GradedFilm],
    cached: Sequence[film_cache.CachedFilm],
    thetas: npt.NDArray[np.float64],
    scheme: Scheme,
    settings: EnsembleSettings,
) -> Bank:
    """Every view of every film through the lower part.

    Raises:
        ConfigError: They would not fit into memory.
    """
    mirrored = np.zeros((len(films), settings.views), dtype=bool)
    features: npt.NDArray[np.float16] | None = None
    for row in track(range(len(films)), "Filling the bank", len(films)):
        images = []
        for view in range(settings.views):
            image, mirrored[row, view] = _view(cached[row], thetas[row], row, view, settings)
            images.append(image)
        batch = torch.from_numpy(np.stack(images))[:, None].contiguous(memory_format=torch.channels_last)
        with torch.inference_mode():
            made = lower(batch).contiguous().numpy().astype(np.float16)
        if features is None:
            features = _empty_bank((len(films), *made.shape))
        features[row] = made
    if features is None:
        raise ConfigError("there is no film to fill the bank with")
    return Bank(features, mirrored, np.stack([_target(film, scheme, settings.first_reader) for film in films]))


def _view(
    film: film_cache.CachedFilm, theta: npt.NDArray[np.float64], row: int, view: int, settings: EnsembleSettings
) -> tuple[npt.NDArray[np.float32], bool]:
    """One crop, and whether it is mirrored."""
    if view == 0:
        return crop(film.canvas(), theta, settings.network), False
    if view == 1:
        return crop(film.canvas(), compose(theta, MIRROR), settings.network), True
    generator = generator_of(settings.loop.seed, (view, row))
    geometry = draw_geometry(settings.geometry, generator)
    photometry = draw_photometry(settings.photometry, generator)
    image = crop(film.canvas(), compose(theta, geometry.matrix()), settings.network)
    return apply_photometry(image, photometry), geometry.flip


def _empty_bank(shape: tuple[int, ...]) -> npt.NDArray[np.float16]:
    size = 2 * int(np.prod(shape))
    if size > BANK_LIMIT_BYTES:
        raise ConfigError(
            f"the bank of {shape[0]} films would take {size / 2**30:.0f} GB, at most {BANK_LIMIT_BYTES >> 30} "
            "are used: set views lower, or train with `lungsev-train brixia`, which reads films as it goes"
        )
    return np.empty(shape, dtype=np.float16)


def _target(film: GradedFilm, scheme: Scheme, first: float) -> npt.NDArray[np.float32]:
    readings = list(film.readings.values())
    others = len(readings) - 1
    weights = [first, *[(1 - first) / others] * others] if others else None
    return target_distribution(readings, scheme.grades, weights)


def _train_member(
    member: SeverityMember,
    bank: Bank,
    split: Split,
    row_of: dict[str, int],
    scheme: Scheme,
    settings: EnsembleSettings,
    run: Run,
) -> None:
    """Train in place, or take over what an earlier start of the same run left."""
    if run.network.is_file():
        member.load_state_dict(torch.load(run.network, map_location="cpu", weights_only=True))
        return
    seed = settings.loop.seed + 1 + hash_free_seed(run.path)
    loop = settings.loop.model_copy(update={"seed": seed})
    open_run("ensemble", settings.model_copy(update={"loop": loop}), out=run.path)
    train_rows = [row_of[name] for name in split.parts["train"]]
    _fit_scale(member, bank, train_rows, scheme)
    alone = SeverityNetwork(nn.Identity(), [member], settings.network.crop_px, [scheme])  # type: ignore[arg-type]
    module = SeverityModule(alone, scheme, settings.model_copy(update={"loop": loop}))
    train = BankFilms(bank, train_rows, scheme, seed)
    best = fit(module, run, make_loader(train, loop.batch_size, True, seed, 0, loop.accumulate), None)
    member.load_state_dict(best.members[0].state_dict())  # type: ignore[union-attr, operator, index]
    member.eval()
    torch.save(member.state_dict(), run.network)


def _fit_scale(member: SeverityMember, bank: Bank, rows: Sequence[int], scheme: Scheme) -> None:
    """Centre the member's features on those of the regions of its training films."""
    pool = member.scheme_heads[scheme.name].pool
    with torch.inference_mode():
        pooled = []
        for row in rows:
            features = member.upper(torch.from_numpy(bank.features[row].astype(np.float32)))
            pooled.append(pool(features.flatten(2).transpose(1, 2)))
        member.scale.fit(torch.cat(pooled))


def hash_free_seed(path: Path) -> int:
    """A seed from the last two names of a member's folder, `fold-3/member-0`: the same wherever the run lies."""
    fold, repeat = (int(part.rsplit("-", 1)[1]) for part in path.parts[-2:])
    return 100 * fold + repeat


def _predict(
    member: SeverityMember, bank: Bank, rows: Sequence[int], scheme: Scheme, mirror: bool
) -> npt.NDArray[np.float64]:
    """Probabilities [len(rows), R, G] of the plain views, and of the mirrored ones when the network looks at both."""
    member.eval()
    said = []
    with torch.inference_mode():
        for view in (0, 1) if mirror else (0,):
            features = torch.from_numpy(bank.features[list(rows), view].astype(np.float32))
            found = torch.cat([member(batch)[scheme.name][0] for batch in features.split(16)]).double().numpy()
            said.append(found[:, list(scheme.mirror)] if view else found)
    return np.asarray(np.mean(said, axis=0))


def _calibrated(
    scheme: Scheme,
    films: Sequence[GradedFilm],
    probabilities: npt.NDArray[np.float64],
    bank: Bank,
    thetas: npt.NDArray[np.float64],
    settings: EnsembleSettings,
) -> tuple[Predictions, Calibration, float]:
    outcome = settings.outcome
    temperature = fit_temperature(probabilities, bank.targets.astype(np.float64)) if outcome.temperature else 1.0
    predictions = collect(scheme, films, with_temperature(probabilities, temperature), thetas)
    margin = conformal_margin(predictions, outcome.coverage)
    calibration = Calibration(decision=outcome.decision, coverage=outcome.coverage, interval_margin=margin)
    return predictions, calibration, temperature
