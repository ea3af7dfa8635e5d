"""`streamlit run app.py`: hands over to pages/main.py and says what happens when a page fails.

A launcher, because a main script beside a `pages/` folder would let a fresh server run a page without its frame.
"""

import streamlit as st

from pages.parts import live_route, map_route, problem, shell, waking

app = st.App(
    "pages/main.py",
    lifespan=waking.lifespan,
    on_script_error=problem.handle,
    routes=[*live_route.routes(), *map_route.routes()],
    middleware=shell.middleware(),
)
