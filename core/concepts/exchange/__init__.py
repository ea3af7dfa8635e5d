"""Tags into files and back: CSV, JSON, Parquet, and what FiftyOne reads.

What is said comes back exactly: exporting, importing into an empty workspace of the same dataset and exporting again
gives the same file. JSON, Parquet and FiftyOne's format carry everything (tags with who, when and how, the palette,
columns that are followed as concepts, verdicts on labels); CSV carries the tags.
"""

from core.concepts.exchange.applying import Imported, ImportedConcept
from core.concepts.exchange.contents import Rejected
from core.concepts.exchange.csv_table import guarded
from core.concepts.exchange.files import (
    FORMATS,
    Exported,
    dump_tags,
    export_csv,
    export_tags,
    format_of,
    import_csv,
    import_tags,
    load_tags,
    preview_file,
    preview_tags,
)

__all__ = [
    "FORMATS",
    "Exported",
    "Imported",
    "ImportedConcept",
    "Rejected",
    "dump_tags",
    "export_csv",
    "export_tags",
    "format_of",
    "guarded",
    "import_csv",
    "import_tags",
    "load_tags",
    "preview_file",
    "preview_tags",
]
