"""A worker of a queue. Run as many as you like: python worker.py URL NAME [SECONDS OF A LEASE]."""

import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from eventhub_client import ConflictError, Hub


def work(job: Any) -> int:
    """Do what a job asks for: here, count words."""
    time.sleep(job["seconds"] or 0)
    return len((job["text"] or "").split())


def is_free(job: Any) -> bool:
    """Tell whether nobody works on a job, or its worker had time enough."""
    now = datetime.now(UTC)
    return job["state"] == "open" or not job["until"] or datetime.fromisoformat(job["until"]) < now


def take(hub: Hub, job: Any, name: str, lease: timedelta) -> None:
    """Take a job, unless another worker was first, and store its result, unless it lost the job."""
    until = datetime.now(UTC) + lease
    taken = {"id": job["id"], "state": "taken", "worker": name, "until": until}
    try:
        receipt = hub.put("jobs", {**taken, "_if_seq": job["_seq"]})
        done = {"id": job["id"], "state": "done", "result": work(job)}
        hub.put("jobs", {**done, "_if_seq": receipt["_seq"]})
    except ConflictError:
        print(f"{name}: another worker has {job['id']}")


def main(url: str, name: str, seconds: str = "30") -> None:
    """Take the oldest free job, again and again; look for late ones every second."""
    with Hub(url) as hub:
        jobs = hub.rows("jobs", where={"state": ["open", "taken"]})
        for shown in jobs.updates(timeout=1):
            job = next(filter(is_free, shown.values()), None)
            if job:
                take(hub, job, name, timedelta(seconds=float(seconds)))


if __name__ == "__main__":
    main(*sys.argv[1:])
