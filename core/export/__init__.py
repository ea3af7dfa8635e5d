"""What a person takes away: the repaired model, the tags, and a report of what changed."""

from core.export.files import export_run

__all__ = ["export_run"]
