"""The commands of `lungsev-train`, a file per group. Heavy imports stay inside the commands."""
