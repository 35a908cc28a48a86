# %% [markdown]
# # 4. Embeddings and a linear probe
#
# Before the last layer, the network turns each region of an image into a vector, its embedding. If a simple
# linear model can read the grade from it, the network has learned something about severity and not only its last
# layer has. This is how features are compared, and how a small dataset with a new scheme can use a network that
# was trained on another.
#
# Needs the run of [3_train_and_report](3_train_and_report.py), which is trained here if it is missing.

# %%
import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

run = Path("runs/brixia")
if not (run / "metrics.json").exists():
    runpy.run_path("3_train_and_report.py")

# %% [markdown]
# ## From images to embeddings
#
# [images, regions, dimensions]: one vector per region.

# %%
from lungsev.networks import load_network
from lungsev.train.data.cache import prepare
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.inference import embed

dataset = load_graded(Path("phantoms"))
prepared = prepare(dataset.images, Path("runs/cache"))
cached = [prepared.images[image.name] for image in dataset.images]
embeddings = embed(load_network(run), cached, dataset.scheme)
grades = np.array([image.reference for image in dataset.images], dtype=int)
print("embeddings", embeddings.shape, "grades", grades.shape)

# %% [markdown]
# ## A look at them
#
# Two directions in which the embeddings vary most (principal components, fitted on the training images), one point per
# region, coloured by the reader's grade. If grades form a gradient rather than a mixture, severity is in there.

# %%
from sklearn.decomposition import PCA

split = Split.load(run / "splits.json")
part = {name: part for part, names in split.parts.items() for name in names}
train = np.array([part[image.name] == "train" for image in dataset.images])
test = np.array([part[image.name] == "test" for image in dataset.images])
flat = embeddings.reshape(len(embeddings), dataset.scheme.num_regions, -1)
pca = PCA(n_components=2).fit(flat[train].reshape(-1, flat.shape[-1]))
figure, all_axes = plt.subplots(1, 2, figsize=(10, 4.6), sharex=True, sharey=True, layout="constrained")
for axes, rows, title in ((all_axes[0], train, "training images"), (all_axes[1], test, "test images")):
    points = pca.transform(flat[rows].reshape(-1, flat.shape[-1]))
    shown = axes.scatter(*points.T, c=grades[rows].ravel(), cmap="viridis", vmin=0, vmax=3, s=18)
    axes.set(title=title, xlabel="component 1", ylabel="component 2")
figure.colorbar(shown, ax=all_axes, label="reader's grade", ticks=range(4))
plt.show()

# %% [markdown]
# ## The linear probe
#
# Logistic regression on the frozen embeddings of the training images, measured on the test images beside the
# network's own head and a probe on nothing but the region, which is what one can know without looking. The split
# is that of the run: no patient is on both sides.

# %%
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions, collect


def probe(features: np.ndarray) -> Predictions:
    """Fit on the training images, predict the test images."""
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
    model.fit(features[train].reshape(-1, features.shape[-1]), grades[train].ravel())
    found = np.zeros((test.sum(), dataset.scheme.num_regions, dataset.scheme.num_grades))
    known = [dataset.scheme.grades.index(grade) for grade in model[-1].classes_]
    found[..., known] = model.predict_proba(features[test].reshape(-1, features.shape[-1])).reshape(
        *found.shape[:2], -1
    )
    chosen = [image for image, is_test in zip(dataset.images, test, strict=True) if is_test]
    return collect(dataset.scheme, chosen, found, np.zeros((len(chosen), 2, 3)))


region_alone = np.broadcast_to(np.eye(dataset.scheme.num_regions), (len(flat), *[dataset.scheme.num_regions] * 2))
rows = {
    "the region alone": probe(region_alone),
    "linear probe": probe(flat),
    "the network's head": Predictions.load(run / "predictions-test.json"),
}
measured = {name: measure(predictions, "mae", "test", "median") for name, predictions in rows.items()}
for name, found in measured.items():
    print(f"{name:20} {found.label()} {found.text()}  {found.source()}")
figure, axes = plt.subplots(figsize=(6.4, 2.4), layout="constrained")
for place, found in enumerate(measured.values()):
    axes.plot(found.interval, [place, place], color="#1b6ca8", linewidth=3)
    axes.plot(found.value, place, "o", color="#d1495b")
axes.set_yticks(range(len(measured)), measured)
axes.set(xlabel=f"{next(iter(measured.values())).label()}, with 95 % interval (patients resampled)")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# With so few test patients the intervals overlap almost wholly: from this picture nobody can say which is better.
# That is the point of drawing them. Whether two rows differ is a paired question: `measurement.difference`.
#
# ## Next
#
# - Probe a network of your own: put its run folder and its dataset into the cells above.
# - The paper's linear probe (Table 2) is a training with everything but the last layer frozen:
#   `lungsev-train inha --config inha/linear_probe_resnet18`.
# - [5_calibration_and_change](5_calibration_and_change.py): can the probabilities be believed?
