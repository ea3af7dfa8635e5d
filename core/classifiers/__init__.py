"""Image classifiers: loading them safely, parting them into backbone and head, training one.

Only `head` and `preprocessing` work without torch; import the other modules where they are needed.
"""
