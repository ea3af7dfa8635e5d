"""What a person takes away: the repaired model, what it was made from, and a report of what changed."""

from core.export.files import Exported, export_run, write_export

__all__ = ["Exported", "export_run", "write_export"]
