/** The live stream of events: read as it comes, and taken up again after a gap where it broke off. */
import { FROM_THE_PAGE, type EventShown } from './client';

export type Connection = 'connecting' | 'live' | 'away' | 'signed out';

export interface Listener {
  event(event: EventShown): void;
  connection(connection: Connection): void;
}

const FIRST_MS = 250;
const LONGEST_MS = 5000;
/** Nothing heard for so long, not even a comment that keeps it open: the connection counts as broken. */
const SILENT_MS = 45_000;

/** Listen until `signal` is aborted. `query` narrows the stream: a directive, a task. */
export async function listen(query: Record<string, string>, listener: Listener, signal: AbortSignal): Promise<void> {
  let last: string | null = null;
  let wait = FIRST_MS;
  while (!signal.aborted) {
    listener.connection('connecting');
    try {
      const headers: Record<string, string> = { ...FROM_THE_PAGE, Accept: 'text/event-stream' };
      if (last !== null) headers['Last-Event-ID'] = last;
      const attempt = new AbortController();
      const abort = () => attempt.abort();
      signal.addEventListener('abort', abort);
      try {
        const answer = await fetch(`/v1/events?${new URLSearchParams(query)}`, { headers, signal: attempt.signal });
        if (answer.status === 401) {
          listener.connection('signed out');
          return;
        }
        if (answer.ok && answer.body) {
          listener.connection('live');
          wait = FIRST_MS;
          for await (const { id, type, data } of messages(answer.body, attempt)) {
            if (id !== null) last = id;
            if (type === 'cut_off') break;
            if (data) listener.event(JSON.parse(data) as EventShown);
          }
        }
      } finally {
        signal.removeEventListener('abort', abort);
        attempt.abort();
      }
    } catch {
      // broken off: asked again below
    }
    if (signal.aborted) return;
    listener.connection('away');
    await pause(wait, signal);
    wait = Math.min(wait * 2, LONGEST_MS);
  }
}

interface Message {
  id: string | null;
  type: string;
  data: string;
}

/** The messages of a stream of server-sent events. */
async function* messages(body: ReadableStream<Uint8Array>, attempt: AbortController): AsyncGenerator<Message> {
  const reader = body.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).getReader();
  let text = '';
  let silent = setTimeout(() => attempt.abort(), SILENT_MS);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silent);
      silent = setTimeout(() => attempt.abort(), SILENT_MS);
      text += value;
      const parts = text.split('\n\n');
      text = parts.pop() ?? '';
      for (const part of parts) yield parsed(part);
    }
  } finally {
    clearTimeout(silent);
  }
}

function parsed(part: string): Message {
  const message: Message = { id: null, type: 'message', data: '' };
  for (const line of part.split('\n')) {
    const colon = line.indexOf(':');
    const value = line.slice(colon + 1).replace(/^ /, '');
    if (line.startsWith('id:')) message.id = value;
    else if (line.startsWith('event:')) message.type = value;
    else if (line.startsWith('data:')) message.data += value;
  }
  return message;
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
