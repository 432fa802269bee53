/** A difference as git writes it, taken apart into files, hunks and lines. */

export interface Line {
  kind: 'added' | 'removed' | 'same' | 'note';
  text: string;
  before: number | null;
  after: number | null;
}
export interface Hunk {
  head: string;
  lines: Line[];
}
export interface File {
  path: string;
  from: string | null;
  /** What happened to it beside its lines: renamed, binary, a new mode. */
  notes: string[];
  hunks: Hunk[];
  added: number;
  removed: number;
}

const HUNK = /^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@ ?(.*)$/;

/** A path as git quotes it where it holds what is not plain: C's escapes, bytes in octal. */
export function unquoted(path: string): string {
  if (!path.startsWith('"') || !path.endsWith('"')) return path;
  const bytes: number[] = [];
  const plain = new TextEncoder();
  const SHORT: Record<string, number> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, '"': 34, '\\': 92 };
  for (const [part] of path.slice(1, -1).matchAll(/\\[0-7]{3}|\\.|[^\\]/gsu)) {
    if (/^\\[0-7]{3}$/.test(part)) bytes.push(parseInt(part.slice(1), 8));
    else if (part.startsWith('\\')) bytes.push(SHORT[part[1]!] ?? part.charCodeAt(1));
    else bytes.push(...plain.encode(part));
  }
  return new TextDecoder().decode(new Uint8Array(bytes));
}

const side = (path: string): string | null => {
  const plain = unquoted(path.replace(/\t$/, ''));
  return plain === '/dev/null' ? null : plain.replace(/^[ab]\//, '');
};

export function files(text: string): File[] {
  const found: File[] = [];
  let file: File | null = null;
  let hunk: Hunk | null = null;
  let [left, right, before, after] = [0, 0, 0, 0];
  for (const line of text.split('\n')) {
    if (hunk && (left > 0 || right > 0 || line.startsWith('\\'))) {
      const kind = line[0];
      if (kind === '+') (right--, file!.added++, hunk.lines.push({ kind: 'added', text: line.slice(1), before: null, after: after++ }));
      else if (kind === '-') (left--, file!.removed++, hunk.lines.push({ kind: 'removed', text: line.slice(1), before: before++, after: null }));
      else if (kind === '\\') hunk.lines.push({ kind: 'note', text: line.slice(2), before: null, after: null });
      else (left--, right--, hunk.lines.push({ kind: 'same', text: line.slice(1), before: before++, after: after++ }));
      continue;
    }
    const head = HUNK.exec(line);
    if (line.startsWith('diff --git ')) {
      const half = (line.length - 'diff --git '.length - 1) / 2;
      const path = side(line.slice('diff --git '.length).slice(half + 1)) ?? '';
      found.push((file = { path, from: null, notes: [], hunks: [], added: 0, removed: 0 }));
      hunk = null;
    } else if (file && head) {
      [before, left, after, right] = [Number(head[1]), Number(head[2] ?? 1), Number(head[3]), Number(head[4] ?? 1)];
      file.hunks.push((hunk = { head: head[5] ?? '', lines: [] }));
    } else if (file) {
      if (line.startsWith('+++ ')) file.path = side(line.slice(4)) ?? file.path;
      else if (line.startsWith('--- ')) file.from = side(line.slice(4));
      else if (line.startsWith('rename to ')) file.path = unquoted(line.slice(10));
      else if (line.startsWith('rename from ')) file.notes.push(`renamed from ${unquoted(line.slice(12))}`);
      else if (/^(new file|deleted file|old mode|new mode|Binary files|similarity)/.test(line)) file.notes.push(line);
    }
  }
  return found;
}
