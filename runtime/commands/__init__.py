"""The commands of `lungsev-run`, one file each."""
