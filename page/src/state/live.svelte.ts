/** What happens, as it happens: one stream for the page, narrowed to the directive that is looked at. */
import type { EventShown } from '../api/client';
import { listen, type Connection } from '../api/stream';

type Hears = (event: EventShown) => void;

class Live {
  connection = $state<Connection>('connecting');
  /** Away for longer than a blink, which is worth a banner. */
  away = $state(false);
  #hearers = new Set<Hears>();
  #returns = new Set<() => void>();
  #abort: AbortController | null = null;
  #query = '';
  #timer: ReturnType<typeof setTimeout> | undefined;
  #missed = false;

  /** Follow everything, or one directive with what its tasks print. */
  follow(directive: string | null): void {
    const query = directive === null ? '' : directive;
    if (this.#abort !== null && query === this.#query) return;
    this.stop();
    this.#query = query;
    this.#abort = new AbortController();
    const narrowed: Record<string, string> = directive === null ? {} : { directive };
    void listen(narrowed, { event: (e) => this.#event(e), connection: (c) => this.#connection(c) }, this.#abort.signal);
  }

  stop(): void {
    this.#abort?.abort();
    this.#abort = null;
  }

  /** Hear every event, and, by `returned`, of each gap that ended: what passed by meanwhile is to be read again. */
  hear(hears: Hears, returned: () => void): () => void {
    this.#hearers.add(hears);
    this.#returns.add(returned);
    return () => {
      this.#hearers.delete(hears);
      this.#returns.delete(returned);
    };
  }

  #event(event: EventShown): void {
    for (const hears of this.#hearers) hears(event);
  }

  #connection(connection: Connection): void {
    this.connection = connection;
    clearTimeout(this.#timer);
    if (connection === 'live') {
      this.away = false;
      if (this.#missed) for (const returned of this.#returns) returned();
      this.#missed = false;
    } else {
      this.#missed = true;
      this.#timer = setTimeout(() => (this.away = connection !== 'signed out'), 800);
    }
  }
}

export const live = new Live();

/** Call it while a component is made: `on` hears what happens until the component goes. */
export function hearing(hears: Hears, returned: () => void): void {
  $effect(() => live.hear(hears, returned));
}
