"""Jobs: what works in the background, what waits, how it ended, and what it printed."""

from pages.parts import head, job_list

head.show("jobs", "What runs in the background, what waits for its turn, and how it ended.")
job_list.show()
