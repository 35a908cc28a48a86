# %% [markdown]
# # 2. A score scheme of your own
#
# A scheme says which regions of the lungs are graded and which grades there are. It is a small YAML file; every
# command takes its path where it takes the name of a built-in one. This notebook writes one, draws it on an
# image, and prepares a dataset that is graded by it. It needs the extra `train` for the last step.

# %%
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke

import lungsev
from lungsev.geometry import box_polygon
from lungsev.phantom import make_phantom, write_phantom_png
from lungsev.schemes import builtin_schemes, load_scheme

print("built in:", *builtin_schemes())
text = """
name: thirds
title: Upper, middle and lower third of each lung, clear or not
source: this notebook
grades: [0, 1, 2]
grade_names: [clear, partly opaque, opaque]
regions:    # box: y0, x0, y1, x1 in fractions of the aligned lung field; the patient's right is on the image's left
  - {code: RU, name: right upper third, side: right, box: [0.0, 0.0, 0.333, 0.5]}
  - {code: RM, name: right middle third, side: right, box: [0.333, 0.0, 0.667, 0.5]}
  - {code: RL, name: right lower third, side: right, box: [0.667, 0.0, 1.0, 0.5]}
  - {code: LU, name: left upper third, side: left, box: [0.0, 0.5, 0.333, 1.0]}
  - {code: LM, name: left middle third, side: left, box: [0.333, 0.5, 0.667, 1.0]}
  - {code: LL, name: left lower third, side: left, box: [0.667, 0.5, 1.0, 1.0]}
"""
folder = Path("thirds")
folder.mkdir(exist_ok=True)
(folder / "scheme.yaml").write_text(text)
scheme = load_scheme(folder / "scheme.yaml")
print(f"{scheme.title}: {scheme.num_regions} regions, totals {scheme.total_min} to {scheme.total_max}")

# %% [markdown]
# ## Where the regions are
#
# Boxes are fractions of the *aligned frame*: the network first finds the lungs and the frame around them, so that a box
# means the same part of the lungs on every image. The frame of this phantom comes from the packaged model.

# %%
phantom = make_phantom(11)
image = write_phantom_png(phantom, Path("phantom.png"))
with lungsev.load() as model:
    scored = model.examine(image)
    outputs = model.scorer.backend.infer(scored.canvas.pixels[None, None])
theta = outputs["theta"][0]
figure, (left, right) = plt.subplots(1, 2, figsize=(10, 5.2), layout="constrained")
for axes, shown in ((left, load_scheme("brixia")), (right, scheme)):
    axes.imshow(scored.radiograph.pixels, cmap="gray")
    for region in shown.regions:
        corners = box_polygon(region.box, theta, scored.canvas.frame)
        axes.fill(*corners.T, fill=False, edgecolor="#ffb000", linewidth=1.5)
        label = axes.text(*corners.mean(axis=0), region.code, color="#ffb000", ha="center", va="center", fontsize=12)
        label.set_path_effects([withStroke(linewidth=2.5, foreground="black")])
    axes.set_title(f"{shown.name}: {shown.num_regions} regions")
    axes.axis("off")
plt.show()

# %% [markdown]
# Brixia's zones overlap, these thirds do not; both are allowed. Where boxes meet the edge of the lungs tells you
# whether the scheme fits the way your readers divide a lung.
#
# ## Reading a map through the scheme
#
# The packaged model has a map of the expected Brixia grade over the frame. Averaged over a region's box, it says
# how much is there, before any network was trained for this scheme.

# %%
severity = scored.severity_map["brixia"]
means = scheme.pooling_matrix(*severity.shape) @ severity.ravel()
figure, axes = plt.subplots(figsize=(5.6, 4.6), layout="constrained")
shown = axes.imshow(severity, vmin=0, vmax=3, cmap="magma", extent=(0, 1, 1, 0))
for region, mean in zip(scheme.regions, means, strict=True):
    y0, x0, y1, x1 = region.box
    axes.add_patch(plt.Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor="white"))
    label = f"{region.code} {mean:.1f}"
    axes.text((x0 + x1) / 2, (y0 + y1) / 2, label, color="white", ha="center", va="center", fontsize=12)
axes.set(xlabel="aligned frame, patient's right to left", ylabel="top to bottom", title="Expected Brixia grade")
figure.colorbar(shown, label="grade")
plt.show()

# %% [markdown]
# ## A dataset that is graded by it
#
# One CSV with a row per image and a column per region, beside the images; `scheme.yaml` in the same folder.
# Several readers are columns like `senior-RU`. A region that nobody graded stays empty: it trains nothing and
# counts in no measure.

# %%
rows = ["image,patient,RU,RM,RL,LU,LM,LL"]
for seed in range(12):
    phantom = make_phantom(seed, size_px=256)
    write_phantom_png(phantom, folder / f"{seed}.png")
    grades = [("0", "1", "1", "2")[grade] for grade in phantom.grades]  # from Brixia's 0-3
    if seed == 3:
        grades[0] = ""
    rows.append(",".join([f"{seed}.png", f"patient-{seed // 2}", *grades]))
(folder / "grades.csv").write_text("\n".join(rows) + "\n")
print(*rows[:5], sep="\n")

# %% [markdown]
# `data check` reads the folder as training will, and says what is wrong with it and what to do.

# %%
from lungsev.train.dataset_check.check import check_folder

checks = check_folder(folder, Path("runs/cache"), 1)
for line in (line for check in checks for line in check.lines()):
    print(line)

# %% [markdown]
# ## Next
#
# - Change a box or a grade, and run the notebook again.
# - Train a network for it: `lungsev-train custom --data thirds --lungs LUNG-MASKS`; `--lungs synthetic` for a trial.
# - [3_train_and_report](3_train_and_report.py) does so with the Brixia score, small enough for a laptop.
