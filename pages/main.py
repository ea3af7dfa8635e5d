"""The frame around every room: page settings, logo, navigation, the investigation at hand and the work under way."""

import streamlit as st

from pages.parts import collector, gate, jobs, live, notices, problem, rooms, state, theme, tour, who

collector.spare_modules()
theme.apply()
room = st.navigation(rooms.all_rooms())
is_stage = room.url_path == "present"
theme.follow(is_stage)

gate.enter()

with problem.shown(rooms.way_out if is_stage else None):
    state.start()
    if not is_stage:
        state.chooser()
        tour.sidebar(room.url_path)
        who.sidebar()
        rooms.foot(state.chosen_id())
        jobs.indicator()
        tour.bar(room.url_path)
    live.watch(state.analysis())
    problem.remembered()
    notices.show()
    rooms.keep_place(room)
    if not is_stage:
        gate.remind(room.url_path)
    room.run()
