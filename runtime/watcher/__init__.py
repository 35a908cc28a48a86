"""The watcher: intake, ledger, scoring, recovery."""
