"""Mixed batches: so many images of each source, every image of the first source once in an epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lungsev.errors import ConfigError
from lungsev.schemes import Scheme
from lungsev.train.data.crop_bank import StoredCrops
from lungsev.train.data.loaders import Key, generator_of
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.sources import JointSource
from lungsev.train.tasks.joint.targets import Targets


def slots_of(shares: Sequence[float], batch_size: int) -> list[int]:
    """Return how many images of a batch each source has: the whole numbers nearest to its share, one at least.

    Raises:
        ConfigError: There are more sources than images in a batch.
    """
    wanted = [share / sum(shares) * batch_size for share in shares]
    taught = sum(share > 0 for share in shares)
    if taught > batch_size:
        raise ConfigError(f"loop.batch_size {batch_size} is less than one image of each of {taught} sources")
    slots = [max(1, int(want)) if want else 0 for want in wanted]
    while sum(slots) != batch_size:  # to the largest remainder, or from the largest excess
        missing = 1 if sum(slots) < batch_size else -1
        open_to = [place for place, want in enumerate(wanted) if want and slots[place] + missing >= 1]
        slots[max(open_to, key=lambda place: missing * (wanted[place] - slots[place]))] += missing
    return slots


class JointImages:
    """Items of the sources by their place in mixed batches; each source goes through its images in turns of its own."""

    def __init__(
        self,
        sources: Sequence[JointSource],
        crops: Sequence[StoredCrops],
        targets: Sequence[Targets],
        schemes: Mapping[str, Scheme],
        settings: JointSettings,
    ) -> None:
        self.reader = ItemReader(sources, crops, targets, schemes)
        self.settings = settings
        self.rows = [source.train for source in sources]
        self.aligned = [source.settings.frame == "aligned" for source in sources]
        slots = slots_of([source.settings.share for source in sources], settings.loop.batch_size)
        self.slots = np.repeat(np.arange(len(slots)), slots)
        self.starts = np.concatenate([np.arange(count) for count in slots])
        self.counts = slots
        self.steps = settings.steps or -(-len(self.rows[0]) // slots[0])

    def __len__(self) -> int:
        return self.steps * len(self.slots)

    def place_of(self, key: Key) -> tuple[int, int]:
        """Return the source and the row of an item."""
        step, slot = divmod(key[1], len(self.slots))
        source = int(self.slots[slot])
        rows = self.rows[source]
        nth = (key[0] * self.steps + step) * self.counts[source] + int(self.starts[slot])
        turn, place = divmod(nth, len(rows))
        return source, rows[_order(self.settings.loop.seed, source, turn, len(rows))[place]]

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return what `ItemReader.item` does, of a random crop that may be flipped or show two images' lungs; index."""
        source, row = self.place_of(key)
        generator = generator_of(self.settings.loop.seed, key)
        augmentation = int(generator.integers(self.reader.crops[source].records.shape[1]))
        flips = bool(generator.random() < self.settings.geometry.flip)
        item = self.reader.item(source, row, augmentation, flips)
        if self.aligned[source] and generator.random() < self.settings.other_lung:
            other = self.rows[source][int(generator.integers(len(self.rows[source])))]
            item = with_left_lung(item, self.reader.item(source, other, augmentation, flips), self.reader.schemes)
        return {**item, "index": key[1]}


class HeldImages:
    """Plain crops of the images that validate."""

    def __init__(self, images: JointImages, sources: Sequence[JointSource]) -> None:
        self.reader = images.reader
        self.places = [(place, row) for place, s in enumerate(sources) for row in s.parts.get("validation", ())]

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return what `ItemReader.item` does, and index."""
        return {**self.reader.item(*self.places[key[1]], 0, False), "index": key[1]}


class ItemReader:
    """Makes items that are alike whatever source they come from, with unknowns where a source says nothing."""

    def __init__(
        self,
        sources: Sequence[JointSource],
        crops: Sequence[StoredCrops],
        targets: Sequence[Targets],
        schemes: Mapping[str, Scheme],
    ) -> None:
        self.crops, self.targets, self.schemes = list(crops), list(targets), dict(schemes)
        self.labels = [source.labels.values if source.labels else None for source in sources]
        self.keys = [source.key for source in sources]

    def item(self, source: int, row: int, augmentation: int, flips: bool) -> dict[str, Any]:
        """Return image float32 [1, S, S]; source; and what is taught.

        target.<scheme> float32 [R, G], zeros unknown; label.<source> [C], maps [P, s, s], lung_totals [2] and teacher,
        NaN unknown.
        """
        targets = self.targets[source]
        image, maps = self.crops[source].image(row, augmentation), self.crops[source].maps(row, augmentation)
        lung_totals = targets.lung_totals[row]
        item: dict[str, Any] = {"source": source, "teacher": targets.teacher[row]}
        for name, scheme in self.schemes.items():
            target = targets.grades[name][row]
            item[f"target.{name}"] = torch.from_numpy(target[list(scheme.flip_permutation)] if flips else target)
        if flips:
            image, maps, lung_totals = image[:, ::-1], maps[..., ::-1], lung_totals[::-1]
        for place, values in enumerate(self.labels):
            if values is not None:
                own = values[row] if place == source else np.full(values.shape[1], np.nan, np.float32)
                item[f"label.{self.keys[place]}"] = torch.from_numpy(own)
        planes = {"image": image[None], "maps": maps, "lung_totals": lung_totals}
        return {**item, **{name: torch.from_numpy(np.ascontiguousarray(plane)) for name, plane in planes.items()}}


def with_left_lung(item: dict[str, Any], other: dict[str, Any], schemes: Mapping[str, Scheme]) -> dict[str, Any]:
    """Return an item of `ItemReader` whose left half, the patient's left lung, is that of another item.

    What is known of one lung goes with it. What is known of the whole image stays where both say the same of it.
    """
    mixed = dict(item)
    for name in ("image", "maps"):
        left = item[name].shape[-1] // 2
        mixed[name] = torch.cat([item[name][..., :left], other[name][..., left:]], dim=-1)
    for name, scheme in schemes.items():
        key = f"target.{name}"
        known = [{"right": item, "left": other}.get(region.side) for region in scheme.regions]
        rows = [torch.zeros_like(item[key][row]) if each is None else each[key][row] for row, each in enumerate(known)]
        mixed[key] = torch.stack(rows)
    mixed["lung_totals"] = torch.stack([item["lung_totals"][0], other["lung_totals"][1]])
    mixed["teacher"] = np.float32(np.nan)
    for key in (key for key in item if key.startswith("label.")):
        mixed[key] = torch.where(item[key] == other[key], item[key], torch.nan)
    return mixed


@lru_cache(maxsize=64)
def _order(seed: int, source: int, turn: int, count: int) -> list[int]:
    """The order of a source's images in one turn."""
    order: list[int] = np.random.default_rng((seed, source, turn, 7)).permutation(count).tolist()
    return order
