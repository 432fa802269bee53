/** The gateway, as its description says it is: a changed answer breaks the build. */
import createClient from 'openapi-fetch';

import type { components, paths } from './schema';

export type Shapes = components['schemas'];
export type DirectiveListed = Shapes['DirectiveListed'];
export type DirectiveShown = Shapes['DirectiveShown'];
export type StepShown = Shapes['StepShown'];
export type TaskListed = Shapes['TaskListed'];
export type TaskShown = Shapes['TaskShown'];
export type InboxItem = Shapes['InboxItem'];
export type DaemonShown = Shapes['DaemonShown'];
export type EventShown = Shapes['EventShown'];
export type OrderShown = Shapes['OrderShown'];
export type QuestionShown = Shapes['QuestionShown'];
export type WhyShown = Shapes['WhyShown'];
export type Overview = Shapes['Overview'];

/** Says that a request comes from the page: no form and no image of another site can send it. */
export const FROM_THE_PAGE = { 'Makima-Page': '1' };

export const api = createClient<paths>({ baseUrl: '/', headers: FROM_THE_PAGE, credentials: 'same-origin' });

/** The gateway refused, in its own words. */
export class Refusal extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/** What was answered. Throws Refusal, and Refusal of status 0 where nothing answers. */
export async function answered<T>(asked: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await asked;
  } catch {
    throw new Refusal('The gateway does not answer. Is the cluster up? `makima up` starts it.', 0);
  }
  if (answer.response.ok) return answer.data as T;
  const problem = answer.error as { detail?: string } | undefined;
  throw new Refusal(problem?.detail ?? `The gateway answered ${answer.response.status}.`, answer.response.status);
}

/** A key for a change: asked again with it, it is done once. */
export const once = (): { 'Idempotency-Key': string } => ({ 'Idempotency-Key': crypto.randomUUID() });
