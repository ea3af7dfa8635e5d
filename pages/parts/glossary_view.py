"""The glossary: every term of art in alphabetical order, to be searched, each with an address of its own."""

from __future__ import annotations

import streamlit as st

from pages.parts.words import TERMS, anchor, count, plain, related, term_title

SOUGHT = "glossary_sought"


def show() -> None:
    with st.container(key="glossary-search"):
        sought = st.text_input(
            "Search",
            key=SOUGHT,
            placeholder="A word, such as band or worst group",
            icon=":material/search:",
            label_visibility="collapsed",
            bind="query-params",
        )
        if not sought:
            st.markdown(letters(matching("")))
    found = matching(sought)
    if not found:
        with st.container(border=True, key="card-empty"):
            st.markdown(f"**No term has “{plain(sought)}” in it.** Try a shorter word, or clear the search.")
        return
    if sought:
        st.caption(f"{count(len(found), 'term')} of {len(TERMS)}")
    with st.container(key="glossary"):
        for term in found:
            st.header(term_title(term), anchor=anchor(term))
            st.markdown(TERMS[term])
            if more := related(term):
                links = ", ".join(f"[{term_title(other)}](#{anchor(other)})" for other in more if other in found)
                if links:
                    st.caption(f"See also {links}")


def letters(terms: list[str]) -> str:
    """A link to the first term of each letter there is. Markdown. terms: in alphabetical order."""
    first: dict[str, str] = {}
    for term in terms:
        first.setdefault(term_title(term)[0].upper(), term)
    return " ".join(f"[{letter}](#{anchor(term)})" for letter, term in first.items())


def matching(sought: str) -> list[str]:
    """Terms in whose title or text all words that are sought occur, alphabetically; those named so first."""
    wanted = sought.casefold().split()
    texts = {term: f"{term_title(term)} {text}".casefold() for term, text in TERMS.items()}
    found = [term for term, text in texts.items() if all(word in text for word in wanted)]
    return sorted(found, key=lambda term: (not _named(term, wanted), term_title(term).casefold()))


def _named(term: str, wanted: list[str]) -> bool:
    return all(word in term_title(term).casefold() for word in wanted)
