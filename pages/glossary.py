"""Glossary: every term of art in plain words, to be searched and linked to."""

from pages.parts import glossary_view, head

head.show("glossary", "Every term of art that Midband uses, in plain words.")
glossary_view.show()
