"""Home: what this is, the ways to begin, and what was done so far."""

from pages.parts import home_cards, home_hero

home_hero.show()
home_cards.investigations()
