"""``zoo convert``: published weights in, one file of this zoo out."""

from functools import partial

from zoo import entry

main = partial(entry.run, "convert", "convert", "zoo.convert.convert:convert")

if __name__ == "__main__":
    main()
