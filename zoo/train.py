"""``zoo train``: trains a model and saves it as one file."""

from functools import partial

from zoo import entry

main = partial(
    entry.run, "train", "train", "zoo.training.train:train", check="zoo.training.run.folder:check"
)

if __name__ == "__main__":
    main()
