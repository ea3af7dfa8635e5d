"""Every default in one place, each with its unit and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """Defaults. Functions take the values they need as arguments; this is where callers get them."""

    # pixels, longest side. Images smaller than this keep their size.
    thumbnail_size: int = 160
    # WebP quality 0..100: about 4 kB for a 160 pixel photo.
    thumbnail_quality: int = 80
    # pixels, width x height. More is refused before decoding (decompression bombs); 100 megapixels is a large camera.
    max_image_pixels: int = 100_000_000
    # images per forward pass on a CPU; larger gains nothing on two cores.
    batch_size: int = 64
    # bands of equal width when nothing else is asked for.
    band_count: int = 10
    # images shown per draw in the grid.
    grid_size: int = 60
    # tags that the published-style recipe needs to reach its figures (60: 95% of the ERM-to-oracle gap).
    tag_budget: int = 60
    # seconds between two signs of life of a job.
    heartbeat_seconds: float = 1.0
    # seconds without a sign of life after which a job counts as dead, provided its process is gone too.
    heartbeat_timeout: float = 15.0
    # seconds between two writes of a job's progress: what a page can show, no more.
    progress_seconds: float = 0.25
    # seconds between "please stop" (SIGTERM) and "stop" (SIGKILL) for a job that is cancelled.
    cancel_grace: float = 5.0
    # bytes of the disk that no job may take: the database must be able to say what happened.
    disk_reserve: int = 200_000_000
    # share of the machine's memory that one job may hold; the rest is for the pages and the system.
    job_memory_share: float = 0.8
    # bytes of the log after which it is turned over, and how many older ones stay: 20 MB are weeks of a busy server.
    log_bytes: int = 5_000_000
    logs_kept: int = 3
    # starts of one job by itself, the first included, before a person is asked: a job may be what ends the machine.
    most_attempts: int = 3


DEFAULTS = Settings()
