"""Work in processes of their own: it survives a page refresh and a restart of the server.

job.py        what a job looks like from outside; rate and time left
kinds.py      what a job can do, by name
processes.py  is that process still the one that was started, and how to end it
queue.py      the jobs of a workspace: submit, look, cancel
control.py    pause, resume, another order
endings.py    why one ended without a result, in a sentence
launcher.py   start a worker process for a job
worker.py     what runs in that process
"""

from core.jobs.control import move_first, move_up, pause, prioritise, resume
from core.jobs.job import Job
from core.jobs.launcher import launch, recover, retry
from core.jobs.queue import get_job, list_jobs, read_log, request_cancel, wait_for

__all__ = [
    "Job",
    "get_job",
    "launch",
    "list_jobs",
    "move_first",
    "move_up",
    "pause",
    "prioritise",
    "read_log",
    "recover",
    "request_cancel",
    "resume",
    "retry",
    "wait_for",
]
