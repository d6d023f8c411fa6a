"""The job of a `covey map`, from its beginning to its exit status: imported when it is needed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from covey.bus.loop import run_loop
from covey.cli.map.inputs import Input
from covey.cli.map.joblog import JoblogWriter
from covey.cli.map.plan import MapPlan
from covey.cli.map.results import Results, open_results
from covey.cli.map.run import MapRun
from covey.client.head_job import HeadJob
from covey.client.jobs import DurableJob, JobOrder
from covey.client.launch import Launch
from covey.client.private_job import PrivateJob
from covey.errors import JobRejected
from covey.model.context import CommandContext, decode_context
from covey.model.template import Template
from covey.settings import Settings


@dataclass(frozen=True, slots=True)
class Start:
    """How it is printed."""

    plan: MapPlan
    template: Template
    joblog: JoblogWriter | None
    results: Results | None
    #: The machines are there for this call, so the job ends with it.
    ends_with_call: bool = False


def go(
    settings: Settings,
    launch: Launch | None,
    order: JobOrder,
    start: Start,
    tasks: Iterator[Input],
) -> int:
    """Run a new job: on the private run that was launched, else with the head."""

    async def run() -> int:
        job: DurableJob
        if launch is None:
            job = await HeadJob.begin(settings, order)
        else:
            job = await PrivateJob.begin(launch, order)
        run = MapRun(start.plan, start.template, job, joblog=start.joblog, results=start.results)
        run.ends_with_call = start.ends_with_call
        return await run.feed_and_follow(tasks)

    return run_loop(run())


def go_on(launch: Launch, plan: MapPlan, rest: Iterator[Input] | None) -> int:
    """Take an interrupted private run up; `rest`: items that it had not been given yet.

    Raises:
        JobNotFound: nothing is left to run.
        JobRejected: it runs calls of a program, which only that program can go on with.
    """

    async def run() -> int:
        job = await PrivateJob.take_up(launch, has_more=rest is not None)
        context = decode_context(job.context())
        if not isinstance(context, CommandContext):
            await job.close()
            raise JobRejected(
                f"job {job.job} runs calls of a program: only that program can go on with it",
                job=job.job,
            )
        template = Template.from_wire(context.template)
        joblog = JoblogWriter(Path(plan.joblog), append=True) if plan.joblog else None
        results = open_results(plan, template.names, append=True)
        run = MapRun(plan, template, job, joblog=joblog, results=results)
        return await run.follow(job.row().held, rest)

    return run_loop(run())
