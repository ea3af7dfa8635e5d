"""What was said since a run, and what of it a new run would learn from."""

from __future__ import annotations

from typing import Any

from core.concepts.concept import create_concept, delete_concept, get_concept
from core.concepts.suggestions import suggest_next
from core.concepts.tags import tag, undo
from core.retraining.news import is_news_since
from core.retraining.runs import retrain
from core.workspace import Workspace


def test_only_what_the_run_would_learn_from_is_news(workspace: Workspace, planted_analysis: Any) -> None:
    analysis = planted_analysis(0)
    concept = create_concept(workspace, analysis.dataset_id, "water")
    rows = [one.row for one in suggest_next(workspace, analysis, concept, budget=60)]
    for present in (True, False):
        tag(
            workspace,
            analysis,
            concept,
            [row for row in rows if bool(analysis.attributes[0].codes[row]) == present],
            present,
        )
    run = retrain(workspace, analysis, concepts=["water"])
    assert not is_news_since(workspace, analysis, run)
    other = create_concept(workspace, analysis.dataset_id, "reeds")
    tag(workspace, analysis, other, [0, 1], True)
    assert not is_news_since(workspace, analysis, run)
    more = suggest_next(workspace, analysis, concept, budget=1)[0].row
    tag(workspace, analysis, concept, [more], True)
    assert is_news_since(workspace, analysis, run)
    undo(workspace, analysis.dataset_id)
    assert not is_news_since(workspace, analysis, run)
    delete_concept(workspace, get_concept(workspace, analysis.dataset_id, "water"))
    assert is_news_since(workspace, analysis, run)
