/** Something of the gateway's that is shown, read again whenever an event says that it may have changed. */
import { Refusal } from '../api/client';

/** The most often that it is read while events come in. */
const APART_MS = 300;

export class Resource<T> {
  value = $state.raw<T | undefined>();
  refusal = $state.raw<Refusal | undefined>();
  #load: () => Promise<T>;
  #loading = false;
  #stale = false;
  #ended = false;

  constructor(load: () => Promise<T>) {
    this.#load = load;
    void this.reload();
  }

  /** Read it again. Asked while it is being read, once more after that: nothing older than the asking stays shown. */
  async reload(): Promise<void> {
    if (this.#loading) {
      this.#stale = true;
      return;
    }
    this.#loading = true;
    do {
      this.#stale = false;
      try {
        this.value = await this.#load();
        this.refusal = undefined;
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        this.refusal = error;
      }
      if (this.#stale) await new Promise((resolve) => setTimeout(resolve, APART_MS));
    } while (this.#stale && !this.#ended);
    this.#loading = false;
  }

  end(): void {
    this.#ended = true;
  }
}

/** A resource for as long as a component is there. Call it while the component is made. */
export function resource<T>(load: () => Promise<T>): Resource<T> {
  const made = new Resource(load);
  $effect(() => () => made.end());
  return made;
}
