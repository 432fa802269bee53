/** What a task printed: what is kept, then what passes by, without a gap and without a line twice. */
import { answered, api, type EventShown } from '../api/client';

const PAGE = 1000;

export interface Line {
  attempt: number;
  seq: number;
  text: string;
}

export class Output {
  lines = $state.raw<Line[]>([]);
  loading = $state(true);
  #task: string;
  #waiting: Line[] = [];
  #drawn = 0;
  #reading = false;
  #again = false;

  constructor(task: string) {
    this.#task = task;
    void this.read();
  }

  /** Read what is kept and isn't known. */
  async read(): Promise<void> {
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    try {
      do {
        this.#again = false;
        for (;;) {
          const last = this.lines.at(-1);
          const query = { after_attempt: last?.attempt ?? 0, after_seq: last?.seq ?? -1, limit: PAGE };
          const batches = await answered(
            api.GET('/v1/tasks/{task}/log', { params: { path: { task: this.#task }, query } }),
          );
          const found = batches.flatMap((b) =>
            b.events.map((text, i) => ({ attempt: b.attempt, seq: b.first_seq + i, text })),
          );
          const fresh = found.filter((line) => !last || later(line, last));
          if (fresh.length) this.lines = [...this.lines, ...fresh];
          if (batches.length < PAGE || !fresh.length) break;
        }
      } while (this.#again);
    } finally {
      this.#reading = false;
      this.loading = false;
    }
  }

  /** Take in an event of the live stream; a gap before it is read. */
  hear(event: EventShown): void {
    if (event.type !== 'task.output' || event.body.task !== this.#task) return;
    const { attempt, first, lines } = event.body as { attempt: number; first: number; lines: string[] };
    this.#waiting.push(...lines.map((text, i) => ({ attempt, seq: first + i, text })));
    this.#drawn ||= requestAnimationFrame(() => this.#draw());
  }

  /** Once a frame, however much came. */
  #draw(): void {
    this.#drawn = 0;
    const waiting = this.#waiting;
    this.#waiting = [];
    if (this.#reading) {
      this.#again = true;
      return;
    }
    const last = this.lines.at(-1);
    const fresh = waiting.filter((line) => !last || later(line, last));
    if (!fresh.length) return;
    const next = fresh[0]!;
    const follows = last ? next.attempt === last.attempt && next.seq === last.seq + 1 : next.seq <= 1;
    if (follows) this.lines = [...this.lines, ...fresh];
    else void this.read();
  }
}

const later = (a: Line, b: Line): boolean => a.attempt > b.attempt || (a.attempt === b.attempt && a.seq > b.seq);
