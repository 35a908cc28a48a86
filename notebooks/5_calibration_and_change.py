# %% [markdown]
# # 5. Calibration and change
#
# Two questions about probabilities. *Calibration*: when a network says 70 %, is it right in 70 % of cases? And
# *change*: a patient had a total of 8 yesterday and has 10 today; is that worse, or noise?

# %% [markdown]
# ## A network that is too sure
#
# Here the truth is known because it is simulated: every region has a distribution of grades, a reader's grade is
# drawn from it, and the network states the same distribution too sharply (its logits are doubled). For a network
# of your own use `Predictions.load("RUN/predictions-validation.json")` instead.

# %%
from dataclasses import replace
from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import CalibrationSettings, cross_fitted, fit_calibration, with_temperature
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.measures import reliability_points, sample_of
from lungsev.train.evaluation.predictions import Predictions

scheme = load_scheme("brixia")


def simulate(patients: int, seed: int, sharpness: float = 2.0) -> Predictions:
    """One image of each patient; a reader who is strict in one zone is strict in all (correlation 0.4)."""
    rng = np.random.default_rng(seed)
    severity = rng.normal(1.2, 0.9, (patients, 1)) + rng.normal(0, 0.5, (patients, scheme.num_regions))
    logits = -1.2 * (severity[..., None] - np.arange(scheme.num_grades)) ** 2
    true = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    strictness = np.sqrt(0.4) * rng.normal(size=(patients, 1)) + np.sqrt(0.6) * rng.normal(size=true.shape[:2])
    quantile = np.vectorize(NormalDist().cdf)(strictness)
    reader = (quantile[..., None] > true.cumsum(axis=-1)[..., :-1]).sum(axis=-1).astype(float)
    names = tuple(f"image-{row}" for row in range(patients))
    unknown = ("",) * patients
    stated = with_temperature(true, 1 / sharpness)
    thetas = np.zeros((patients, 2, 3))
    return Predictions(scheme, names, names, unknown, unknown, {"reader": reader}, stated, thetas)


too_sure = simulate(400, seed=10)
print(measure(too_sure, "ece", "test").text(), "is the expected calibration error of the network as it is")

# %% [markdown]
# ## One number repairs it
#
# The temperature divides all logits. It must be fitted on other images than those it is judged on. `cross_fitted`
# does so with few images too: each fifth of the patients is calibrated by what was fitted on the other four.

# %%
settings = CalibrationSettings(coverage=0.8)
folds = np.arange(len(too_sure.names)) % 5
calibrated = cross_fitted(too_sure, folds, settings)
print(f"temperature {fit_calibration(too_sure, settings).temperature:.2f} (2 was put in)")
figure, axes = plt.subplots(figsize=(5, 4.8), layout="constrained")
axes.plot([0, 1], [0, 1], color="#9a9a9a", linestyle="--", label="perfect")
for label, shown, colour in (("as trained", too_sure, "#d1495b"), ("calibrated", calibrated, "#1b6ca8")):
    confidence, correct, _ = zip(
        *(point for point in reliability_points(sample_of(shown)) if point[2] >= 10), strict=True
    )
    axes.plot(confidence, correct, marker="o", color=colour, label=f"{label}: ECE {measure(shown, 'ece').text()}")
axes.set(
    xlabel="probability of the likeliest grade", ylabel="how often it is the reader's", xlim=(0.3, 1), ylim=(0.3, 1)
)
axes.legend(loc="upper left", fontsize=8)
plt.show()

# %% [markdown]
# Below the dashed line the network promises more than it keeps. After calibration the points are on the line.
#
# ## Does the interval of the total keep its promise?
#
# Stated are 80 %. Without a margin it holds the reader's total more rarely, because it treats the zones as
# independent, and a strict reader is strict in all. The margin repairs that, if it is fitted on other patients
# (nested). Fitted on the very patients it is shown for, it looks right by construction, and proves nothing. The
# last row is the test of the promise: new patients.

# %%
own = fit_calibration(too_sure, settings)
new = simulate(600, seed=100)
without = replace(own, margin=None)
rows = {
    "no margin": without.apply(too_sure, "other"),
    "fitted on the same patients": own.apply(too_sure, "test"),
    "nested: fitted on other patients": calibrated,
    "new patients": own.apply(new, "other"),
}
coverage = {name: measure(shown, "interval_coverage", "test") for name, shown in rows.items()}
for name, found in coverage.items():
    print(f"{name:34} covers {found.text()} %  {found.caution}")
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
for place, found in enumerate(coverage.values()):
    axes.plot(np.multiply(100, found.interval), [place, place], color="#1b6ca8", linewidth=3)
    axes.plot(100 * found.value, place, "o", color="#d1495b")
axes.axvline(80, color="#9a9a9a", linestyle="--")
axes.set_yticks(range(len(coverage)), coverage)
axes.set(xlabel="share of readers' totals inside the interval, % (dashed: stated)")
axes.invert_yaxis()
plt.show()

# %% [markdown]
# The promise is one about the average over calibration sets; a single one is off by some points. With four other
# sets of 400 patients, each judged on 600 new ones:

# %%
for seed in range(11, 15):
    judged = fit_calibration(simulate(400, seed), settings).apply(simulate(600, seed + 90), "other")
    print(measure(judged, "interval_coverage", "test").text(), "%")

# %% [markdown]
# ## Change: a patient over two weeks
#
# A phantom patient gets worse and then better. The packaged model scores every image. Two of its images differ by
# chance too, and how much was measured on patients whom radiologists had graded (`lungsev-train change`). So a
# difference becomes a probability, and only a probable change is called one.

# %%
import lungsev
from lungsev.course import follow_course
from lungsev.phantom import make_course
from lungsev.report_change import standing_severity

course = make_course(seed=6, days=14, size_px=384)
with lungsev.load(sandbox=False) as model:
    reports = [model.score(day.radiograph.pixels) for day in course]
scored = [(day, report) for day, report in zip(course, reports, strict=True) if report.status == "scored"]
start = course[0].acquired_at
hours = [(day.acquired_at - start).total_seconds() / 3600 for day, _ in scored]
totals = [report.scores["brixia"] for _, report in scored]
severities = [standing_severity(report, "brixia") for _, report in scored]
points = follow_course(severities, hours, [score.repeatability for score in totals])
for hour, score, point in zip(hours, totals, points, strict=True):
    print(f"day {hour / 24:4.1f}  total {score.total:2}  {point.change.words if point.change else 'first image'}")

# %%
days = np.array(hours) / 24
figure, (upper, lower) = plt.subplots(2, 1, figsize=(8, 6), sharex=True, height_ratios=(2, 1), layout="constrained")
truth = [sum(day.radiograph.grades) for day, _ in scored]
upper.fill_between(
    days, *zip(*(point.band for point in points), strict=True), color="#1b6ca8", alpha=0.2, label="80 % band"
)
upper.plot(days, [point.level for point in points], color="#1b6ca8", label="level behind the images")
upper.plot(days, [score.total for score in totals], "o", color="#d1495b", label="total of the image")
upper.plot(days, truth, "_", color="#3d3d3d", markersize=14, label="truth of the phantom")
upper.set(ylabel="Brixia total, 0-18")
upper.legend(fontsize=8)
for place, point in zip(days[1:], points[1:], strict=True):
    lower.bar(place, point.change.worse, 0.3, color="#d1495b", alpha=1 if point.change.called else 0.35)
    lower.bar(place, -point.change.better, 0.3, color="#2e933c", alpha=1 if point.change.called else 0.35)
lower.axhline(0, color="#3d3d3d", linewidth=0.8)
lower.set(xlabel="day", ylabel="better   |   worse", ylim=(-1.05, 1.05))
lower.set_title("probability of a change since the images before (solid: called)", fontsize=9)
plt.show()

# %% [markdown]
# Above: single totals jump around the level; the band says how well the level is known. Below: a bar upwards is
# the probability that the patient got worse, downwards better. Pale bars are differences that may be noise, and
# no change is called for them, though the totals differ. The phantom's own total is lower than the model's, which was
# trained on patients: what carries over is the course.
#
# ## Next
#
# - Give `make_course` another seed, or score the images of a real patient.
# - `lungsev-run trend PATIENT --out FOLDER` draws the same for a watched folder.
# - How the probability is computed: `docs/change.md`. How repeatable your own model is: `lungsev-train change`.
