"""A task on its way: made of a ready step, as its row, as the command that is sent, as what is told of it. Pure."""

from __future__ import annotations

from uuid import UUID

from services.executor import prompts
from services.executor.prompts import Brief
from services.executor.rows import DueStep, PutBack, Task
from shared.config import Settings
from shared.domain.names import task_branch
from shared.domain.readiness import Start, start
from shared.domain.repositories import folder_of
from shared.domain.statuses import TaskKind, TaskStatus
from shared.messages.commands import SpawnTask
from shared.messages.events import TaskChanged
from shared.service.tokens import git_token, task_token

SCRIPTED = "shell"
"""The agent that runs a task plan as it stands, instead of reading a prompt."""


def of_step(step: DueStep, task: UUID, settings: Settings) -> Task:
    """The task of a ready step: where it starts (rule 7) and what it is told."""
    begin = start(step.branches, step.pr_branch, step.last_completed)
    return Task(
        id=task,
        owner_id=step.owner_id,
        owner=step.owner,
        directive_id=step.directive_id,
        step_id=step.step_id,
        kind=TaskKind.STEP,
        name=step.name,
        prompt=prompts.step(_brief(step, begin)),
        agent=step.agent or settings.agent,
        agent_chosen=step.agent is not None,
        model=step.model,
        labels=step.labels,
        daemon=step.daemon,
        start_from=begin.branch,
        merge_branches=begin.merge,
        repository_url=step.repository_url,
        base_branch=step.base_branch,
        check_command=step.check_command,
        base_unjudged=step.unplanned and begin == Start(branch=None),
        task_plan=step.task_plan,
        failed_reason=step.failed_reason,
        failed_tail=step.failed_tail,
    )


def claim(task: Task) -> dict[str, object]:
    """What is kept of the task of a step, with its entry in the audit log."""
    return {
        "id": task.id,
        "owner_id": task.owner_id,
        "directive_id": task.directive_id,
        "step_id": task.step_id,
        "name": task.name,
        "prompt": task.prompt,
        "agent": task.agent,
        "start_from": task.start_from,
        "merge_branches": task.merge_branches,
        "entry": starting(task),
    }


def spawn(task: Task, settings: Settings, secret: bytes) -> SpawnTask:
    """The command that has its attempt run."""
    scripted = task.agent == SCRIPTED
    return SpawnTask(
        task=task.id,
        attempt=task.attempt,
        owner=task.owner,
        directive=task.directive_id,
        step=task.step_id,
        kind=task.kind,
        name=task.name,
        prompt="" if scripted and task.agent_chosen else _told(task),
        agent=task.agent,
        agent_chosen=task.agent_chosen,
        model=task.model,
        labels=task.labels,
        unchecked=task.check_command == "",
        base_unjudged=task.base_unjudged,
        task_plan=(task.task_plan or "") if scripted or not task.agent_chosen else "",
        repository_url=task.repository_url,
        base_branch=task.base_branch,
        start_from=task.start_from,
        merge_branches=task.merge_branches,
        branch=task_branch(task.name, task.id, task.attempt),
        target_branch=task.target_branch,
        resume_session=task.session or None,
        environment={"MAKIMA_API_URL": f"unix://{settings.gateway_socket()}"},
        token=task_token(secret, task.id, task.attempt),
        prefer_daemon=task.session_daemon or task.daemon,
        session_daemon=task.session_daemon,
        spent_tokens=task.tokens,
        delivery=task.delivery,
        git_token=git_token(secret, task.id, task.attempt) if folder_of(task.repository_url) else "",
    )


def starting(task: Task) -> TaskChanged:
    """What is told of it once it is claimed."""
    return TaskChanged(
        directive=task.directive_id,
        task=task.id,
        attempt=task.attempt,
        kind=task.kind,
        status=TaskStatus.STARTING,
    )


def still_waiting(task: PutBack) -> TaskChanged:
    """What is told of it when no daemon could take it."""
    return TaskChanged(
        directive=task.directive_id,
        task=task.id,
        attempt=task.attempt,
        kind=task.kind,
        status=TaskStatus.PENDING,
        reason=task.waiting_reason,
    )


def _brief(step: DueStep, begin: Start) -> Brief:
    return Brief(
        directive=step.title,
        name=step.name,
        task_plan=step.task_plan,
        description=step.description,
        start=begin.branch,
        merges=begin.merge,
        dependencies=step.handed_on,
        unlisted=step.dependencies - len(step.handed_on),
    )


def _told(task: Task) -> str:
    """A task's prompt, with what failed last time when something did."""
    if not task.failed_reason:
        return task.prompt
    return prompts.again(task.prompt, task.failed_reason, task.failed_tail or "")
