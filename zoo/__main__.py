"""``python -m zoo <verb> ...``, as ``torchrun -m zoo train ...`` starts it."""

from zoo.cli import main

if __name__ == "__main__":
    main()
