/** A plan as a graph to be drawn: its steps, or, where they are many, its phases. */
import type { StepShown } from './api/client';

/** More steps than this are folded into phases. */
export const MOST_DRAWN = 150;
const MOST_BESIDE = 5;

export interface Box {
  id: string;
  steps: StepShown[];
  /** Its phase, from 0: the longest way to it from a step that waits for none. */
  rank: number;
}
export interface Drawn {
  boxes: Box[];
  edges: { from: string; to: string }[];
  folded: boolean;
  /** It is drawn from above to below: many phases beside each other would be too small to read. */
  down: boolean;
}

/** Each step's phase, whatever order the steps come in. */
export function ranks(steps: StepShown[]): Map<string, number> {
  const by = new Map(steps.map((s) => [s.id, s]));
  const waits = new Map(steps.map((s) => [s.id, s.depends_on.filter((d) => by.has(d)).length]));
  const followers = new Map<string, string[]>();
  for (const s of steps)
    for (const d of s.depends_on) if (by.has(d)) followers.set(d, [...(followers.get(d) ?? []), s.id]);
  const rank = new Map<string, number>();
  let edge = steps.filter((s) => waits.get(s.id) === 0).map((s) => s.id);
  for (let at = 0; edge.length; at++) {
    const next: string[] = [];
    for (const id of edge) {
      rank.set(id, at);
      for (const follower of followers.get(id) ?? []) {
        const left = waits.get(follower)! - 1;
        waits.set(follower, left);
        if (left === 0) next.push(follower);
      }
    }
    edge = next;
  }
  return rank;
}

/** What is drawn. Of folded phases those in `open` show their steps. */
export function drawn(steps: StepShown[], open: ReadonlySet<number>): Drawn {
  const rank = ranks(steps);
  const folded = steps.length > MOST_DRAWN;
  const phases = new Map<number, StepShown[]>();
  for (const s of steps) {
    const at = rank.get(s.id) ?? 0;
    const phase = phases.get(at);
    if (phase) phase.push(s);
    else phases.set(at, [s]);
  }
  const boxes: Box[] = [];
  const boxOf = new Map<string, string>();
  for (const [at, members] of [...phases].sort(([a], [b]) => a - b)) {
    const whole = folded && !open.has(at) && members.length > 1;
    const made = whole ? [{ id: `phase-${at}`, steps: members, rank: at }] : members.map((s) => ({ id: s.id, steps: [s], rank: at }));
    for (const box of made) for (const s of box.steps) boxOf.set(s.id, box.id);
    boxes.push(...made);
  }
  const edges = new Map<string, { from: string; to: string }>();
  for (const s of steps)
    for (const d of s.depends_on) {
      const from = boxOf.get(d);
      const to = boxOf.get(s.id)!;
      if (from && from !== to) edges.set(`${from} ${to}`, { from, to });
    }
  const down = folded && phases.size > MOST_BESIDE;
  return { boxes, edges: [...edges.values()], folded, down };
}
