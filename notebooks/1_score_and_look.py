# %% [markdown]
# # 1. Score an image and look at it
#
# The model that ships with lungsev grades six zones of the lungs from 0 to 3 (Brixia score). This notebook scores one
# image, shows what the model saw, and what it refuses. It needs no GPU, no network and no data: the image is a phantom,
# drawn by lungsev. **Research use only. Not for clinical use.**

# %%
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import lungsev
from lungsev.phantom import make_phantom, write_phantom_dicom

image = write_phantom_dicom(make_phantom(4), Path("phantom.dcm"))  # or the path of your own DICOM, PNG or JPEG
model = lungsev.load()
report = model.score(image)
print(report.status)

# %% [markdown]
# ## The result
#
# Every zone has a grade and, behind it, a probability for each grade. The total is the sum over the zones, 0 to
# 18. Two radiologists rarely give the same total, so it comes with an interval, which is meant to hold a reader's
# total in 80 % of images.

# %%
brixia = report.scores["brixia"]
for region in brixia.regions:
    print(f"{region.code}  {region.name:18}  grade {region.grade}  mean of the distribution {region.expected:.2f}")
low, high = brixia.total_interval
print(f"total {brixia.total} of {brixia.total_max}, a reader's total is probably {low} to {high}")

# %% [markdown]
# The overlay is the picture that `lungsev-run score` writes: the zones with their grades, the outline of the
# lungs that was found, the total at the side. Check first that the outline follows the lungs: if it does not, no
# grade means anything.

# %%
figure, axes = plt.subplots(figsize=(9, 7), layout="constrained")
axes.imshow(model.overlay(image))
axes.axis("off")
plt.show()

# %% [markdown]
# ## How sure is it?
#
# One bar per grade. A zone whose bars are spread over two grades is one on which readers would disagree as well.

# %%
figure, all_axes = plt.subplots(3, 2, figsize=(7, 6), sharex=True, sharey=True, layout="constrained")
for axes, region in zip(all_axes.T.ravel(), brixia.regions, strict=True):
    colours = ["#1b6ca8" if grade == region.grade else "#b8c4cf" for grade in range(4)]
    axes.bar(range(4), region.probabilities, color=colours)
    axes.set_title(f"{region.code} {region.name}", fontsize=9)
all_axes[0, 0].set_xticks(range(4))
figure.supxlabel("grade (blue: the one that was decided)")
figure.supylabel("probability")
plt.show()

# %% [markdown]
# ## What is refused
#
# The model grades upright frontal chest images. Others get a reason instead of a number: here the same phantom upside
# down, and a page of noise. An array works as well as a file.

# %%
upside_down = np.ascontiguousarray(make_phantom(4).pixels[::-1])
noise = np.random.default_rng(0).random((512, 512), dtype=np.float32)
refused = [model.score(upside_down), model.score(noise)]
for name, answer in zip(("upside down", "noise"), refused, strict=True):
    print(f"{name}: {answer.status}, {answer.reason}")
model.close()

# %% [markdown]
# ## Next
#
# - Put the path of an image of your own into the first cell.
# - In a terminal: `lungsev-run score IMAGE --out results` writes the overlay and a JSON file; `lungsev-run
#   models` lists the models that `--bundle` knows by name.
# - [2_own_scheme](2_own_scheme.py): other regions and grades than Brixia's.
