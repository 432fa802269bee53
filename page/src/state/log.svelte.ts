/** A directive's whole log, oldest first: what is known already is not read again. */
import { answered, api, type EventShown } from '../api/client';
import { resource, type Resource } from './resource.svelte';

const PAGE = 1000;

/** Call it while a component is made. `changed` rises whenever there may be more. */
export function log(directive: () => string, changed: () => number): Resource<EventShown[]> {
  let known: EventShown[] = [];
  const read = resource(async () => {
    for (;;) {
      const query = { after: known.at(-1)?.seq ?? 0, limit: PAGE };
      const more = await answered(
        api.GET('/v1/directives/{directive}/events', { params: { path: { directive: directive() }, query } }),
      );
      known = [...known, ...more];
      if (more.length < PAGE) return known;
    }
  });
  $effect(() => {
    if (changed()) void read.reload();
  });
  return read;
}
