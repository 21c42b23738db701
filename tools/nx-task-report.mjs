/** An Nx plugin: writes how each task of a run ended to the file that REDSTART_TASK_REPORT names. `npm test` counts from it. */
import { writeFileSync } from 'node:fs';

export const name = 'redstart-task-report';

export function postTasksExecution(_options, { taskResults }) {
  const file = process.env.REDSTART_TASK_REPORT;
  if (!file) return;
  const tasks = Object.values(taskResults).map(({ task, status }) => ({
    project: task.target.project,
    target: task.target.target,
    projectRoot: task.projectRoot,
    status,
  }));
  writeFileSync(file, JSON.stringify(tasks));
}
