"""The frame around every room: page settings, logo, navigation, the investigation at hand and the work under way."""

import streamlit as st

from pages.parts import jobs, live, notices, problem, rooms, state, theme, who

theme.apply()
room = st.navigation(rooms.all_rooms())

with problem.shown():
    state.start()
    state.chooser()
    who.sidebar()
    jobs.indicator()
    live.watch(state.analysis())
    problem.remembered()
    notices.show()
    room.run()
