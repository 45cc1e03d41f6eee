"""``python -m stancelib``, and so ``torchrun -m stancelib``: the command line."""

from stancelib.cli import main

if __name__ == "__main__":
    main()
