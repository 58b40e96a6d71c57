# ---
# jupyter:
#   jupytext:
#     default_lexer: ipython3
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rerun it
#
# How to train any of this book's networks again, with the paper's values or others, and what that costs. All commands are typed
# in the repository's folder, in the environment that `make book` has set up (`source .venv/bin/activate`).

# %% tags=["parameters", "remove-input"]
profile = "paper"
seeds = "recorded"
prime = 67
train_fraction = 0.4
epochs = 30000
ticket_epoch = 28000
pruning_rate = 0.6
device = "cpu"

# %% [markdown]
# ## What it costs
#
# <details class="fold">
# <summary>Minutes of training by chapter</summary>
#
# Minutes of training on two cores, for one seed of all of a chapter's settings and for all seeds that the book shows. They are
# estimated from the records: the median time that an epoch took for each weight and example, by kind of network, in stacks of up
# to eight; fewer networks at a time take longer each. A network that two chapters share is trained once and counted in both.

# %% tags=["hide-input"]
from itertools import combinations

import numpy as np
import pandas as pd
from IPython.display import HTML

from lib.book import tables
from lib.experiments import parameters
from lib.experiments.arms import Arm
from lib.experiments.chapters import CHAPTERS, EXPLORATORY, wanted
from lib.records.store import Store, other_machines
from lib.records.verify import FACTOR, MARGIN, TAU, compare_anew
from lib.train.runs import EdgePopup

given, store = parameters.check(globals()), Store()
settings = {name: wanted(given, [name], store).by_arm[name] for name in CHAPTERS}
every_run = {run for arms_of in settings.values() for arms in arms_of.values() for runs in arms.values() for run in runs}
records = [record for run in every_run if (record := store.load(run)) and "cores" in record.provenance["machine"]]  # not on a GPU
kind = lambda run: type(run.model).__name__ + ", scores" * isinstance(run.start, EdgePopup)
work = lambda run: run.epochs * run.length * run.task.train_count
pace = pd.Series([record.provenance["seconds"] / work(record.run) for record in records], [kind(record.run) for record in records], float)
pace = pace.groupby(level=0).median()
rows = []
for name, arms_of in settings.items():
    networks = one_seed = every_seed = 0
    for arms in arms_of.values():
        minutes = [work(run) * pace.get(kind(run), np.nan) / 60 for runs in arms.values() for run in runs]
        networks, every_seed = networks + len(minutes), every_seed + sum(minutes)
        one_seed += sum(minutes) / len(arms[Arm("base")])
    rows.append({"chapter": name, "networks": networks, "minutes for a seed": one_seed, "minutes for all seeds": every_seed})
machines = sorted({record.provenance["machine"] for record in records})
HTML(tables.table(pd.DataFrame(rows), precision=0) + f"<p>From {len(records):,} records made on: {', '.join(machines) or 'nothing yet'}.</p>")

# %% [markdown]
# </details>
#
# ## A chapter with other seeds
#
# ```bash
# python -m lib run re-dense -p seeds "[7, 8, 9]" --output out.ipynb
# ```
#
# writes the chapter as a notebook, with its figures, tables and verdicts on these seeds, and shows the training's progress. Any
# chapter can be named as its page is: `re-dense.html` is `re-dense`. What goes wrong is said in one sentence. The first command
# below does the same by papermill, the second from the folder `book`:
#
# ```bash
# papermill book/re-dense.md out.ipynb -p seeds "[7, 8, 9]"
# cd book && papermill re-dense.md out.ipynb -p seeds "[7, 8, 9]"
# ```
#
# A network whose record exists is not trained again, so that the same command goes on where it was interrupted.
#
# ## Other values
#
# The parameters are those of `params/paper.yml`. `-p` changes one for a chapter, `--set` for the networks alone, and a profile
# all of them:
#
# ```bash
# python -m lib run re-dense -p seeds "[7]" -p prime 97 -p train_fraction 0.3
# python -m lib status --chapter re-dense --set prime=97 --set train_fraction=0.3
# python -m lib train --chapter re-dense --set prime=97 --set train_fraction=0.3 --seeds 7
# python -m lib judge --set prime=97 --set train_fraction=0.3 --set "seeds=[7]"
# python -m lib run re-dense --profile smoke
# ```
#
# Every figure says at its foot which values it shows: *paper* stands there alone only if all but the seeds are the paper's, and
# *paper, with prime = 97* otherwise. An unknown name, a wrong type or an impossible value is refused before anything is trained.
#
# ## Where results go
#
# | made by | records | verdicts |
# |---|---|---|
# | `train` and `judge`, all values but the seeds the paper's | `results/records/` | `results/verdicts.json`; of seeds that are named, `.cache/verdicts-….json` |
# | `train` and `judge`, other values or another profile | `.cache/records/` | `.cache/verdicts-….json`, named after the values |
# | `run` and papermill | `.cache/records/` | in the notebook |
# | `train` with `--results`, as below | `mine/records/` | none |
#
# ```bash
# python -m lib train --chapter re-dense --seeds 7 --results mine
# ```
#
# `results/` is committed. `.cache/` is not, and can be deleted at any time. `results/verdicts.json` counts records in `results/` alone; what a
# chapter left in `.cache/` comes there by `train`. A record is named by all that made its network, so
# that a network with other values is never taken for the paper's, wherever its record lies.
#
# ## New seeds in the book's figures
#
# The book shows seeds 5 to 24 of a setting as soon as ten of them have all arms recorded (five in the chapters on stability and on the
# follow-up study), and seeds 0 to 4 before. These commands
# record ten seeds of a chapter, judge all claims anew and make the book of what is there:
#
# ```bash
# python -m lib train --chapter re-dense --seeds 5:15
# python -m lib judge
# make book
# ```
#
# Seeds above 24 are never mixed into the book's verdicts, whose rules name their seeds beforehand. A notebook shows them beside
# recorded ones where both are named:
#
# ```bash
# python -m lib run re-dense -p seeds "[5, 6, 7, 8, 9, 25, 26]"
# ```
#
# ## Are the records true?
#
# ```bash
# python -m lib verify --sample 3 --seed 0
# python -m lib verify --sample 1 --chapter re-dense --longest 60000
# ```
#
# trains a random sample of the committed records anew, in a folder that is deleted afterwards, with a line for each and exit
# status 1 if one differs. With the processor and the versions that made a record, every metric must be the same to the bit.
# Most records were made on AMD processors with AVX-512. On one without, `GROKKING_TICKETS_PRODUCTS=skylakex` before a command makes
# the products by a small C file (`lib/train/skylakex.c`, which needs the compiler `cc`), in the same order of sums and so with the same bits.
# Elsewhere rounding drifts apart: then

# %% tags=["hide-input"]
elsewhere = other_machines()
known = wanted(given.model_copy(update={"seeds": list(EXPLORATORY)}), ["main-results"]).runs
versions = [[*store.versions(run).values(), *elsewhere.versions(run).values()] for run in known if given.is_paper]
pairs = [pair for found in versions for pair in combinations(found, 2) if len({one.provenance["machine"] for one in pair}) == 2]
passed = [compare_anew(*pair)[0] for pair in pairs]
HTML(
    f"<p>test accuracy must reach {TAU:.2f} at times within a factor of {FACTOR:g} of each other, and accuracies must end within {MARGIN:g}. "
    + (f"Of {len(passed)} pairs of records of one run on two machines (<a href='deviations.html'>Deviations</a>), {sum(passed)} pass.</p>" if passed else "</p>")
)

# %% [markdown]
# `--longest` leaves out what takes more epochs,
# those of the base that a ticket is cut from included.
