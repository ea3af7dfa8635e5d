"""Map: every image as a point, near those the network sees alike; circle some to look at them and tag them."""

from pages.parts import map_view, state

map_view.explore(state.analysis_or_invite(map_view.heading))
