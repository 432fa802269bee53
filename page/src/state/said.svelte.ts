/** What a change came to, said for a moment at the foot of the page and to screen readers. */
import { Refusal } from '../api/client';

class Said {
  text = $state('');
  bad = $state(false);
  #timer: ReturnType<typeof setTimeout> | undefined;

  say(text: string, bad = false): void {
    this.text = text;
    this.bad = bad;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => (this.text = ''), bad ? 15_000 : 5000);
  }

  /** Do something, and say what came of it; whether it was done. */
  async doing(done: string, work: () => Promise<unknown>): Promise<boolean> {
    try {
      await work();
      this.say(done);
      return true;
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      this.say(error.message, true);
      return false;
    }
  }
}

export const said = new Said();
