# %% [markdown]
# # 3. Train and report
#
# Three stages: a network that finds the lungs, one that aligns them, and one that grades the regions. Here each
# is tiny and learns from phantoms, so that all of it takes a minute on a laptop. The numbers mean nothing; the
# steps, files and figures are those of a real training. Needs the extra `train`.

# %%
import json
import shlex
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.image import imread

from lungsev.phantom import write_dataset
from lungsev.train.cli import app


def lungsev_train(line: str) -> None:
    """Run a command as in a terminal."""
    app(shlex.split(line), standalone_mode=False)


for folder, layout, count in (("lungs", "lungs", 16), ("phantoms", "cohen", 48)):
    if not Path(folder).exists():
        write_dataset(Path(folder), layout, count, seed=3, size_px=144)

# %% [markdown]
# ## Three stages
#
# `--set` changes any setting; `configs/train/` holds the real ones. Without `--set` these commands train the
# networks of the documentation.

# %%
small = "--set data.workers=0 --set loop.loggers=[] --set loop.accelerator=cpu --set network.pretrained=none"
if not Path("runs/segment").exists():
    lungsev_train(
        f"segment --data lungs --out runs/segment --epochs 4 {small} --set loop.batch_size=4 --set optimizer.lr=5e-3"
        " --set network.encoder=mobilenetv3_small_050 --set network.size_px=64 --set network.image_check=false"
        " --set network.decoder_channels=[16,8,8,8,8]"
    )
small = small.replace(" --set network.pretrained=none", "")
if not Path("runs/align").exists():
    lungsev_train(
        f"align --data lungs --out runs/align --epochs 20 {small} --set segmentation=runs/segment"
        " --set network.input_px=16 --set loop.batch_size=4 --set optimizer.lr=5e-3"
    )
if not Path("runs/brixia").exists():
    lungsev_train(
        f"brixia --data phantoms --out runs/brixia --epochs 8 {small} --set alignment=runs/align"
        " --set network.backbone=mobilenetv3_small_050 --set network.pretrained=none --set network.crop_px=64"
        " --set network.dim=32 --set network.oversample=1 --set loop.batch_size=8 --set optimizer.lr=3e-3"
    )

# %% [markdown]
# ## The run folder
#
# `config.yaml` has every setting that was used, `splits.json` who trained and who was held back (by patient),
# `predictions-*.json` the distribution of every region of every image: whatever is said of the run can be
# computed from it.

# %%
run = Path("runs/brixia")
print(*sorted(path.name for path in run.iterdir()), sep="\n")

# %% [markdown]
# The loss of each epoch. Where the validation curve turns upwards while the other still falls, the network has begun to
# learn its training images by heart.

# %%
history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for part, colour in (("train", "#1b6ca8"), ("validation", "#d1495b")):
    points = [(record["epoch"] + 1, record[f"{part}/loss"]) for record in history if f"{part}/loss" in record]
    axes.plot(*zip(*points, strict=True), marker="o", color=colour, label=part)
axes.set(xlabel="epoch", ylabel="loss")
axes.legend()
plt.show()

# %% [markdown]
# ## Numbers
#
# Each number is a `Measurement`: it knows its part, its decision rule, how many images of how many patients it is
# of, and its 95 % interval, for which patients are resampled. With so few patients it says itself that it means
# little.

# %%
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions

predictions = Predictions.load(run / "predictions-test.json")
for name in ("accuracy", "mae", "kappa", "total_mae"):
    found = measure(predictions, name, "test")
    print(f"{found.label():32} {found.text():26} {found.source()}  {found.caution}")

# %% [markdown]
# ## The report
#
# Training left a page with all tables and figures, `runs/brixia/report/report.html`; `lungsev-train report RUN
# RUN ...` writes one over several runs. One of its figures: which of the reader's grades the network takes for
# which. What is far from the diagonal is worse than what is beside it.

# %%
figures = sorted((run / "report").rglob("*.png"))
print(*[path.stem for path in figures], sep="\n")
figure, axes = plt.subplots(figsize=(5.5, 5.5), layout="constrained")
axes.imshow(imread(next(path for path in figures if "confusion" in path.stem)))
axes.axis("off")
plt.show()

# %% [markdown]
# ## Next
#
# - The same on a dataset: `lungsev-train brixia --data DIR --lungs LUNG-MASKS --config brixia/paper_resnet18`.
# - A model card of the run: `lungsev-train card runs/brixia`; a folder for the Hugging Face hub: `lungsev-train
#   export-hub runs/brixia --out hub`.
# - A bundle for the bedside: `lungsev-export runs/brixia --out my-bundle`.
# - [4_embeddings_and_linear_probe](4_embeddings_and_linear_probe.py): what the network knows before its last layer.
