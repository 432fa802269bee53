/** Where the boxes of a graph lie, worked out beside the page's own thread. */
import type { ELK, ElkNode } from 'elkjs/lib/elk-api';

import type { Drawn } from './graph';

export const WIDTH = 200;
export const HEIGHT = 52;
export type Places = Map<string, { x: number; y: number }>;

const OPTIONS = {
  'elk.algorithm': 'layered',
  'elk.layered.spacing.nodeNodeBetweenLayers': '56',
  'elk.spacing.nodeNode': '16',
  'elk.layered.considerModelOrder.strategy': 'NODES_AND_EDGES',
  'elk.layered.nodePlacement.strategy': 'BRANDES_KOEPF',
};
/** More edges than this take too long for that: the phases are columns then. */
const MOST_EDGES = 1500;
let elk: Promise<ELK> | undefined;

async function loaded(): Promise<ELK> {
  const { default: Made } = await import('elkjs/lib/elk-api');
  return new Made({
    workerFactory: () => new Worker(new URL('elkjs/lib/elk-worker.min.js', import.meta.url)),
  });
}

export async function layout(graph: Drawn): Promise<Places> {
  if (graph.edges.length > MOST_EDGES) return columns(graph);
  elk ??= loaded();
  const root: ElkNode = {
    id: 'root',
    layoutOptions: { ...OPTIONS, 'elk.direction': graph.down ? 'DOWN' : 'RIGHT' },
    children: graph.boxes.map(({ id }) => ({ id, width: WIDTH, height: HEIGHT })),
    edges: graph.edges.map(({ from, to }) => ({ id: `${from} ${to}`, sources: [from], targets: [to] })),
  };
  const laid = await (await elk).layout(root);
  return new Map((laid.children ?? []).map((c) => [c.id, { x: c.x ?? 0, y: c.y ?? 0 }]));
}

function columns(graph: Drawn): Places {
  const heights = new Map<number, number>();
  return new Map(
    graph.boxes.map(({ id, rank }) => {
      const y = heights.get(rank) ?? 0;
      heights.set(rank, y + HEIGHT + 16);
      return [id, graph.down ? { x: (y / (HEIGHT + 16)) * (WIDTH + 16), y: rank * (HEIGHT + 60) } : { x: rank * (WIDTH + 90), y }];
    }),
  );
}
