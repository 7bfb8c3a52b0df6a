"""``zoo sample``: images from a saved model, as a grid, single files or arrays."""

from functools import partial

from zoo import entry

main = partial(
    entry.run, "sample", "sample", "zoo.command.sample:sample", check="zoo.samples.place:check"
)

if __name__ == "__main__":
    main()
