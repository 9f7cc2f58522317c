"""The metrics of a recorder."""

from prometheus_client import Counter, Gauge, Histogram

RECORDED = Counter("optimizer_recorder_events_recorded", "Events that are in the history now")
LOST = Counter("optimizer_recorder_events_lost", "Events that were told and never came, by the gaps in their numbers")
REFUSED = Counter("optimizer_recorder_events_refused", "Events that could not be understood, or that no row can hold")
WRITE_FAILURES = Counter(
    "optimizer_recorder_write_failures", "Times that the database did not take a batch; it is written again"
)
LAG = Gauge("optimizer_recorder_lag_seconds", "How far the history is behind: age of the oldest event in hand")
WAITING = Gauge(
    "optimizer_recorder_waiting", "Events that wait in the recorder's queue, about: by how many the last messages had"
)
DATABASE_UP = Gauge("optimizer_recorder_database_up", "Whether the last batch could be written")
BATCH = Histogram(
    "optimizer_recorder_batch_size",
    "Events written in one transaction",
    buckets=(1, 5, 20, 50, 100, 250, 500, 1000, 2500),
)
BATCH_SECONDS = Histogram(
    "optimizer_recorder_batch_seconds",
    "Time of one transaction",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
