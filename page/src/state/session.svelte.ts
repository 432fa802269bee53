/** Whether this browser is signed in: by a cookie that scripts can't read. */
import { FROM_THE_PAGE } from '../api/client';
import { live } from './live.svelte';

class Session {
  state = $state<'unknown' | 'in' | 'out'>('unknown');
  /** Why a link did not sign in. */
  refusal = $state('');

  constructor() {
    const code = location.pathname === '/open' ? location.hash.slice(1) : '';
    if (code) history.replaceState(null, '', '/');
    void (code ? this.signIn(code) : this.#look());
  }

  /** By the code of a one-time link. */
  async signIn(code: string): Promise<void> {
    const answer = await ask('POST', JSON.stringify({ code }));
    if (answer?.ok) {
      this.#in();
    } else {
      this.refusal = answer ? (((await answer.json()) as { detail?: string }).detail ?? '') : 'The gateway does not answer.';
      await this.#look();
    }
  }

  async signOut(): Promise<void> {
    await ask('DELETE');
    this.out();
  }

  out(): void {
    live.stop();
    this.state = 'out';
  }

  async #look(): Promise<void> {
    const answer = await ask('GET', null, '/v1/me');
    if (answer?.ok) this.#in();
    else if (answer) this.out();
    else setTimeout(() => void this.#look(), 1000);
  }

  #in(): void {
    this.state = 'in';
  }
}

async function ask(method: string, body: string | null = null, path = '/v1/session'): Promise<Response | null> {
  try {
    const headers = { ...FROM_THE_PAGE, 'Content-Type': 'application/json' };
    return await fetch(path, { method, body, headers, credentials: 'same-origin' });
  } catch {
    return null;
  }
}

export const session = new Session();
