"""`streamlit run app.py`: hands over to pages/main.py and says what happens when a page fails.

A launcher, because a main script beside a `pages/` folder would let a fresh server run a page without its frame.
"""

import streamlit as st

from pages.parts import gate, guard, health_route, live_route, map_route, problem, shell, sign_in, waking

guard.require_safe_address()
sign_in.check_provider()
gate.install()

app = st.App(
    "pages/main.py",
    lifespan=waking.lifespan,
    on_script_error=problem.handle,
    routes=[*sign_in.routes(), *live_route.routes(), *map_route.routes(), *health_route.routes()],
    middleware=[*guard.middleware(), *shell.middleware()],
)
