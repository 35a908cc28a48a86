"""`python -m lungsev.train`: the command for launchers that want a module, as torchrun does."""

from lungsev.train.cli import main

if __name__ == "__main__":
    main()
