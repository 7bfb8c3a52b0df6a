"""``zoo check``: the conformance suite on a sampler, a verdict for each property."""

from functools import partial

from zoo import entry

main = partial(entry.run, "check", "check", "zoo.conformance.report:check")

if __name__ == "__main__":
    main()
