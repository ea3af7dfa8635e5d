"""The verbs of `python -m core`, one function each: options in, an `Answer` out."""
