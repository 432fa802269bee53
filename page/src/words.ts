/** How values are said, as the command line says them. */
import type { DirectiveListed, StepShown } from './api/client';

export type Tone = 'quiet' | 'busy' | 'needs' | 'good' | 'bad';
export interface Mark {
  tone: Tone;
  shape: string;
}

/** Shape and word say it, colour only repeats it. */
const STANDINGS: Record<DirectiveListed['standing'], Mark> = {
  draft: { tone: 'quiet', shape: '○' },
  planning: { tone: 'busy', shape: '◐' },
  running: { tone: 'busy', shape: '◐' },
  waiting: { tone: 'needs', shape: '!' },
  'awaiting approval': { tone: 'needs', shape: '?' },
  merging: { tone: 'busy', shape: '◐' },
  checking: { tone: 'busy', shape: '◐' },
  delivering: { tone: 'busy', shape: '◐' },
  'pull request open': { tone: 'good', shape: '⇡' },
  delivered: { tone: 'good', shape: '✓' },
  merged: { tone: 'good', shape: '✓' },
  completed: { tone: 'good', shape: '✓' },
  paused: { tone: 'bad', shape: '‖' },
  archived: { tone: 'quiet', shape: '–' },
};
const STEPS: Record<StepShown['status'], Mark> = {
  pending: { tone: 'quiet', shape: '○' },
  ready: { tone: 'quiet', shape: '◌' },
  running: { tone: 'busy', shape: '◐' },
  completed: { tone: 'good', shape: '✓' },
  failed: { tone: 'bad', shape: '✕' },
  skipped: { tone: 'quiet', shape: '–' },
};
const OTHERS: Record<string, Mark> = {
  starting: { tone: 'busy', shape: '◐' },
  paused: { tone: 'needs', shape: '‖' },
  cancelled: { tone: 'quiet', shape: '–' },
  succeeded: { tone: 'good', shape: '✓' },
  interrupted: { tone: 'quiet', shape: '–' },
  lost: { tone: 'bad', shape: '✕' },
};

export const ofStanding = (standing: DirectiveListed['standing']): Mark => STANDINGS[standing];
export const ofStep = (status: StepShown['status']): Mark => STEPS[status];
export const ofTask = (status: string): Mark =>
  OTHERS[status] ?? STEPS[status as StepShown['status']] ?? { tone: 'quiet', shape: '○' };

/** How long, in at most seven characters. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, '0');
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86_400)}d ${two(Math.floor((whole % 86_400) / 3600))}h`;
}

export function ago(then: string, now: number): string {
  const seconds = (now - Date.parse(then)) / 1000;
  return seconds < 5 ? 'just now' : `${duration(seconds)} ago`;
}

export const dollars = (usd: number): string =>
  usd === 0 ? '' : usd < 0.01 ? '< $0.01' : `$${usd.toFixed(2)}`;

export function amount(number: number): string {
  if (number < 1000) return String(number);
  return number < 1e6 ? `${(number / 1000).toFixed(1)}k` : `${(number / 1e6).toFixed(1)}M`;
}

export const clock = (at: string): string => new Date(at).toLocaleTimeString();
export const moment = (at: string): string => new Date(at).toLocaleString();

/** A repository without what is the same in all addresses. */
export const repository = (url: string | null | undefined): string =>
  url ? url.replace(/^(https?|ssh|git):\/\/([^@/]*@)?/, '').replace(/\.git$/, '') : '';
