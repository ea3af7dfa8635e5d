"""The paper's synthetic experiment, trained again here: shapes whose place goes with their kind, more and more."""
