"""How far the stages of jobs are, counted as their tasks tell: what the Captions page shows."""

from collections import Counter, deque
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Final

from cutline.progress import events
from cutline.progress.watcher import PATIENCE, Load

JOBS: Final = 4
"""How many jobs are kept; the page of a long-lived scheduler is not to grow."""

STAGES: Final = 16
"""How many stages of a job are kept."""

POINTS: Final = 400
"""How many points the line of a stage may have before every other one is dropped."""

SLOWEST: Final = 5
"""How many slow tasks are kept."""

EXAMPLES: Final = 3
"""How many examples of a reject reason are kept: the last ones."""

GONE: Final = "The process that had started it is gone; the same command goes on."


@dataclass(slots=True)
class Progress:
    """How far a stage is, as its tasks have told."""

    begun: events.Begun
    began: float
    ended: float | None = None
    tasks: int = 0
    done: int = 0
    made: Counter[str] = field(default_factory=Counter)
    rejects: Counter[str] = field(default_factory=Counter)
    examples: dict[str, deque[str]] = field(default_factory=dict)
    slowest: list[events.Done] = field(default_factory=list)
    line: list[tuple[float, int]] = field(default_factory=list)

    def take(self, event: events.Done | events.Ended, now: float) -> None:
        """Count what a task has told, or that nobody waits for the stage any more."""
        if isinstance(event, events.Done):
            self._add(event, now)
        else:
            self._end(event, now)

    def _add(self, done: events.Done, now: float) -> None:
        self.tasks += 1
        self.done += 1 if self.begun.unit == "tasks" else done.amount
        self.made.update(done.made)
        self.rejects.update(done.rejects)
        for reason, text in done.examples.items():
            self.examples.setdefault(reason, deque(maxlen=EXAMPLES)).append(text)
        self.slowest = nlargest(SLOWEST, [*self.slowest, done], key=lambda task: task.seconds)
        self.add_point(now)
        if self.tasks >= self.begun.tasks:
            self.ended = now

    def _end(self, ended: events.Ended, now: float) -> None:
        # Tasks of some stages tell nothing.
        self.tasks = max(self.tasks, ended.tasks)
        if self.begun.unit == "tasks":
            self.done = self.tasks
        if self.ended is None:
            self.ended = now

    def add_point(self, now: float) -> None:
        """Add a point to the line of what was done when, or move the last one if it is near."""
        if len(self.line) > 1 and now - self.line[-2][0] < 1:
            self.line[-1] = (now, self.done)
        else:
            self.line.append((now, self.done))
        if len(self.line) > POINTS:
            del self.line[1::2]

    def rates(self) -> list[tuple[float, float]]:
        """Return how much was done a second, over the seconds since the stage began.

        Each point is the mean of a twentieth of the time, or of two seconds: tasks end in bursts.
        """
        points = [(self.began, 0), *self.line]
        window = max(2.0, (points[-1][0] - self.began) / 20)
        rates = []
        start = 0
        for now, done in points:
            while start + 1 < len(points) and points[start + 1][0] <= now - window:
                start += 1
            then, was = points[start]
            if now - then >= window:
                rates.append((now - self.began, (done - was) / (now - then)))
        return rates

    @property
    def load(self) -> Load:
        """How much there is to do."""
        return Load(self.begun.amount, self.begun.unit)

    @property
    def whole(self) -> bool:
        """Whether all of its tasks are done."""
        return self.tasks >= self.begun.tasks

    def seconds(self, now: float) -> float:
        """Return how long it has taken."""
        return (now if self.ended is None else self.ended) - self.began

    def left(self, now: float) -> float | None:
        """Estimate how many more seconds it will take; None before that can be known."""
        if self.ended is not None or not self.done or self.seconds(now) < PATIENCE:
            return None
        return max(0.0, self.seconds(now) * (self.begun.amount - self.done) / self.done)

    @property
    def samples(self) -> int:
        """How many samples it is known to be about; 0 if it counts something else."""
        if self.begun.unit in {"sidecars", "rows"}:
            return self.begun.amount
        return self.made["members"]


@dataclass(slots=True)
class Job:
    """One call of a function on a cluster: its stages, those that are to come, and its end.

    Attributes
    ----------
    begun
        Its name, and the stages that it has as a rule, in order.
    end
        How it ended, with the figures of its summary; None while it is at work.
    """

    begun: events.JobBegun
    began: float
    stages: list[Progress] = field(default_factory=list)
    end: events.JobEnded | None = None
    ended: float = 0.0

    def to_come(self) -> list[str]:
        """Return the names of the stages that have not begun; none that a later one has passed."""
        if self.end is not None:
            return []
        begun = {stage.begun.name for stage in self.stages}
        passed = [place for place, name in enumerate(self.begun.stages) if name in begun]
        return list(self.begun.stages[max(passed, default=-1) + 1 :])

    def rejecting(self) -> list[Progress]:
        """Return the stages that have rejected any; of a compile, the merge has the last word."""
        some = [stage for stage in self.stages if stage.rejects.total()]
        merged = any(stage.begun.name == "merge" for stage in some)
        return [stage for stage in some if not (merged and stage.begun.name == "compile-rows")]

    def examples(self, reason: str) -> list[str]:
        """Return the last examples of a reject reason, whichever stage has told them."""
        told = [stage.examples[reason] for stage in self.stages if reason in stage.examples]
        return [*told[-1]] if told else []

    def seconds(self, now: float) -> float:
        """Return how long it has taken."""
        return (now if self.end is None else self.ended) - self.began

    def left(self, now: float) -> float | None:
        """Estimate how many more seconds all of it will take; None before that can be known.

        A stage that has not begun takes what it took elsewhere for each sample, times how much
        slower this machine has been so far.
        """
        at_work = [left for stage in self.stages if (left := stage.left(now)) is not None]
        samples = max((stage.samples for stage in self.stages), default=0)
        to_come = sum(events.MICROSECONDS.get(name, 0) for name in self.to_come()) * samples / 1e6
        slower = self._slower(now)
        if not at_work or not samples or slower is None:
            return None
        return max(at_work) + slower * to_come

    def _slower(self, now: float) -> float | None:
        took = expected = 0.0
        for stage in self.stages:
            if (known := events.MICROSECONDS.get(stage.begun.name)) and stage.begun.amount:
                samples = stage.samples or max(each.samples for each in self.stages)
                expected += known * samples / 1e6 * stage.done / stage.begun.amount
                took += stage.seconds(now)
        return took / expected if expected else None


@dataclass(slots=True)
class Board:
    """The last jobs on a scheduler.

    `changes` grows with each change, so that a page knows when to draw itself anew; `viewers` is
    how many browsers have the page.
    """

    jobs: dict[str, Job] = field(default_factory=dict)
    lost_workers: int = 0
    changes: int = 0
    viewers: int = 0

    @property
    def stages(self) -> dict[str, Progress]:
        """The stages of all jobs, by their identity."""
        return {stage.begun.stage: stage for job in self.jobs.values() for stage in job.stages}

    @property
    def running(self) -> bool:
        """Whether any job or stage is at work."""
        return any(
            job.end is None or any(stage.ended is None for stage in job.stages)
            for job in self.jobs.values()
        )

    def take(self, event: events.Event, now: float) -> None:
        """Count what a client or a task has told."""
        self.changes += 1
        match event:
            case events.JobBegun():
                self._begin(event, now)
            case events.JobEnded():
                if event.job in self.jobs:
                    self._end(self.jobs[event.job], event, now)
            case events.Begun():
                stages = self._job_of(event, now).stages
                stages.append(Progress(event, now))
                del stages[:-STAGES]
            case events.Done() | events.Ended():
                if stage := self.stages.get(event.stage):
                    stage.take(event, now)
                    self._end_alone(stage, now)

    def _begin(self, begun: events.JobBegun, now: float) -> Job:
        self.jobs[begun.job] = job = Job(begun, now)
        while len(self.jobs) > JOBS:
            del self.jobs[next(iter(self.jobs))]
        return job

    def _end(self, job: Job, end: events.JobEnded, now: float) -> None:
        if job.end is None:
            job.end, job.ended = end, now
            for stage in job.stages:
                if stage.ended is None:
                    stage.ended = now

    def _end_alone(self, stage: Progress, now: float) -> None:
        """End the job that was made for a stage alone, when that has ended."""
        alone = self.jobs.get(stage.begun.stage)
        if alone and stage.ended is not None:
            how: events.How = "done" if stage.whole else "stopped"
            self._end(alone, events.JobEnded(stage.begun.stage, how), now)

    def _job_of(self, begun: events.Begun, now: float) -> Job:
        """Return the job at work of a stage's client; one named for the stage if none was told."""
        for job in reversed(self.jobs.values()):
            if job.begun.client == begun.client and job.end is None:
                return job
        return self._begin(events.JobBegun(begun.stage, begun.name, begun.client, ()), now)

    def client_gone(self, client: str, now: float) -> None:
        """End the jobs of a client that has gone."""
        for job in self.jobs.values():
            if job.begun.client == client and job.end is None:
                self._end(job, events.JobEnded(job.begun.job, "stopped", GONE), now)
                self.changes += 1

    def worker_gone(self) -> None:
        """Count a worker that was lost while there was work: its tasks run again."""
        if self.running:
            self.lost_workers += 1
            self.changes += 1
